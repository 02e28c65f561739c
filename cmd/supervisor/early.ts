/**
 * What a new supervisor does before it knows its container: it starts init in the namespaces that the client has read off
 * the command line already, so that the two interpreters start side by side. `ctr supervisor ID CGROUP-PARENT NETWORK [stdin]`.
 *
 * Such an init has a cgroup, but no row in the database yet. The shared lock held meanwhile tells the collector of
 * orphaned cgroups to keep its hands off; it dies with this process, as init does when its socket closes.
 */
import { cgroupsPath } from "../../internal/cgroups/cgroup.ts";
import { cgroupLayout } from "../../internal/cgroups/layout.ts";
import { startInit, type WaitingInit } from "../../internal/runtime/waiting-init.ts";
import type { NamespaceType } from "../../internal/spec/runtime.ts";
import { type Fd, flock, LOCK_SH, O_CREAT, O_RDWR, open } from "../../internal/sys/fd.ts";
import { mkdirAll } from "../../internal/sys/file.ts";
import { makePipes, type ProgramStreams } from "./streams.ts";

/** An init that waits, with the streams it was born with. */
export interface EarlyStart {
  readonly init: WaitingInit;
  readonly streams: ProgramStreams;
  readonly hasInput: boolean;
  readonly namespaces: readonly NamespaceType[];
  /** Held until the container's row names this supervisor. */
  readonly lock: Fd;
}

/** The same, and whether init was given its spec already. */
export type HandedOver = EarlyStart & { readonly hasSpec: boolean };

/** Where the lock is. */
export function startingLock(state: string): string {
  return `${state}/starting.lock`;
}

/** Starts init if the arguments say how (internal/container/spawn-supervisor.ts); undefined without them. */
export function startEarly(state: string, args: readonly string[]): EarlyStart | undefined {
  const [id, cgroupParent, network, stdin] = args;
  if (id === undefined || cgroupParent === undefined) return undefined;
  const namespaces: NamespaceType[] = ["mount", "uts", "ipc", "pid"];
  if (network === "network") namespaces.push("network");
  if (cgroupLayout().mode === "v2") namespaces.push("cgroup");
  mkdirAll(state, 0o711);
  const lock = open(startingLock(state), O_RDWR | O_CREAT, 0o600);
  flock(lock.number, LOCK_SH);
  const hasInput = stdin === "stdin";
  const { streams, ends } = makePipes(hasInput);
  using given = ends;
  const kinds = namespaces.map((type) => ({ type }));
  const path = cgroupParent === "" ? cgroupsPath(id) : cgroupsPath(id, cgroupParent);
  return { init: startInit(path, kinds, given.fds), streams, hasInput, namespaces, lock };
}
