/**
 * `ctr init` started in its namespaces and its cgroup, waiting for its spec. It may be started before the spec is known,
 * as soon as the namespaces are: the interpreter's start is then over when the spec arrives. This file is loaded before
 * anything else on that path and imports accordingly little.
 */
import type { Entrance } from "../cgroups/birth.ts";
import type { Cgroup } from "../cgroups/cgroup.ts";
import { CtrError } from "../errors/error.ts";
import { NAMESPACES } from "../spec/namespaces.ts";
import type { Namespace } from "../spec/runtime.ts";
import { type Fd, O_RDONLY, open } from "../sys/fd.ts";
import { pidfdSendSignal, pidOfPidfd, waitChild } from "../sys/process.ts";
import { socketpair } from "../sys/socket.ts";
import { CLONE_NEWNET, type RoleStart, spawnRole } from "../sys/spawn.ts";

const SIGKILL = 9;

/** What init's descriptors 0, 1 and 2 are; with a terminal they are replaced by it. They stay the caller's. */
export type StandardFds = readonly [stdin: number, stdout: number, stderr: number];

/** An init that has not been told anything yet. */
export interface WaitingInit {
  readonly pid: number;
  readonly pidfd: Fd;
  readonly cgroup: Cgroup;
  /** Our end of the conversation. */
  readonly control: Fd;
  /** Ends it and removes its cgroup, as if it had never been. */
  abandon(): void;
}

/** What an init is given besides its standard streams. */
export interface InitExtras {
  /** A listening socket, for an init that is to hold. */
  readonly listener?: number;
  /** Descriptors for the program. */
  readonly preserved?: readonly number[];
  /** The spec is known, and is sent as soon as init is there. */
  readonly isSpecKnown?: boolean;
  readonly noPivot?: boolean;
  readonly outside?: OutsideStart;
}

/** An init to be started; its descriptors live until it is disposed. */
export interface InitStart extends Disposable {
  readonly start: RoleStart;
  /** The other end of its conversation; the caller's from here on. */
  readonly control: Fd;
}

/** A user namespace for init to be root in, and mounts it is given, as descriptors from `firstTree` on. */
export interface OutsideStart {
  readonly userNamespace?: number;
  readonly trees: readonly number[];
}

/** Its streams and its socket (INIT_CONTROL_FD of ipc/init.ts, which is not for this path to load). */
const OWN_DESCRIPTORS = 4;

/** Behind all others, and one that its socket may be moved to. */
export function firstTree({ listener, preserved = [] }: InitExtras): number {
  return OWN_DESCRIPTORS + (listener === undefined ? 0 : 1) + preserved.length + 1;
}

/** How init is started in new and joined namespaces, in the cgroup of `entrance` from its first instruction on. */
export function initStart(
  namespaces: readonly Namespace[],
  entrance: Entrance,
  stdio: StandardFds,
  { listener, preserved = [], outside, isSpecKnown = false, noPivot = false }: InitExtras = {},
): InitStart {
  using opened = new DisposableStack();
  let made = 0;
  let pidNamespaceFd: number | undefined;
  const joins: { fd: number; kind: number }[] = [];
  for (const { type, flag } of NAMESPACES) {
    const wanted = namespaces.find((namespace) => namespace.type === type);
    // The user namespace init is born in, by what was opened of it.
    if (wanted === undefined || type === "user") continue;
    if (type === "time") {
      if (wanted.path !== undefined) throw new CtrError("unsupported", "a time namespace cannot be joined by its path");
      // Init enters it itself, when its offsets are known.
      continue;
    }
    if (wanted.path === undefined) {
      made |= flag;
      continue;
    }
    const fd = opened.use(open(wanted.path, O_RDONLY)).number;
    if (type === "pid") pidNamespaceFd = fd;
    else joins.push({ fd, kind: flag });
  }
  const [control, theirs] = socketpair();
  opened.use(theirs);
  const options = {
    namespaces: made,
    joins,
    ...(pidNamespaceFd === undefined ? {} : { pidNamespaceFd }),
    ...(entrance.cgroupFd === undefined ? {} : { cgroupFd: entrance.cgroupFd }),
    taskFds: entrance.taskFds,
    ...(outside?.userNamespace === undefined ? {} : { userNamespaceFd: outside.userNamespace }),
    fds: [
      ...stdio,
      theirs.number,
      ...(listener === undefined ? [] : [listener]),
      ...preserved,
      ...(outside === undefined ? [] : [stdio[0], ...outside.trees]),
    ],
    newSession: true,
  };
  const args = [
    ...((made & CLONE_NEWNET) === 0 ? [] : ["own-network"]),
    ...(isSpecKnown ? ["spec-comes"] : []),
    ...(noPivot ? ["no-pivot"] : []),
  ];
  const owned = opened.move();
  return { start: { role: "init", args, options }, control, [Symbol.dispose]: () => owned.dispose() };
}

/** Starts init as our child. */
export function spawnInit(
  namespaces: readonly Namespace[],
  cgroup: Cgroup,
  stdio: StandardFds,
  extras: InitExtras = {},
): WaitingInit {
  using entrance = cgroup.entrance();
  using init = initStart(namespaces, entrance, stdio, extras);
  const { role, args, options } = init.start;
  try {
    const { pid, pidfd } = spawnRole(role, args, {}, options);
    return waitingInit(pid, pidfd, cgroup, init.control);
  } catch (error) {
    init.control.close();
    throw error;
  }
}

/** An init that was started as our child before we were what we are now (`SpawnOptions.first`). */
export function adoptInit(pidfd: Fd, cgroup: Cgroup, control: Fd): WaitingInit {
  return waitingInit(pidOfPidfd(pidfd.number), pidfd, cgroup, control);
}

function waitingInit(pid: number, pidfd: Fd, cgroup: Cgroup, control: Fd): WaitingInit {
  const abandon = () => {
    pidfdSendSignal(pidfd.number, SIGKILL);
    waitChild(pid, true);
    pidfd.close();
    cgroup.destroy();
  };
  return { pid, pidfd, cgroup, control, abandon };
}
