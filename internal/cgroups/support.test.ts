import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { Layout } from "./layout.ts";
import { limitSupport } from "./support.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync("/tmp/ctr-support-");
});
afterEach(() => rmSync(home, { recursive: true }));

function write(files: { readonly [path: string]: string }): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(`${home}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    writeFileSync(`${home}/${path}`, text);
  }
}

test("support: v2 is judged by a cgroup that has the controller, not by the root or by its first child", () => {
  const layout: Layout = { mode: "v2", hierarchies: [{ version: 2, mountPoint: home, controllers: [] }] };
  write({
    "cgroup.controllers": "cpu io memory pids\n",
    "a.mount/cgroup.controllers": "\n",
    "system.slice/cgroup.controllers": "io memory\n",
    "system.slice/io.max": "",
    "system.slice/memory.max": "max\n",
  });
  expect(limitSupport(layout)).toEqual({
    memory: true,
    swap: false,
    memoryReservation: true,
    memorySwappiness: false,
    oomKillDisable: false,
    cpuShares: true,
    cpuQuota: true,
    cpuRealtime: false,
    cpuset: false,
    pids: true,
    blkioWeight: false,
    blkioWeightDevice: false,
    blkioThrottle: true,
  });
});

test("support: v1 by the files of each hierarchy's root", () => {
  const hierarchies = ["memory", "cpu", "blkio"].map((name) => ({
    version: 1 as const,
    mountPoint: `${home}/${name}`,
    controllers: [name],
  }));
  write({
    "memory/memory.limit_in_bytes": "1",
    "memory/memory.swappiness": "60",
    "cpu/cpu.shares": "1024",
    "blkio/blkio.bfq.weight": "100",
    "blkio/blkio.throttle.read_bps_device": "",
  });
  expect(limitSupport({ mode: "v1", hierarchies })).toMatchObject({
    memory: true,
    swap: false,
    memorySwappiness: true,
    cpuShares: true,
    cpuQuota: false,
    cpuset: false,
    pids: false,
    blkioWeight: true,
    blkioWeightDevice: false,
    blkioThrottle: true,
  });
});
