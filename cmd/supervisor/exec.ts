/** `ctr exec`: another program in the container, with streams of its own. */
import { generateId } from "../../internal/container/names.ts";
import { execProcess } from "../../internal/container/spec.ts";
import { CtrError, ENOENT, ESRCH, isErrno } from "../../internal/errors/error.ts";
import type { ToSupervisor } from "../../internal/ipc/supervisor.ts";
import { openTerminal } from "../../internal/rootfs/devices.ts";
import { containerRoot, join, userInContainer } from "../../internal/runtime/join.ts";
import type { Fd } from "../../internal/sys/fd.ts";
import { setWindowSize } from "../../internal/sys/pty.ts";
import { onChildExit } from "./children.ts";
import { failure } from "./failure.ts";
import { Audience, type Client } from "./output.ts";
import { follow } from "./requests.ts";
import { endsOf, makePipes, type ProgramEnds, type ProgramStreams, terminalStreams } from "./streams.ts";
import type { Supervision } from "./supervision.ts";

type ExecRequest = Extract<ToSupervisor, { type: "exec" }>;

/** Starts the program, answers `started`, carries its streams, and answers `exited` when it has ended. */
export async function startExec(supervision: Supervision, client: Client, request: ExecRequest): Promise<void> {
  const { pid, pidfd, cgroup, record } = supervision.running("exec in");
  using root = openRoot(supervision, pid);
  const process = execProcess(record, request.process);
  const groupAdd = record.hostConfig.GroupAdd ?? [];
  const user = userInContainer(root.number, request.process.user ?? record.config.User, groupAdd);
  const filter = await supervision.seccomp(process);
  const { streams, ends } = request.process.terminal
    ? openExecTerminal(root.number, request)
    : makePipes(request.streams?.stdin ?? false);
  const spawned = await startIn(supervision, pid, streams, ends, () =>
    join(pidfd, cgroup, process, user, filter, ends.fds),
  );
  const exited = new Promise<number>((resolve) => onChildExit(spawned.pid, (exit) => resolve(exit.status)));

  const audience = new Audience();
  let isOver = false;
  client.send({ type: "started", pid: spawned.pid });
  const execId = generateId();
  const line = request.process.args.join(" ");
  supervision.tell(`exec_create: ${line}`, { execID: execId });
  supervision.tell(`exec_start: ${line}`, { execID: execId });
  if (request.streams === undefined) client.end();
  else {
    audience.add(client, request.streams);
    const { pidfd } = spawned;
    const program = { pidfd, input: streams.input, terminal: streams.terminal, closesInput: true };
    void follow(client, () => (isOver ? undefined : program), request.streams).catch((error: unknown) => {
      client.send(failure(error));
      client.end();
    });
  }
  const drained = streams.pump((stream, data) => audience.tell(stream, data));
  // Looked at below, when the program has ended.
  drained.catch(() => {});
  const status = await exited;
  await supervision.patiently(drained, streams);
  isOver = true;
  // Input that a child of the program holds and does not read is waited for no longer either.
  await supervision.patiently(streams.end());
  spawned.pidfd.close();
  supervision.tell("exec_die", { execID: execId, exitCode: String(status) });
  audience.dismiss({ type: "exited", status });
}

function openExecTerminal(
  root: number,
  request: ExecRequest,
): { readonly streams: ProgramStreams; readonly ends: ProgramEnds } {
  const { master, slave } = openTerminal(root);
  if (request.size !== undefined) setWindowSize(master.number, request.size.rows, request.size.columns);
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
