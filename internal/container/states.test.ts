import { expect, test } from "bun:test";
import { checkMove, isLive, isState, mayMove } from "./states.ts";

test.each([
  ["created", "running", true],
  ["created", "exited", false],
  ["running", "exited", true],
  ["paused", "running", true],
  ["exited", "running", true],
  ["exited", "paused", false],
  ["removing", "running", false],
  ["dead", "removing", true],
] as const)("states: %s to %s is %p", (from, to, allowed) => {
  expect(mayMove(from, to)).toBe(allowed);
});

test("states: a refused move names the container and both states", () => {
  expect(() => checkMove("web", "exited", "paused")).toThrow("container web is exited: it cannot become paused");
});

test("states: only what has a supervisor is live", () => {
  expect(
    (["created", "running", "paused", "restarting", "exited", "removing", "dead"] as const).filter(isLive),
  ).toEqual(["running", "paused", "restarting"]);
});

test("states: a word of the prototype is not a state", () => {
  expect(isState("running")).toBe(true);
  expect(isState("constructor")).toBe(false);
  expect(isState("stopped")).toBe(false);
});
