/**
 * `test` for tests against the kernel: a failing test, and one that runs out of time, shows every command it ran
 * with status and output.
 */
import { test as bunTest } from "bun:test";
import { takeTranscript } from "./transcript.ts";

const TIMEOUT_MS = 30_000;

type Body = () => void | Promise<void>;

function wrap(body: Body, timeoutMs: number): () => Promise<void> {
  return async () => {
    takeTranscript();
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`the test took longer than ${timeoutMs} ms`)), timeoutMs);
    try {
      await Promise.race([body(), late]);
    } catch (error) {
      console.error(takeTranscript());
      throw error;
    } finally {
      clearTimeout(timer);
    }
  };
}

/** One test, with 30 s unless told otherwise. */
export function test(name: string, body: Body, timeoutMs = TIMEOUT_MS): void {
  // The runner's own limit is a little later: then ours can still print what happened.
  bunTest(name, wrap(body, timeoutMs), timeoutMs + 5_000);
}

/** A test that needs something: `test.if(needs("cgroup-v2"))("…", …)`. */
test.if =
  (condition: boolean) =>
  (name: string, body: Body, timeoutMs = TIMEOUT_MS) => {
    bunTest.if(condition)(name, wrap(body, timeoutMs), timeoutMs + 5_000);
  };

/** One test per row; `name` takes `%s` for the row's first element. */
test.each =
  <Row extends readonly [string, ...unknown[]]>(rows: readonly Row[]) =>
  (name: string, body: (...row: Row) => void | Promise<void>, timeoutMs = TIMEOUT_MS) => {
    for (const row of rows) test(name.replace("%s", row[0]), () => body(...row), timeoutMs);
  };
