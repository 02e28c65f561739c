/**
 * A directory tree stands in for the resctrl file system: this machine's kernel has none. What the kernel does at mkdir(2)
 * (the files of a group), the test does; rmdir(2) takes a group's files with it there, so what is to be removed is empty here.
 */
import { afterAll, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { ENOSPC, SyscallError } from "../errors/error.ts";
import type { IntelRdt } from "../spec/runtime.ts";
import { enterPlace, leavePlace, makePlace, planPlace, resctrlRoot, updatePlace } from "./resctrl.ts";
import { schemataLines, unlike } from "./schemata.ts";
import { resctrlStats } from "./stats.ts";

const home = mkdtempSync("/tmp/ctr-resctrl-");
let root = "";
let count = 0;

/** What the kernel does for a new group; a write to `schemata` is kept line by line. */
function standIn(path: string): void {
  mkdirSync(path);
  for (const name of ["tasks", "schemata"]) writeFileSync(`${path}/${name}`, "");
  if (!path.includes("/mon_groups/")) mkdirSync(`${path}/mon_groups`);
}

beforeEach(() => {
  root = `${home}/${count++}`;
  standIn(root);
  mkdirSync(`${root}/info/L3_MON`, { recursive: true });
  writeFileSync(`${root}/info/last_cmd_status`, "ok\n");
  writeFileSync(`${root}/info/L3_MON/mon_features`, "llc_occupancy\n");
});
afterAll(() => rmSync(home, { recursive: true }));

function made(id: string, rdt: IntelRdt) {
  const place = planPlace(root, id, rdt);
  makePlace(place, rdt, standIn);
  return place;
}
const content = (name: string) => readFileSync(`${root}/${name}`, "utf8");

test("resctrl is found where it is mounted", () => {
  const line = "36 25 0:31 / /sys/fs/res\\040ctrl rw,relatime shared:13 - resctrl resctrl rw";
  expect(resctrlRoot(`25 1 8:1 / / rw - ext4 /dev/sda rw\n${line}\n`)).toBe("/sys/fs/res ctrl");
  expect(() => resctrlRoot("25 1 8:1 / / rw - ext4 /dev/sda rw\n")).toThrow("no resctrl file system is mounted");
});

test("without a closID the class is the container's, and ends with it", () => {
  const place = made("one", { l3CacheSchema: "L3:0=f" });
  expect(place).toEqual({ root, group: `${root}/one`, isNew: true, isOwn: true });
  enterPlace(place, 42);
  expect(content("one/tasks")).toBe("42\n");
  expect(content("one/schemata")).toBe("L3:0=f\n");
  for (const name of ["tasks", "schemata", "mon_groups"]) rmSync(`${root}/one/${name}`, { recursive: true });
  leavePlace(place);
  expect(existsSync(`${root}/one`)).toBe(false);
  leavePlace(place);
});

test("a class with a name is made, and stays when the container goes", () => {
  const place = made("one", { closID: "gold", memBwSchema: "MB:0=20" });
  leavePlace(place);
  expect(existsSync(`${root}/gold`)).toBe(true);
  for (const name of ["tasks", "schemata", "mon_groups"]) rmSync(`${root}/gold/${name}`, { recursive: true });
  leavePlace(place, true);
  expect(existsSync(`${root}/gold`)).toBe(false);
});

test("a class that is there is joined, if it has what is asked for", () => {
  standIn(`${root}/gold`);
  writeFileSync(`${root}/gold/schemata`, "    L3:0=0007f0;1=1f\n    MB:0=20;1=70\n");
  expect(made("one", { closID: "gold", l3CacheSchema: "L3:0=7F0", memBwSchema: "MB:1=70" }).isNew).toBe(false);
  expect(() => planPlace(root, "two", { closID: "gold", l3CacheSchema: "L3:0=7f0;1=f" })).toThrow(
    "linux.intelRdt: the class of service gold has another L3:0=7f0;1=f",
  );
  const joined = made("three", { closID: "gold" });
  leavePlace(joined, true);
  expect(existsSync(`${root}/gold/tasks`)).toBe(true);
});

test("a class that is not there is an error where there is nothing to make it of", () => {
  expect(() => planPlace(root, "one", { closID: "gold" })).toThrow("there is no class of service gold");
});

test("the class / is the file system's own", () => {
  const place = made("one", { closID: "/" });
  enterPlace(place, 7);
  expect(content("tasks")).toBe("7\n");
  expect(content("schemata")).toBe("");
  leavePlace(place, true);
  expect(existsSync(`${root}/tasks`)).toBe(true);
});

test("monitoring: a group of the container's own inside its class", () => {
  const place = made("one", { closID: "/", enableMonitoring: true });
  expect(place.monitor).toBe(`${root}/mon_groups/one`);
  enterPlace(place, 7);
  expect(content("mon_groups/one/tasks")).toBe("7\n");
  expect(made("two", { closID: "/", enableCMT: true }).monitor).toBe(`${root}/mon_groups/two`);
  expect(() => planPlace(root, "three", { enableMBM: true })).toThrow(
    "linux.intelRdt.enableMBM: this machine does not count mbm_total_bytes",
  );
  for (const name of ["tasks", "schemata"]) rmSync(`${root}/mon_groups/one/${name}`);
  leavePlace(place);
  expect(existsSync(`${root}/mon_groups/one`)).toBe(false);
});

test("a machine that has no further class says so", () => {
  const place = planPlace(root, "one", {});
  const full = () => {
    throw new SyscallError("mkdirat", ENOSPC, place.group);
  };
  expect(() => makePlace(place, {}, full)).toThrow("this machine has no further class of service");
});

test("what the kernel refuses is told in its words", () => {
  const place = planPlace(root, "one", { l3CacheSchema: "L3:0=5" });
  const withoutSchemata = (path: string) => {
    mkdirSync(path);
    writeFileSync(`${root}/info/last_cmd_status`, "The mask 5 has non-consecutive 1-bits\n");
  };
  expect(() => makePlace(place, { l3CacheSchema: "L3:0=5" }, withoutSchemata)).toThrow(
    'linux.intelRdt: write "L3:0=5" (The mask 5 has non-consecutive 1-bits)',
  );
});

test.each([
  [{ closID: ".." }, "names no class of service"],
  [{ closID: "a/b" }, "names no class of service"],
  [{ closID: "info" }, "names no class of service"],
  [{ memBwSchema: "L3:0=f" }, "linux.intelRdt.memBwSchema: must be one line that begins with MB:"],
  [{ memBwSchema: "MB:0=1\nL3:0=f" }, "linux.intelRdt.memBwSchema: must be one line that begins with MB:"],
  [{ schemata: ["L3:0=f", "L2:0=f\n"] }, "linux.intelRdt.schemata[1]: must be one line"],
] as const)("%p is refused", (rdt, words) => {
  expect(() => planPlace(root, "one", rdt)).toThrow(words);
});

test("the lines in their order: the cache's, the bandwidth's, the schemata", () => {
  const all = { l3CacheSchema: "L3:0=f\nMB:0=10", memBwSchema: "MB:0=20", schemata: ["L2:0=1", "MB:0=30"] };
  expect(schemataLines(all)).toEqual(["L3:0=f", "MB:0=20", "L2:0=1", "MB:0=30"]);
  expect(schemataLines({ l3CacheSchema: "L3:0=f\nMB:0=10" })).toEqual(["L3:0=f", "MB:0=10"]);
  expect(schemataLines({})).toEqual([]);
  expect(unlike(["L2:0=1"], "L3:0=f\n")).toEqual(["L2:0=1"]);
});

test("update writes other limits", () => {
  const place = made("one", {});
  expect(content("one/schemata")).toBe("");
  updatePlace(place, { memBwSchema: "MB:0=50" });
  expect(content("one/schemata")).toBe("MB:0=50\n");
});

test("stats: limits of all and of the container's class, and what its monitor has counted", () => {
  const place = made("one", { l3CacheSchema: "L3:0=f", enableMonitoring: true });
  writeFileSync(`${root}/schemata`, "    MB:0=100\n    L3:0=7ff\n");
  mkdirSync(`${root}/info/L3`);
  for (const [name, text] of [
    ["cbm_mask", "7ff"],
    ["min_cbm_bits", "1"],
    ["num_closids", "16"],
  ] as const)
    writeFileSync(`${root}/info/L3/${name}`, `${text}\n`);
  const counted = `${root}/one/mon_groups/one/mon_data/mon_L3_00`;
  mkdirSync(counted, { recursive: true });
  writeFileSync(`${counted}/llc_occupancy`, "16234000\n");
  writeFileSync(`${counted}/mbm_total_bytes`, "Unavailable\n");
  expect(resctrlStats(place)).toEqual({
    l3_cache_info: { cbm_mask: "7ff", min_cbm_bits: 1, num_closids: 16 },
    l3_cache_schema_root: "L3:0=7ff",
    l3_cache_schema: "L3:0=f",
    mem_bw_schema_root: "MB:0=100",
    cmt_stats: [{ llc_occupancy: 16234000 }],
  });
});
