import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Gauge } from "./gauge.ts";
import type { Layout } from "./layout.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync("/tmp/ctr-gauge-");
});
afterEach(() => rmSync(home, { recursive: true }));

function write(files: { readonly [path: string]: string }): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(`${home}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    writeFileSync(`${home}/${path}`, text);
  }
}

test("gauge: v1, and a look again", () => {
  const layout: Layout = {
    mode: "v1",
    hierarchies: ["memory", "cpuacct", "pids", "blkio"].map((name) => ({
      version: 1,
      mountPoint: `${home}/${name}`,
      controllers: [name],
    })),
  };
  write({
    "memory/a/memory.usage_in_bytes": "5000\n",
    "memory/a/memory.limit_in_bytes": "8192\n",
    "memory/a/memory.stat": "cache 1\ninactive_file 7\ntotal_cache 9\ntotal_inactive_file 1000\n",
    "cpuacct/a/cpuacct.usage": "123456789\n",
    "pids/a/pids.current": "3\n",
    "blkio/a/blkio.throttle.io_service_bytes_recursive":
      "254:0 Read 100\n254:0 Write 20\n254:0 Total 120\n8:0 Read 1\n8:0 Write 2\nTotal 123\n",
  });
  using gauge = new Gauge("/a", layout);
  const usage = {
    cpuNs: 123456789,
    memoryBytes: 4000,
    memoryLimitBytes: 8192,
    pids: 3,
    readBytes: 101,
    writeBytes: 22,
  };
  expect(gauge.read()).toEqual(usage);
  write({ "pids/a/pids.current": "4\n" });
  expect(gauge.read()).toEqual({ ...usage, pids: 4 });
});

test("gauge: v2, without a limit, and what is not counted is 0", () => {
  const layout: Layout = { mode: "v2", hierarchies: [{ version: 2, mountPoint: home, controllers: [] }] };
  write({
    "a/memory.current": "5000\n",
    "a/memory.max": "max\n",
    "a/memory.stat": "anon 3\ninactive_file 1000\n",
    "a/cpu.stat": "usage_usec 42\nuser_usec 40\n",
    "a/io.stat": "254:0 rbytes=100 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:0 rbytes=1 wbytes=2\n",
  });
  using gauge = new Gauge("/a", layout);
  expect(gauge.read()).toEqual({
    cpuNs: 42_000,
    memoryBytes: 4000,
    memoryLimitBytes: Number.POSITIVE_INFINITY,
    pids: 0,
    readBytes: 101,
    writeBytes: 22,
  });
});
