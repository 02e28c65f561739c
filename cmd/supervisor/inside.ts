/** A further program in the container, with streams of its own: what `ctr exec` and health checks have in common. */
import { idMapsOf } from "../../internal/container/id-maps.ts";
import { generateId } from "../../internal/container/names.ts";
import { containerCapabilities, execProcess, OCI_VERSION } from "../../internal/container/spec-process.ts";
import { CtrError, ENOENT, ESRCH, isErrno } from "../../internal/errors/error.ts";
import type { ExecProcess, TerminalSize } from "../../internal/ipc/supervisor.ts";
import { openTerminal } from "../../internal/rootfs/devices.ts";
import { containerRoot, join, userInContainer } from "../../internal/runtime/join.ts";
import type { SeccompListener } from "../../internal/security/seccomp.ts";
import type { Fd } from "../../internal/sys/fd.ts";
import { setWindowSize } from "../../internal/sys/pty.ts";
import { onChildExit } from "./children.ts";
import type { StreamName } from "./output.ts";
import { patiently } from "./patience.ts";
import { endsOf, makePipes, type ProgramEnds, type ProgramStreams, terminalStreams } from "./streams.ts";
import type { Supervision } from "./supervision.ts";

/** One that runs. */
export interface InsideProgram {
  readonly pid: number;
  readonly pidfd: Fd;
  readonly streams: ProgramStreams;
  /** Carries its output to `sink`; its exit status once it has ended and let go of its streams. To be called once. */
  finished(sink: (stream: StreamName, data: Uint8Array) => void | Promise<void>): Promise<number>;
}

export interface InsideOptions {
  readonly hasInput?: boolean;
  readonly size?: TerminalSize | undefined;
}

/** Starts it. Throws when the container does not run, and with status 126 or 127 when the program cannot. */
export async function startInside(
  supervision: Supervision,
  request: ExecProcess,
  { hasInput = false, size }: InsideOptions = {},
): Promise<InsideProgram> {
  const { pid, pidfd, cgroup, record } = supervision.running("exec in");
  using root = openRoot(supervision, pid);
  const process = execProcess(record, request);
  const groupAdd = record.hostConfig.GroupAdd ?? [];
  const user = userInContainer(root.number, request.user ?? record.config.User, groupAdd);
  // The container's own, whatever more this program may do (`exec --privileged`), as with Docker.
  const filter = await supervision.seccomp(containerCapabilities(record.hostConfig));
  using agent = filter?.listener === undefined ? undefined : await agentOf(filter.listener, supervision, pid);
  const spawn = (await supervision.isWatched()) ? (await import("../../internal/sys/joiner.ts")).spawnApart : undefined;
  const { streams, ends } = request.terminal ? openProgramTerminal(root.number, size) : makePipes(hasInput);
  const spawned = await startIn(supervision, pid, streams, ends, () =>
    join(
      pidfd,
      cgroup,
      process,
      user,
      filter,
      ends.fds,
      [],
      spawn,
      agent === undefined ? {} : { agent },
      idMapsOf(record.hostConfig),
    ),
  );
  const exited = new Promise<number>((resolve) => onChildExit(spawned.pid, (exit) => resolve(exit.status)));
  const execID = generateId();
  supervision.execs.add(execID);
  const line = request.args.join(" ");
  supervision.tell(`exec_create: ${line}`, { execID });
  supervision.tell(`exec_start: ${line}`, { execID });
  return {
    ...spawned,
    streams,
    async finished(sink) {
      const drained = streams.pump(sink);
      // Looked at below, when the program has ended.
      drained.catch(() => {});
      const status = await exited;
      await patiently(drained, streams);
      // Input that a child of the program holds and does not read is waited for no longer either.
      await patiently(streams.end());
      spawned.pidfd.close();
      supervision.execs.delete(execID);
      supervision.tell("exec_die", { execID, exitCode: String(status) });
      return status;
    },
  };
}

function openProgramTerminal(
  root: number,
  size: TerminalSize | undefined,
): { readonly streams: ProgramStreams; readonly ends: ProgramEnds } {
  const { master, slave } = openTerminal(root);
  if (size !== undefined) setWindowSize(master.number, size.rows, size.columns);
  return { streams: terminalStreams(master), ends: endsOf([slave, slave, slave]) };
}

/**
 * The container's root. A process on its way out has none any more (proc(5)), though it may be seen for a while: that is
 * told as what it is.
 */
function openRoot(supervision: Supervision, pid: number): Fd {
  try {
    return containerRoot(pid);
  } catch (error) {
    if (!isErrno(error, ENOENT, ESRCH)) throw error;
    throw supervision.notRunning("exec in");
  }
}

/** Closes the program's ends in any case, and ours too when there is no program. */
/** The agent of a filter that has one is told of the container, whose filter it is. */
async function agentOf(listener: SeccompListener, supervision: Supervision, pid: number) {
  const { reachAgent } = await import("../../internal/security/seccomp-agent.ts");
  return reachAgent(listener, { ociVersion: OCI_VERSION, ...supervision.name(), status: "running", pid });
}

async function startIn<T>(
  supervision: Supervision,
  pid: number,
  streams: ProgramStreams,
  ends: ProgramEnds,
  start: () => T,
): Promise<T> {
  try {
    return start();
  } catch (error) {
    await streams.close();
    // If it could not be joined because the container has just ended, this says so.
    openRoot(supervision, pid).close();
    if (error instanceof CtrError && error.exitStatus !== undefined) throw error;
    throw new CtrError("internal", error instanceof Error ? error.message : String(error), {
      cause: error,
      exitStatus: 126,
    });
  } finally {
    ends[Symbol.dispose]();
  }
}
