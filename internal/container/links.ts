/** `--link` (Docker's legacy links): another container's address under a name, and its variables. */
import type { Engine } from "../db/engine.ts";
import { CtrError, withContext } from "../errors/error.ts";
import { OptionError } from "./option-error.ts";
import type { ContainerRecord } from "./record.ts";
import { containerById, findContainer, reconfigureNetworks } from "./store.ts";

/** `db:alias` or `db`, as container and alias. Throws OptionError. */
export function parseLink(text: string): { readonly container: string; readonly alias: string } {
  const parts = text.split(":");
  const [container = "", alias = container] = parts;
  if (container === "" || alias === "" || parts.length > 2) throw new OptionError(`bad format for links: ${text}`);
  return { container, alias: alias.replace(/^\//, "") };
}

/** As HostConfig keeps them for a new container: with ids, because names change. Throws `not-found`. */
export function resolveLinks(engine: Engine, links: readonly string[]): readonly string[] | null {
  if (links.length === 0) return null;
  return links.map((text) => {
    const { container, alias } = parseLink(text);
    try {
      const record = findContainer(engine, container);
      return `${record.id}:${alias === container ? record.name : alias}`;
    } catch (error) {
      throw withContext(`could not get container for ${container}`, error);
    }
  });
}

interface Linked {
  readonly record: ContainerRecord;
  readonly alias: string;
  readonly address: string;
}

/** The linked containers with the addresses that the container reaches them at. Throws for one that does not run. */
function linked(engine: Engine, { name, hostConfig }: ContainerRecord): Linked[] {
  return (hostConfig.Links ?? []).map((link) => {
    const [id = "", alias = ""] = link.split(":");
    const record = containerById(engine, id);
    const address = record?.runtime.endpoint?.address.split("/")[0];
    if (record === undefined) throw new CtrError("not-found", `No such container: ${id}`);
    if (address === undefined)
      throw new CtrError("conflict", `Cannot link to a non running container: /${record.name} AS /${name}/${alias}`);
    return { record, alias, address };
  });
}

/** Lines of /etc/hosts: address, alias, hostname, name. */
export function linkLines(engine: Engine, record: ContainerRecord): string[] {
  return linked(engine, record).map(({ record: { config, name }, alias, address }) => {
    const names = [...new Set([alias, config.Hostname, name])];
    return `${address}\t${names.join(" ")}`;
  });
}

/** The variables of every link: its ports, and the linked container's own environment. */
export function linkEnvironment(engine: Engine, record: ContainerRecord): string[] {
  return linked(engine, record).flatMap(({ record: other, alias, address }) => {
    const prefix = alias.replaceAll("-", "_").toUpperCase();
    const ports = Object.keys(other.config.ExposedPorts ?? {})
      .map((port) => port.split("/"))
      .map(([number = "", protocol = "tcp"]) => ({ number: Number(number), protocol }))
      .sort((a, b) => a.number - b.number || (a.protocol < b.protocol ? -1 : 1));
    const [first] = ports;
    const url = (port: { number: number; protocol: string }) => `${port.protocol}://${address}:${port.number}`;
    return [
      ...(first === undefined ? [] : [`${prefix}_PORT=${url(first)}`]),
      ...ports.flatMap((port) => {
        const name = `${prefix}_PORT_${port.number}_${port.protocol.toUpperCase()}`;
        return [
          `${name}=${url(port)}`,
          `${name}_ADDR=${address}`,
          `${name}_PORT=${port.number}`,
          `${name}_PROTO=${port.protocol}`,
        ];
      }),
      `${prefix}_NAME=/${record.name}/${alias}`,
      ...other.config.Env.filter((variable) => !/^(HOME|PATH)=/.test(variable)).map(
        (variable) => `${prefix}_ENV_${variable}`,
      ),
    ];
  });
}

/** As Docker shows them: `/db:/web/alias`; null for none. */
export function linkNames(engine: Engine, { name, hostConfig }: ContainerRecord): readonly string[] | null {
  const links = (hostConfig.Links ?? []).flatMap((link) => {
    const [id = "", alias = ""] = link.split(":");
    const other = containerById(engine, id);
    return other === undefined ? [] : [`/${other.name}:/${name}/${alias}`];
  });
  return links.length === 0 ? null : links;
}

/** Takes a link away, `web/alias`: its next start knows nothing of it. Throws `not-found`. */
export function removeLink(engine: Engine, text: string): void {
  const [, name = "", alias = ""] = /^\/?([^/]+)\/(.+)$/.exec(text) ?? [];
  if (alias === "")
    throw new CtrError("invalid", `Conflict, cannot remove the default link name of the container: ${text}`);
  const { id, hostConfig } = findContainer(engine, name);
  if (!(hostConfig.Links ?? []).some((link) => link.endsWith(`:${alias}`)))
    throw new CtrError("not-found", `container ${name} has no link ${alias}`);
  reconfigureNetworks(engine, id, (record) => ({
    ...record.hostConfig,
    Links: (record.hostConfig.Links ?? []).filter((link) => !link.endsWith(`:${alias}`)),
  }));
}
