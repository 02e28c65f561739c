/** `list`: the containers below the runtime's root. */
import { CtrError } from "../../../internal/errors/error.ts";
import { containerIds, openContainer } from "../../../internal/oci/container.ts";
import type { OciCommand } from "../command.ts";
import { print } from "../log.ts";
import { ownerName } from "../owner.ts";
import { table } from "../table.ts";

interface Row {
  readonly ociVersion: string;
  readonly id: string;
  readonly pid: number;
  readonly status: string;
  readonly bundle: string;
  readonly rootfs: string;
  readonly created: string;
  readonly annotations?: { readonly [key: string]: string };
  readonly owner: string;
}

export const command: OciCommand = {
  flags: { "format,f": "text", "quiet,q": "switch" },
  operands: [0, 0],
  usage: "[command options]",
  summary: "lists containers started by ctr oci with the given root",
  run({ flags, globals }) {
    const rows = containerIds(globals.root).flatMap((id) => rowOf(globals.root, id) ?? []);
    if (flags.isSet("quiet")) {
      print(rows.map(({ id }) => `${id}\n`).join(""));
      return 0;
    }
    switch (flags.text("format") ?? "table") {
      case "table":
        print(
          table([
            ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"],
            ...rows.map(({ id, pid, status, bundle, created, owner }) => [
              id,
              String(pid),
              status,
              bundle,
              created,
              owner,
            ]),
          ]),
        );
        return 0;
      case "json":
        print(`${rows.length === 0 ? "null" : JSON.stringify(rows)}\n`);
        return 0;
      default:
        throw new CtrError("invalid", "invalid format option");
    }
  },
};

/** Undefined for one that is not there any more, or not yet. */
function rowOf(root: string, id: string): Row | undefined {
  try {
    using directory = openContainer(root, id);
    const container = directory.read();
    if (container === undefined) return undefined;
    const status = directory.status(container);
    const { ociVersion, bundle, rootfs, created, annotations, init, uid } = container;
    const pid = status === "stopped" ? 0 : (init?.pid ?? 0);
    const owner = ownerName(uid);
    return { ociVersion, id, pid, status, bundle, rootfs, created, annotations, owner };
  } catch (error) {
    if (error instanceof CtrError && (error.kind === "not-found" || error.kind === "invalid")) return undefined;
    throw error;
  }
}
