/**
 * What a new supervisor does before it knows its container: it starts init in the namespaces that the client has read off
 * the command line already, so that the two interpreters start side by side. `ctr supervisor PATH NAMESPACES [stdin]`.
 *
 * Such an init has a cgroup, but no row in the database yet. The shared lock held meanwhile tells the collector of
 * orphaned cgroups to keep its hands off; it dies with this process, as init does when its socket closes.
 */
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

/** Where the lock is. */
export function startingLock(state: string): string {
  return `${state}/starting.lock`;
}

/** Starts init if the arguments say how; undefined without them. */
export function startEarly(state: string, args: readonly string[]): EarlyStart | undefined {
  const [cgroupPath, namespaceList, stdin] = args;
  if (cgroupPath === undefined || namespaceList === undefined) return undefined;
  const namespaces = namespaceList.split(",") as NamespaceType[];
  mkdirAll(state, 0o711);
  const lock = open(startingLock(state), O_RDWR | O_CREAT, 0o600);
  flock(lock.number, LOCK_SH);
  const hasInput = stdin === "stdin";
  const { streams, ends } = makePipes(hasInput);
  using given = ends;
  const kinds = namespaces.map((type) => ({ type }));
  return { init: startInit(cgroupPath, kinds, given.fds), streams, hasInput, namespaces, lock };
}
