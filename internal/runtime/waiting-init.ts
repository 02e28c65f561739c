/**
 * `ctr init` started in its namespaces and its cgroup, waiting for its spec. A supervisor may start it before the spec is
 * known, as soon as it knows the namespaces: the interpreter's start is then over when the spec arrives. This file is
 * loaded before anything else on that path and imports accordingly little.
 */
import { type Cgroup, createCgroup } from "../cgroups/cgroup.ts";
import { NAMESPACES } from "../spec/namespaces.ts";
import type { Namespace } from "../spec/runtime.ts";
import { type Fd, O_RDONLY, open } from "../sys/fd.ts";
import { pidfdSendSignal, waitChild } from "../sys/process.ts";
import { socketpair } from "../sys/socket.ts";
import { CLONE_NEWNET, type SpawnOptions, spawnRole } from "../sys/spawn.ts";

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

/** Makes the cgroup, without limits yet, and starts init in it. */
export function startInit(cgroupPath: string, namespaces: readonly Namespace[], stdio: StandardFds): WaitingInit {
  const cgroup = createCgroup(cgroupPath, {});
  try {
    return spawnInit(namespaces, cgroup, stdio);
  } catch (error) {
    cgroup.destroy();
    throw error;
  }
}

/** Starts init in new and joined namespaces, in the cgroup from its first instruction on. */
export function spawnInit(namespaces: readonly Namespace[], cgroup: Cgroup, stdio: StandardFds): WaitingInit {
  using opened = new DisposableStack();
  const entrance = opened.use(cgroup.entrance());
  let made = 0;
  let pidNamespaceFd: number | undefined;
  const joins: { fd: number; kind: number }[] = [];
  for (const { type, flag } of NAMESPACES) {
    const wanted = namespaces.find((namespace) => namespace.type === type);
    if (wanted === undefined) continue;
    if (wanted.path === undefined) {
      made |= flag;
      continue;
    }
    const fd = opened.use(open(wanted.path, O_RDONLY)).number;
    if (type === "pid") pidNamespaceFd = fd;
    else joins.push({ fd, kind: flag });
  }
  const [ours, theirs] = socketpair();
  opened.use(theirs);
  const options: SpawnOptions = {
    namespaces: made,
    joins,
    ...(pidNamespaceFd === undefined ? {} : { pidNamespaceFd }),
    ...(entrance.cgroupFd === undefined ? {} : { cgroupFd: entrance.cgroupFd }),
    taskFds: entrance.taskFds,
    fds: [...stdio, theirs.number],
    newSession: true,
  };
  try {
    const { pid, pidfd } = spawnRole("init", (made & CLONE_NEWNET) === 0 ? [] : ["own-network"], {}, options);
    const abandon = () => {
      pidfdSendSignal(pidfd.number, SIGKILL);
      waitChild(pid, true);
      pidfd.close();
      cgroup.destroy();
    };
    return { pid, pidfd, cgroup, control: ours, abandon };
  } catch (error) {
    ours.close();
    throw error;
  }
}
