import { expect, test } from "bun:test";
import type { ContainerRecord, ContainerState } from "../../../internal/container/record.ts";
import { commandText, ellipsis, imageText, shortId, statusText } from "./container-text.ts";

const NOW_MS = Date.parse("2026-11-21T12:10:00Z");

function inState(state: ContainerState, exitCode = 0): ContainerRecord {
  const runtime = { startedAt: "2026-11-21T12:05:00.123456789Z", finishedAt: "2026-11-21T12:09:58Z", exitCode };
  return { state, runtime } as unknown as ContainerRecord;
}

test.each<[ContainerState, number, string]>([
  ["created", 0, "Created"],
  ["running", 0, "Up 4 minutes"],
  ["paused", 0, "Up 4 minutes (Paused)"],
  ["restarting", 5, "Restarting (5) 2 seconds ago"],
  ["exited", 137, "Exited (137) 2 seconds ago"],
  ["removing", 0, "Removal In Progress"],
  ["dead", 0, "Dead"],
])("the status of %s", (state, exitCode, expected) => {
  expect(statusText(inState(state, exitCode), NOW_MS)).toBe(expected);
});

test.each<[string[] | null, string[] | null, string, string]>([
  [["sleep", "1000"], null, '"sleep 1000"', '"sleep 1000"'],
  [["-c", "echo hi"], ["sh"], `"sh -c 'echo hi'"`, `"sh -c 'echo hi'"`],
  [["echo a long enough command"], ["sh", "-c"], `"sh -c 'echo a long …"`, `"sh -c 'echo a long enough command'"`],
  [["\x1b[31m\x9b"], null, '"\\u001b[31m\\x9b"', '"\\u001b[31m\\x9b"'],
  [['say "x"'], null, '"say \\"x\\""', '"say \\"x\\""'],
])("the command %j of %j", (Cmd, Entrypoint, short, whole) => {
  const record = { config: { Cmd, Entrypoint } } as unknown as ContainerRecord;
  expect([commandText(record, true), commandText(record, false)]).toEqual([short, whole]);
});

test("an image named by its id is shortened, one with a name is not", () => {
  const imageId = `sha256:${"ab".repeat(32)}`;
  const named = (image: string) => imageText(image, imageId, true);
  expect(named("debian:12")).toBe("debian:12");
  expect(named(imageId)).toBe("abababababab");
  expect(named("ab".repeat(32))).toBe("abababababab");
  expect(named("ab")).toBe("ab");
});

test("ids and cuts", () => {
  expect(shortId(`sha256:${"0".repeat(64)}`)).toBe("0".repeat(12));
  expect([ellipsis("short", 5), ellipsis("longer", 5), ellipsis("ééééé", 4)]).toEqual(["short", "long…", "ééé…"]);
  // As docker ps shows them: two columns each.
  expect([ellipsis("日本語", 6), ellipsis("日本語", 5)]).toEqual(["日本語", "日本…"]);
  expect(ellipsis(`echo ${"日本語".repeat(7)}`, 20)).toBe("echo 日本語日本語日…");
});
