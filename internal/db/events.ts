/**
 * What happened, for `ctr events`: rows of the table `event`, written in the transaction of the change they tell of, so
 * that none is lost or invented. The newest `EVENT_HISTORY` and a few more are kept.
 */
import { endingTransaction } from "./database.ts";
import type { Engine } from "./engine.ts";

/** Docker's types of objects that things happen to. */
export type EventType = "builder" | "container" | "daemon" | "image" | "network" | "volume";

/** One event. `id` is the object's, `attributes` what Docker shows in brackets. */
export interface NewEvent {
  readonly type: EventType;
  /** Docker's word: `start`, `exec_start: sh -c …`, `health_status: healthy`. */
  readonly action: string;
  readonly id: string;
  readonly attributes: { readonly [name: string]: string };
}

/** An event as it was recorded. */
export interface RecordedEvent extends NewEvent {
  /** Grows with every commit: what is recorded later has a higher one. */
  readonly sequence: number;
  /** Nanoseconds since 1970. */
  readonly timeNs: bigint;
}

/** How many events are remembered at least. */
export const EVENT_HISTORY = 10_000;
/** So often are those beyond them let go: together they cost less than one at a time. */
const TRIM_INTERVAL = 500;

/** Records that something happened. Call it inside the transaction that makes it happen: both are there, or neither. */
export function recordEvent(engine: Engine, { type, action, id, attributes }: NewEvent): void {
  // By itself only where nothing else is written, such as a signal: that must not fail for want of room.
  if (!engine.db.inTransaction) {
    endingTransaction(engine.db, () => recordEvent(engine, { type, action, id, attributes }));
    return;
  }
  const { lastInsertRowid } = engine.db
    .query("INSERT INTO event (time_ns, type, action, actor, attributes) VALUES (?, ?, ?, ?, ?)")
    .run(nowNs(), type, action, id, JSON.stringify(attributes));
  const sequence = Number(lastInsertRowid);
  if (sequence % TRIM_INTERVAL === 0) {
    engine.db.query("DELETE FROM event WHERE sequence <= ?").run(sequence - EVENT_HISTORY);
  }
}

/** The wall clock's milliseconds, with the rest of the monotonic one. */
function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n + BigInt(Math.floor((performance.now() % 1) * 1e6));
}

interface Row {
  readonly sequence: number;
  readonly time_ns: string;
  readonly type: EventType;
  readonly action: string;
  readonly actor: string;
  readonly attributes: string;
}

/** What was recorded after `sequence` (0: everything remembered), oldest first. */
export function eventsAfter(engine: Engine, sequence: number): RecordedEvent[] {
  return (
    engine.db
      // As text: it has more digits than a number here keeps.
      .query<Row, [number]>(
        `SELECT sequence, CAST(time_ns AS TEXT) AS time_ns, type, action, actor, attributes
           FROM event WHERE sequence > ? ORDER BY sequence`,
      )
      .all(sequence)
      .map((row) => ({
        sequence: row.sequence,
        timeNs: BigInt(row.time_ns),
        type: row.type,
        action: row.action,
        id: row.actor,
        // Only `recordEvent` writes the column.
        attributes: JSON.parse(row.attributes) as NewEvent["attributes"],
      }))
  );
}

/** The newest event's sequence, 0 if there is none. */
export function lastSequence(engine: Engine): number {
  const row = engine.db.query<{ last: number | null }, []>("SELECT max(sequence) AS last FROM event").get();
  return row?.last ?? 0;
}
