/** The birth of a supervisor. On the path of every start, before anything else: it loads next to nothing. */
import { cgroupsPath, entranceOf, makeUsualPlaces, type Place, removePlaces } from "../cgroups/birth.ts";
import { cgroupLayout } from "../cgroups/layout.ts";
import { streamPipe } from "../runtime/stream-pipe.ts";
import { type InitStart, initStart } from "../runtime/waiting-init.ts";
import type { NamespaceType } from "../spec/runtime.ts";
import { type Fd, O_RDONLY, O_RDWR, open } from "../sys/fd.ts";
import { processStartTime } from "../sys/process.ts";
import { socketpair } from "../sys/socket.ts";
import { FIRST_PIDFD, type SpawnOptions, startRole } from "../sys/spawn.ts";
import { forgetStart, noteStart } from "./starting.ts";
import type { Keeper } from "./store.ts";

/** A supervisor that waits for its one `start` on `socket`; closing that without a word ends it, and its init with it. */
export interface NewSupervisor {
  readonly keeper: Keeper;
  readonly socket: Fd;
  /** The supervisor's end of its conversation with the init that was born with it, shared until the spec is written. */
  readonly init?: Fd;
  /** What it runs from: to be closed when there is nothing better to do, because that may take milliseconds. */
  readonly executable: Fd;
}

/** What is known of a container before it is recorded: enough to start init at once. */
export interface EarlyContainer {
  readonly id: string;
  readonly cgroupParent: string;
  /** A network namespace of its own. */
  readonly hasNetwork: boolean;
  readonly hasInput: boolean;
}

/** Lets go of a supervisor; one that was told nothing ends. Harmless for what was handed over already. */
export function dismiss({ socket, init, executable }: NewSupervisor): void {
  socket.close();
  init?.close();
  executable.close();
}

type Directories = { readonly root: string; readonly state: string };

/** Starts a supervisor, detached from the caller's session, directory, streams and environment. */
export function spawnSupervisor(directories: Directories): NewSupervisor {
  return spawn(directories, [], { fds: [] });
}

/**
 * Starts a supervisor and, as its child, an init in the namespaces of that container, while the caller is still finding
 * out what is to run in them. Such an init has a cgroup, but no row in the database yet: a note in the journal of starts
 * says whose it is, should we die before there is one.
 *
 * What the supervisor's descriptors are is read in cmd/supervisor/early.ts.
 */
export function spawnWithInit(directories: Directories, early: EarlyContainer): NewSupervisor {
  const { id, cgroupParent, hasNetwork, hasInput } = early;
  const keeper = { pid: process.pid, startTime: processStartTime(process.pid) ?? 0 };
  noteStart(directories.state, { id, cgroupParent, keeper });
  let places: readonly Place[] = [];
  let init: InitStart | undefined;
  try {
    places = makeUsualPlaces(cgroupsPath(id, cgroupParent));
    using opened = new DisposableStack();
    const stdout = opened.use(streamPipe());
    const stderr = opened.use(streamPipe());
    const stdin = hasInput ? opened.use(streamPipe()) : undefined;
    const input = stdin?.read ?? opened.use(open("/dev/null", O_RDONLY));
    const entrance = opened.use(entranceOf(places));
    init = opened.use(
      initStart(earlyNamespaces(hasNetwork), entrance, [input.number, stdout.write.number, stderr.write.number]),
    );
    const kept = [init.control, stdout.read, stderr.read, ...(stdin === undefined ? [] : [stdin.write])];
    const fds = [FIRST_PIDFD, ...kept.map(({ number }) => number)];
    const words = [id, cgroupParent, ...(hasInput ? ["stdin"] : [])];
    return { ...spawn(directories, words, { fds, first: init.start }), init: init.control };
  } catch (error) {
    init?.control.close();
    // A child that could not become what it was to be is gone again: nobody is inside.
    removePlaces(places);
    forgetStart(directories.state, id);
    throw error;
  }
}

function earlyNamespaces(hasNetwork: boolean): { readonly type: NamespaceType }[] {
  const types: NamespaceType[] = ["mount", "uts", "ipc", "pid"];
  if (hasNetwork) types.push("network");
  if (cgroupLayout().mode === "v2") types.push("cgroup");
  return types.map((type) => ({ type }));
}

function spawn(
  { root, state }: Directories,
  words: readonly string[],
  { fds, first }: Pick<SpawnOptions, "fds" | "first">,
): NewSupervisor {
  using nothing = open("/dev/null", O_RDWR);
  const [ours, theirs] = socketpair();
  try {
    const given = [nothing.number, nothing.number, nothing.number, theirs.number, ...fds];
    const options = { fds: given, newSession: true, ...(first === undefined ? {} : { first }) };
    const { executable, ...spawned } = startRole("supervisor", words, { CTR_ROOT: root, CTR_STATE: state }, options);
    spawned.pidfd.close();
    const keeper = { pid: spawned.pid, startTime: processStartTime(spawned.pid) ?? 0 };
    return { keeper, socket: ours, executable };
  } catch (error) {
    ours.close();
    throw error;
  } finally {
    theirs.close();
  }
}
