/** `ctr port`: where a container's ports are published. */
import { currentContainer } from "../../../internal/container/control.ts";
import { joinHostPort, portsOf } from "../../../internal/container/port-list.ts";
import type { PortBinding } from "../../../internal/container/record.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { defineCommand } from "../command.ts";
import { print } from "../output.ts";

export const command = defineCommand({
  meta: { name: "port", description: "List port mappings or a specific mapping for the container" },
  usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
  operands: [1, 2],
  flags: {},
  async run({ operands, directories }) {
    using engine = openEngine(directories);
    const [target = "", wanted] = operands;
    const ports = portsOf(currentContainer(engine, target));
    if (wanted !== undefined && wanted !== "") {
      const key = portKey(wanted);
      const bindings = Object.hasOwn(ports, key) ? ports[key] : undefined;
      if (bindings === undefined || bindings === null)
        throw new CtrError("not-found", `No public port '${wanted}' published for ${target}`);
      print(bindings.map((binding) => `${addressOf(binding)}\n`).join(""));
      return 0;
    }
    const byNumber = Object.entries(ports).sort(
      ([a], [b]) => Number.parseInt(a, 10) - Number.parseInt(b, 10) || (a < b ? -1 : 1),
    );
    print(
      byNumber
        .flatMap(([port, bindings]) => (bindings ?? []).map((binding) => `${port} -> ${addressOf(binding)}\n`))
        .join(""),
    );
    return 0;
  },
});

/** `80` is `80/tcp`. */
function portKey(text: string): string {
  const [, port, protocol = "tcp"] = /^(\d+)(?:\/(\w+))?$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65535) throw new CtrError("invalid", `invalid port '${text}'`);
  return `${port}/${protocol.toLowerCase()}`;
}

function addressOf({ HostIp, HostPort }: PortBinding): string {
  return joinHostPort(HostIp === "" ? "0.0.0.0" : HostIp, HostPort);
}
