/** `--network`, `--pid`, `--ipc`, `--uts`: which namespaces a container has of its own, and whose it shares. */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import type { Mount, Namespace, NamespaceType } from "../spec/runtime.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists, readlinkat } from "../sys/file.ts";
import { isRunning } from "../sys/process.ts";
import type { ContainerRecord, HostConfig } from "./record.ts";
import { hasOwnCgroupNamespace } from "./resources.ts";
import { containerById, findContainer } from "./store.ts";

/** The containers, all running, that others' namespaces come from. */
export interface Donors {
  readonly network?: ContainerRecord | undefined;
  readonly pid?: ContainerRecord | undefined;
  readonly ipc?: ContainerRecord | undefined;
  /** Whose user namespace it is in: root of another one may not join what belongs to it. */
  readonly user?: ContainerRecord | undefined;
}

/** `container:<name>` with the id: the name may change. Throws `not-found`. */
export function withId(engine: Engine, mode: string): string {
  return mode.startsWith("container:") ? `container:${findContainer(engine, mode.slice(10)).id}` : mode;
}

/** Throws if one of them is gone, or does not run. */
export function donorsOf(engine: Engine, { hostConfig }: ContainerRecord): Donors {
  const ipc = donor(engine, hostConfig.IpcMode ?? "", "IPC");
  if (ipc !== undefined && ipc.hostConfig.IpcMode !== "shareable") {
    throw new CtrError(
      "invalid",
      `container ${ipc.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
    );
  }
  const network = donor(engine, hostConfig.NetworkMode, "network");
  const pid = donor(engine, hostConfig.PidMode ?? "", "PID namespace");
  if (hostConfig.IDMappings === undefined) return { network, pid, ipc };
  const user = donor(engine, hostConfig.UsernsMode ?? "", "user namespace");
  return { network, pid, ipc, user: sameUserNamespace([user, network, pid, ipc]) };
}

/** The first of those there are. Throws when one of them is in another user namespace, though its ids may be the same. */
function sameUserNamespace(donors: readonly (ContainerRecord | undefined)[]): ContainerRecord | undefined {
  const present = donors.filter((record) => record !== undefined);
  const [first] = present;
  const namespace = ({ runtime }: ContainerRecord) =>
    new TextDecoder().decode(readlinkat(AT_FDCWD, `/proc/${runtime.pid}/ns/user`));
  const other = present.find((record) => first !== undefined && namespace(record) !== namespace(first));
  if (first === undefined || other === undefined) return first;
  const message = `containers ${first.name} and ${other.name} are in different user namespaces: cannot join both`;
  throw new CtrError("conflict", message);
}

function donor(engine: Engine, mode: string, what: string): ContainerRecord | undefined {
  if (!mode.startsWith("container:")) return undefined;
  const id = mode.slice("container:".length);
  const record = containerById(engine, id);
  if (record === undefined) throw new CtrError("not-found", `No such container: ${id}`);
  if (!isRunning(record.runtime.pid, record.runtime.pidStartTime)) {
    throw new CtrError("conflict", `cannot join ${what} of a non running container: ${record.id}`);
  }
  return record;
}

/** New ones, those of donors by path, and none where the host's is meant. */
export function namespacesOf({ hostConfig }: ContainerRecord, donors: Donors): readonly Namespace[] {
  const { NetworkMode, PidMode, IpcMode, UTSMode } = hostConfig;
  return [
    ...(hostConfig.IDMappings === undefined ? [] : namespace("user", undefined, donors.user)),
    { type: "mount" },
    ...namespace("uts", UTSMode, undefined),
    ...namespace("ipc", IpcMode, donors.ipc),
    ...namespace("pid", PidMode, donors.pid),
    ...(hasOwnCgroupNamespace(hostConfig) ? [{ type: "cgroup" } as const] : []),
    ...namespace("network", NetworkMode, donors.network, "net"),
  ];
}

function namespace(
  type: NamespaceType,
  mode: string | undefined,
  donor: ContainerRecord | undefined,
  file: string = type,
): readonly Namespace[] {
  if (mode === "host") return [];
  return donor === undefined ? [{ type }] : [{ type, path: `/proc/${donor.runtime.pid}/ns/${file}` }];
}

const SHM_OPTIONS = ["nosuid", "noexec", "nodev"];

/** /dev/shm and /dev/mqueue where they are not simply new: the donor's, the host's, or none; undefined where they are. */
export function ipcMounts({ IpcMode, ShmSize }: HostConfig, { ipc }: Donors): readonly Mount[] | undefined {
  const mqueue: Mount = { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: SHM_OPTIONS };
  if (IpcMode === "none") return [mqueue];
  if (IpcMode === "host") {
    return ["/dev/mqueue", "/dev/shm"]
      .filter((path) => exists(AT_FDCWD, path))
      .map((path) => ({ destination: path, type: "bind", source: path, options: ["rbind", "rprivate"] }));
  }
  if (ipc === undefined) return undefined;
  const { pid, pidStartTime } = ipc.runtime;
  const options = [...SHM_OPTIONS, "mode=1777", `size=${ShmSize}`, `X-ctr.shared-with=${pid}:${pidStartTime}:/dev/shm`];
  return [mqueue, { destination: "/dev/shm", type: "tmpfs", source: "shm", options }];
}
