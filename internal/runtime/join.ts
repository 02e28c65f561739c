/** A further process in a running container, as `ctr exec` starts it. */
import type { Cgroup } from "../cgroups/cgroup.ts";
import { CtrError } from "../errors/error.ts";
import { giveStreams } from "../rootfs/standard-streams.ts";
import { type ResolvedUser, resolveUser } from "../rootfs/users.ts";
import { labelFailure, processImage, programFailure } from "../security/process-image.ts";
import type { SeccompFilter } from "../security/seccomp.ts";
import type { Process } from "../spec/runtime.ts";
import { type Fd, O_DIRECTORY, O_PATH, open } from "../sys/fd.ts";
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  type ProcessImage,
  SpawnError,
  type Spawned,
  type SpawnOptions,
  spawnProcess,
} from "../sys/spawn.ts";
import { type IdRuns, outside } from "../sys/user-namespace.ts";
import type { StandardFds } from "./waiting-init.ts";

/** The root file system of a running container, as a descriptor to resolve names below. */
export function containerRoot(pid: number): Fd {
  return open(`/proc/${pid}/root`, O_PATH | O_DIRECTORY);
}

/** How the process is started in its namespaces. */
export type SpawnIn = (image: ProcessImage, options: SpawnOptions & { readonly pidNamespaceFd: number }) => Spawned;

/** What a process can be started in: a cgroup, or a place in one. */
export type Enterable = Pick<Cgroup, "entrance">;

/** Resolves `name|uid[:group|gid]` in the container's own files. */
export function userInContainer(root: number, user: string, groupAdd: readonly string[]): ResolvedUser {
  return resolveUser(root, user, groupAdd);
}

/**
 * Starts `process` in the namespaces and the cgroup of the container whose PID 1 is behind `pidfd` (setns(2) with a pidfd,
 * kernel 5.8), by `spawn`. `rare` is what few programs ask for (security/scheduling.ts), `ids` are those of a container with
 * a user namespace, `moreKinds` namespaces that few containers have. Throws with exit status 126 or 127 when the program
 * cannot be run.
 */
export function join(
  pidfd: number,
  cgroup: Enterable,
  process: Process,
  user: ResolvedUser,
  seccomp: SeccompFilter | undefined,
  stdio: StandardFds,
  preserved: readonly number[] = [],
  spawn: SpawnIn = spawnProcess,
  rare: Partial<ProcessImage> = {},
  ids?: IdRuns,
  moreKinds = 0,
): Spawned {
  using entrance = cgroup.entrance();
  const kinds = moreKinds | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;
  const owner = outside(ids?.uids, user.uid);
  if (owner !== undefined) giveStreams(stdio, owner);
  try {
    const firstClosedFd = stdio.length + preserved.length;
    const image = { ...processImage(process, user, seccomp), ...rare, firstClosedFd };
    return spawn(image, {
      // The user namespace last: with it goes every right over the others that comes from outside.
      joins: [{ fd: pidfd, kind: kinds }, ...(ids === undefined ? [] : [{ fd: pidfd, kind: CLONE_NEWUSER }])],
      pidNamespaceFd: pidfd,
      ...(entrance.cgroupFd === undefined ? {} : { cgroupFd: entrance.cgroupFd }),
      taskFds: entrance.taskFds,
      fds: [...stdio, ...preserved],
      newSession: true,
    });
  } catch (error) {
    if (!(error instanceof SpawnError)) throw error;
    if (error.step === "exec") {
      const { message, exitStatus } = programFailure(process.args[0] ?? "", error.errno);
      throw new CtrError("invalid", message, { cause: error, exitStatus });
    }
    if (error.step === "chdir") {
      throw new CtrError("invalid", `chdir to cwd ("${process.cwd}"): ${error.message.replace(/^.*: /, "")}`, {
        cause: error,
        exitStatus: 126,
      });
    }
    throw labelFailure(error, process) ?? error;
  }
}
