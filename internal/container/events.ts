/** `events`: what was recorded, chosen by time and filters, and what is recorded from now on by any process. */
import { transaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { eventsAfter, lastSequence, type RecordedEvent } from "../db/events.ts";
import { CtrError } from "../errors/error.ts";
import { POLLERR, POLLHUP, POLLIN } from "../sys/fd.ts";
import { IN_MODIFY, inotifyAddWatch, inotifyDrain, inotifyInit, pollAny } from "../sys/watch.ts";

export interface EventRequest {
  /** From the past; undefined with `untilNs` undefined: only what happens from now on. */
  readonly sinceNs: bigint | undefined;
  /** Not after this; undefined: without end. */
  readonly untilNs: bigint | undefined;
  readonly accepts: (event: RecordedEvent) => boolean;
  /** A descriptor whose reader may go away, which ends the following. */
  readonly outputFd: number;
}

/** poll(2) takes milliseconds in an int. */
const LONGEST_WAIT_MS = 2 ** 31 - 1;

/** Tells every event asked for, oldest first; returns at `untilNs`, or when nobody reads any more. Blocks. */
export function followEvents(engine: Engine, request: EventRequest, tell: (event: RecordedEvent) => void): void {
  const { sinceNs, untilNs, accepts } = request;
  const wantsPast = sinceNs !== undefined || untilNs !== undefined;
  // Watched before it is looked: what is recorded in between wakes.
  using watch = inotifyInit();
  inotifyAddWatch(watch.number, logOf(engine), IN_MODIFY);
  let last = wantsPast ? 0 : lastSequence(engine);
  const tellNew = (events: readonly RecordedEvent[]) => {
    for (const event of events) {
      last = event.sequence;
      const isInTime = (sinceNs ?? 0n) <= event.timeNs && (untilNs === undefined || event.timeNs <= untilNs);
      if (isInTime && accepts(event)) tell(event);
    }
  };
  if (wantsPast) tellNew(eventsAfter(engine, last));
  for (;;) {
    const leftMs = untilNs === undefined ? -1 : Number(untilNs / 1_000_000n) + 1 - Date.now();
    if (untilNs !== undefined && leftMs <= 0) return;
    const wanted = [
      { fd: watch.number, events: POLLIN },
      { fd: request.outputFd, events: 0 },
    ];
    const [changed = 0, output = 0] = pollAny(wanted, Math.min(leftMs, LONGEST_WAIT_MS));
    if ((output & (POLLERR | POLLHUP)) !== 0) return;
    if (changed !== 0) inotifyDrain(watch.number);
    tellNew(committedAfter(engine, last));
  }
}

/** SQLite's write-ahead log: every transaction of every process is written into it (sqlite.org/wal.html). */
function logOf(engine: Engine): string {
  // Looked at once, so that this connection has it open: it is removed only when nobody has.
  lastSequence(engine);
  return `${engine.root}/ctr.db-wal`;
}

/**
 * A writer wakes us when its pages are in the log, a moment before they count. It holds the write lock until they do, so
 * whoever takes that lock sees them.
 */
function committedAfter(engine: Engine, sequence: number): RecordedEvent[] {
  return transaction(engine.db, () => eventsAfter(engine, sequence));
}

const KEYS = ["container", "daemon", "event", "image", "label", "network", "scope", "type", "volume"] as const;
type Key = (typeof KEYS)[number];

/** Reads `key=value` filters: the same key is "or", different keys are "and", labels are "and". Throws `invalid`. */
export function parseEventFilters(texts: readonly string[]): (event: RecordedEvent) => boolean {
  const values = new Map<Key, string[]>();
  for (const text of texts) {
    const equals = text.indexOf("=");
    if (equals < 0) throw new CtrError("invalid", "invalid argument: bad format of filter (expected name=value)");
    const name = text.slice(0, equals).trim().toLowerCase();
    const key = KEYS.find((candidate) => candidate === name);
    if (key === undefined) throw new CtrError("invalid", `invalid filter '${name}'`);
    values.set(key, [...(values.get(key) ?? []), text.slice(equals + 1).trim()]);
  }
  return (event) =>
    [...values].every(([key, wanted]) =>
      key === "label"
        ? wanted.every((value) => matches(event, key, value))
        : wanted.some((value) => matches(event, key, value)),
    );
}

/** moby daemon/events/filter.go: names and ids by their beginning, the rest exactly. */
function matches(event: RecordedEvent, key: Key, value: string): boolean {
  const { action, attributes, id, type } = event;
  switch (key) {
    case "event":
      // `exec_create: sh -c …` is an exec_create, `health_status: healthy` a health_status.
      return action === value || action.startsWith(`${value}:`);
    case "type":
      return type === value;
    case "scope":
      return value === "local";
    case "container":
    case "daemon":
    case "network":
    case "volume":
      return type === key && (id.startsWith(value) || (attributes["name"]?.startsWith(value) ?? false));
    case "image": {
      const name = (type === "image" ? attributes["name"] : attributes["image"]) ?? "";
      return [id, name, withoutTag(id), withoutTag(name)].includes(value) && (type === "image" || type === "container");
    }
    case "label": {
      const equals = value.indexOf("=");
      const label = equals < 0 ? value : value.slice(0, equals);
      return Object.hasOwn(attributes, label) && (equals < 0 || attributes[label] === value.slice(equals + 1));
    }
    default:
      key satisfies never;
      return false;
  }
}

function withoutTag(reference: string): string {
  return reference.replace(/:[\w][\w.-]*$/, "");
}
