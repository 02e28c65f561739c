/**
 * Real idleness. Bun's event loop wakes every second or so for timers of its own (garbage collection, socket timeouts)
 * though nothing happens. A process with nothing to do waits outside it instead: in poll(2) on the loop's own epoll
 * descriptor, which becomes readable exactly when the loop has something to do (epoll(7): an epoll descriptor can be
 * polled). Signals, sockets and children all arrive there; JavaScript timers do not.
 */
import { AT_FDCWD, O_DIRECTORY, O_RDONLY, openat, POLLIN } from "./fd.ts";
import { getdents64, readlinkat } from "./file.ts";
import { filePages, type Mapping } from "./file-pages.ts";
import { pollAny } from "./watch.ts";

/** How long nothing has to happen before the loop is left. */
const QUIET_MS = 100;
/** How long after the last event memory is given back, once. */
const CLEAN_MS = 2000;

const FOR_EVER = Number.POSITIVE_INFINITY;

/** What a dozing process waits for besides its event loop. */
export interface Watched {
  /** How many milliseconds from now a JavaScript timer is due; undefined while none is waited for. */
  untilNextTimer(): number | undefined;
  /** Descriptors the loop does not know (a pidfd), and what to do once when one is readable. */
  readonly descriptors: Map<number, () => void>;
  /** Done at least this often, also in a sleep, of which it is no end: the only thing that ever wakes it for nothing. */
  readonly heartbeat?: { readonly everyMs: number; readonly beat: () => void } | undefined;
}

/**
 * From now on sleeps outside the event loop whenever nothing happens, and gives memory back before a long sleep. Where
 * Bun's epoll descriptor cannot be found the loop is not left: then the process merely wakes more often.
 */
export function dozeWhenIdle({ untilNextTimer, descriptors, heartbeat }: Watched): void {
  const epoll = findEventLoop();
  const beating = createHeartbeat(heartbeat);
  /** Until something happens, a timer is due, or the time is up; true if something did. */
  const wait = (limitMs: number, mappings: readonly Mapping[] = []): boolean => {
    const fds = [...(epoll === undefined ? [] : [epoll]), ...descriptors.keys()];
    const wanted = fds.map((fd) => ({ fd, events: POLLIN }));
    const timerMs = untilNextTimer();
    const until = performance.now() + (timerMs === undefined ? limitMs : Math.min(limitMs, timerMs));
    let events = beating.poll(wanted, epoll === undefined ? 0 : until, mappings);
    while (epoll !== undefined && events.every((event) => event === 0) && performance.now() < until)
      events = beating.poll(wanted, until, mappings);
    for (const [at, fd] of fds.entries()) {
      const react = descriptors.get(fd);
      if (react === undefined || events[at] === 0) continue;
      descriptors.delete(fd);
      react();
    }
    return events.some((event) => event !== 0);
  };
  let isShrunk = false;
  const doze = () => {
    if (isShrunk) {
      isShrunk = false;
      wait(FOR_EVER, filePages());
    } else if (!wait(CLEAN_MS) && (untilNextTimer() ?? FOR_EVER) > CLEAN_MS) {
      // What was compiled goes too, as soon as the loop turns; the pages that this touches are let go of after it.
      Bun.shrink();
      isShrunk = true;
    }
    rest();
  };
  // Not in the timer itself: it may run amid the events that the loop has taken from the kernel but not handled yet, and
  // what was reported once (a pipe that takes bytes again, EPOLLONESHOT) is not reported by the kernel a second time.
  const rest = () => setTimeout(() => setImmediate(doze), QUIET_MS);
  rest();
}

type Wanted = Parameters<typeof pollAny>[0];

/** poll(2) until a time of `performance.now`, or until the heart has to beat, which it does first if it is late. */
function createHeartbeat(heartbeat: Watched["heartbeat"]): {
  poll(wanted: Wanted, until: number, mappings: readonly Mapping[]): readonly number[];
} {
  let due = heartbeat === undefined ? FOR_EVER : performance.now() + heartbeat.everyMs;
  return {
    poll: (wanted, until, mappings) => {
      if (heartbeat !== undefined && performance.now() >= due) {
        due = performance.now() + heartbeat.everyMs;
        heartbeat.beat();
      }
      const end = Math.min(until, due);
      return pollAny(wanted, end === FOR_EVER ? -1 : Math.max(0, Math.ceil(end - performance.now())), mappings);
    },
  };
}

/** The lowest epoll descriptor: the event loop's is made before any other. */
function findEventLoop(): number | undefined {
  using directory = openat(AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY);
  const decoder = new TextDecoder();
  const numbers = getdents64(directory.number)
    .map(({ name }) => Number(typeof name === "string" ? name : decoder.decode(name)))
    .filter((number) => number !== directory.number)
    .sort((a, b) => a - b);
  return numbers.find(
    (number) => decoder.decode(readlinkat(directory.number, String(number))) === "anon_inode:[eventpoll]",
  );
}
