/** The birth of a supervisor. On the path of every start, before anything else: it loads next to nothing. */
import { type Fd, O_RDWR, open } from "../sys/fd.ts";
import { processStartTime } from "../sys/process.ts";
import { socketpair } from "../sys/socket.ts";
import { spawnRole } from "../sys/spawn.ts";
import { noteStart } from "./starting.ts";
import type { Keeper } from "./store.ts";

/** A supervisor that waits for its one `start` on `socket`; closing that without a word ends it. */
export interface NewSupervisor {
  readonly keeper: Keeper;
  readonly socket: Fd;
}

/** What is known of a container before it is recorded: enough for its supervisor to start init at once. */
export interface EarlyContainer {
  readonly id: string;
  readonly cgroupParent: string;
  /** A network namespace of its own. */
  readonly hasNetwork: boolean;
  readonly hasInput: boolean;
}

/**
 * Starts a supervisor, detached from the caller's session, directory, streams and environment. With `early` it starts
 * init in the namespaces of that container while the caller is still finding out what is to run in them.
 */
export function spawnSupervisor(
  directories: { readonly root: string; readonly state: string },
  early?: EarlyContainer,
): NewSupervisor {
  using nothing = open("/dev/null", O_RDWR);
  const [ours, theirs] = socketpair();
  try {
    const stdio = [nothing.number, nothing.number, nothing.number];
    const settings = { CTR_ROOT: directories.root, CTR_STATE: directories.state };
    const words = early === undefined ? [] : earlyWords(early);
    const spawned = spawnRole("supervisor", words, settings, { fds: [...stdio, theirs.number], newSession: true });
    using _ = spawned.pidfd;
    const keeper = { pid: spawned.pid, startTime: processStartTime(spawned.pid) ?? 0 };
    // Before its interpreter has loaded what could make a cgroup.
    if (early !== undefined) noteStart(directories.state, { ...early, keeper });
    return { keeper, socket: ours };
  } catch (error) {
    ours.close();
    throw error;
  } finally {
    theirs.close();
  }
}

/** The supervisor's arguments; cmd/supervisor/early.ts reads them. */
function earlyWords({ id, cgroupParent, hasNetwork, hasInput }: EarlyContainer): string[] {
  return [id, cgroupParent, hasNetwork ? "network" : "host-network", ...(hasInput ? ["stdin"] : [])];
}
