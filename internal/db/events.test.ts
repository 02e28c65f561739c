import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { transaction } from "./database.ts";
import { type Engine, openEngine } from "./engine.ts";
import { EVENT_HISTORY, eventsAfter, lastSequence, recordEvent } from "./events.ts";

let directory: string;
let engine: Engine;

beforeEach(() => {
  directory = mkdtempSync("/tmp/ctr-events-");
  engine = openEngine({ root: `${directory}/root`, state: `${directory}/state` });
});

afterEach(() => {
  engine.db.close();
  rmSync(directory, { recursive: true });
});

function record(action: string): void {
  recordEvent(engine, { type: "container", action, id: "c1", attributes: { image: "alpine", name: "web" } });
}

test("events: what was recorded is told in its order, with its attributes and the time", () => {
  const beforeNs = BigInt(Date.now()) * 1_000_000n;
  record("create");
  record("start");
  const [first, second] = eventsAfter(engine, 0);
  expect(first).toMatchObject({ sequence: 1, type: "container", action: "create", id: "c1" });
  expect(first?.attributes).toEqual({ image: "alpine", name: "web" });
  expect(second).toMatchObject({ sequence: 2, action: "start" });
  expect((first?.timeNs ?? 0n) >= beforeNs).toBe(true);
  expect(eventsAfter(engine, 1).map(({ action }) => action)).toEqual(["start"]);
  expect(lastSequence(engine)).toBe(2);
});

test("events: one of a change that failed is not there", () => {
  expect(() =>
    transaction(engine.db, () => {
      record("start");
      throw new Error("the change failed");
    }),
  ).toThrow("the change failed");
  expect(eventsAfter(engine, 0)).toEqual([]);
  expect(lastSequence(engine)).toBe(0);
});

test("events: the history is bounded, and keeps the newest", () => {
  transaction(engine.db, () => {
    for (let number = 1; number <= EVENT_HISTORY + 1000; number++) record(String(number));
  });
  const left = eventsAfter(engine, 0);
  expect(left.length).toBe(EVENT_HISTORY);
  expect(left.at(-1)?.action).toBe(String(EVENT_HISTORY + 1000));
  expect(left[0]?.action).toBe("1001");
});
