import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { POLLIN } from "../sys/fd.ts";
import { pollAny } from "../sys/watch.ts";
import { watchOom } from "./oom-watch.ts";

test("memory.events: only another kill counts, whatever else the kernel writes there", () => {
  const directory = mkdtempSync("/tmp/ctr-oom-");
  const write = (max: number, kills: number) =>
    writeFileSync(`${directory}/memory.events`, `low 0\nmax ${max}\noom ${kills}\noom_kill ${kills}\n`);
  write(0, 2);
  using watch = watchOom(directory);
  const isReadable = () => pollAny([{ fd: watch.fd, events: POLLIN }], 0)[0] === POLLIN;
  expect([isReadable(), watch.hasHappened()]).toEqual([false, false]);
  write(7, 2);
  expect([isReadable(), watch.hasHappened(), isReadable()]).toEqual([true, false, false]);
  write(8, 3);
  expect([isReadable(), watch.hasHappened(), watch.hasHappened()]).toEqual([true, true, false]);
  rmSync(directory, { recursive: true });
});
