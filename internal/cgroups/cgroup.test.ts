/** A temporary directory stands in for a hierarchy; what the kernel does with it is tested in test/kernel/resources.test.ts. */
import { afterAll, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Resources } from "../spec/runtime.ts";
import { ALWAYS_MADE, cgroupsPath, makeUsualPlaces, removePlaces } from "./birth.ts";
import { createCgroup, listCgroups, openCgroup } from "./cgroup.ts";
import { V1_CONTROLLERS } from "./controllers.ts";
import { compileDeviceProgram, devicePolicy } from "./device-program.ts";
import type { Layout } from "./layout.ts";
import { cpu as cpuV1 } from "./v1/cpu.ts";
import { cpuset as cpusetV1 } from "./v1/cpuset.ts";
import { ruleLines } from "./v1/devices.ts";
import { memory as memoryV1, oomKills as oomKillsV1 } from "./v1/memory.ts";
import { pids } from "./v1/pids.ts";
import { cpu as cpuV2, weightOfShares } from "./v2/cpu.ts";
import { io } from "./v2/io.ts";
import { memory as memoryV2, oomKills as oomKillsV2, swapLimit } from "./v2/memory.ts";

const home = mkdtempSync("/tmp/ctr-cgroups-");
let directory = "";
let count = 0;
beforeEach(() => {
  directory = `${home}/${count++}/memory`;
  mkdirSync(directory, { recursive: true });
});
afterAll(() => rmSync(home, { recursive: true }));

/** Makes the kernel's files, and reads them back. */
function files(content: { readonly [name: string]: string }): void {
  for (const [name, text] of Object.entries(content)) writeFileSync(`${directory}/${name}`, text);
}
const content = (name: string) => readFileSync(`${directory}/${name}`, "utf8");

test("v1 memory: a fresh cgroup gets the limit, then memory and swap", () => {
  files({
    "memory.limit_in_bytes": "",
    "memory.memsw.limit_in_bytes": "9223372036854771712\n",
    "memory.soft_limit_in_bytes": "",
  });
  memoryV1.apply(directory, { memory: { limit: 1000, swap: 2000, reservation: 500 } });
  expect(content("memory.limit_in_bytes")).toBe("1000");
  expect(content("memory.memsw.limit_in_bytes")).toStartWith("2000");
  expect(content("memory.soft_limit_in_bytes")).toBe("500");
});

test("v1 memory: without swap accounting memory is limited alone", () => {
  files({ "memory.limit_in_bytes": "" });
  memoryV1.apply(directory, { memory: { limit: 1000, swap: 2000 } });
  expect(readdirSync(directory)).toEqual(["memory.limit_in_bytes"]);
});

test("v1 memory: a file that this kernel does not have is explained", () => {
  expect(() => memoryV1.apply(directory, { memory: { swappiness: 10 } })).toThrow(
    "memory swappiness 10: this kernel has no memory.swappiness",
  );
});

test("v1 and v2 memory: kills are counted", () => {
  files({
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "memory.events": "low 0\noom 1\noom_kill 3\n",
  });
  expect(oomKillsV1(directory)).toBe(2);
  expect(oomKillsV2(directory)).toBe(3);
});

test("v1 cpu: shares, period and quota are written", () => {
  files({ "cpu.shares": "", "cpu.cfs_period_us": "", "cpu.cfs_quota_us": "" });
  cpuV1.apply(directory, { cpu: { shares: 512, quota: 50000, period: 100000 } });
  expect([content("cpu.shares"), content("cpu.cfs_quota_us"), content("cpu.cfs_period_us")]).toEqual([
    "512",
    "50000",
    "100000",
  ]);
  expect(cpuV1.isAsked({ cpu: { cpus: "0" } })).toBe(false);
});

test("v1 cpuset: an empty set is inherited, and a CPU that is not there is refused", () => {
  mkdirSync(`${directory}/c`);
  files({ "cpuset.cpus": "0-1\n", "cpuset.mems": "0\n", "c/cpuset.cpus": "", "c/cpuset.mems": "\n" });
  cpusetV1.apply(`${directory}/c`, { cpu: { cpus: "1" } });
  // A file of the kernel is replaced by a write; this stand-in keeps its old tail.
  expect(content("c/cpuset.cpus")).toStartWith("1");
  expect(content("c/cpuset.mems")).toStartWith("0");
  expect(() => cpusetV1.apply(`${directory}/c`, { cpu: { cpus: "7" } })).toThrow("Requested CPUs are not available");
});

test("pids: 0 and less is no limit", () => {
  files({ "pids.max": "" });
  pids.apply(directory, { pids: { limit: 10 } });
  expect(content("pids.max")).toBe("10");
  files({ "pids.max": "" });
  pids.apply(directory, { pids: { limit: -1 } });
  expect(content("pids.max")).toBe("max");
});

test("v2 memory: swap is what is left of the sum", () => {
  files({ "memory.max": "", "memory.swap.max": "", "memory.low": "" });
  memoryV2.apply(directory, { memory: { limit: 1000, swap: 3000, reservation: 10 } });
  expect([content("memory.max"), content("memory.swap.max"), content("memory.low")]).toEqual(["1000", "2000", "10"]);
  expect(swapLimit({ limit: 1000, swap: -1 })).toBe("max");
  expect(swapLimit({ limit: 1000 })).toBeUndefined();
  expect(() => swapLimit({ limit: 1000, swap: 10 })).toThrow("below the memory limit");
});

test("v2 cpu: what is not given stays", () => {
  files({ "cpu.max": "max 100000\n", "cpu.weight": "" });
  cpuV2.apply(directory, { cpu: { quota: 50000, shares: 1024 } });
  expect([content("cpu.max").trim(), content("cpu.weight")]).toEqual(["50000 100000", "100"]);
});

test.each([
  [2, 1],
  [256, 35],
  [512, 59],
  [1024, 100],
  [2048, 174],
  [262144, 10000],
  [0, 1],
])("v2 cpu: %p shares are weight %p", (shares, weight) => {
  expect(weightOfShares(shares)).toBe(weight);
});

test("v2 io: limits are lines, and weights follow the scheduler", () => {
  files({ "io.max": "", "io.weight": "" });
  io.apply(directory, { blockIO: { weight: 1000, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1048576 }] } });
  expect([content("io.max"), content("io.weight")]).toEqual(["8:0 rbps=1048576", "10000"]);
});

test.each<[NonNullable<Resources["devices"]>[number], readonly string[]]>([
  [{ allow: false }, ["a"]],
  [{ allow: false, access: "rwm" }, ["a"]],
  [{ allow: true, type: "c", major: 1, minor: 3, access: "rwm" }, ["c 1:3 rwm"]],
  [{ allow: true, type: "b", access: "m" }, ["b *:* m"]],
  [{ allow: true, type: "a", major: 7, access: "r" }, ["b 7:* r", "c 7:* r"]],
])("v1 devices: %p", (rule, lines) => {
  expect(ruleLines(rule)).toEqual(lines);
});

/** The eBPF instructions of device programs, as the kernel runs them. */
function mayUse(
  rules: NonNullable<Resources["devices"]>,
  type: "b" | "c",
  major: number,
  minor: number,
  access: string,
): boolean {
  const program = compileDeviceProgram(devicePolicy(rules));
  const view = new DataView(program.buffer);
  const mask = [...access].reduce((sum, letter) => sum | ({ m: 1, r: 2, w: 4 }[letter] ?? 0), 0);
  const context = [(mask << 16) | (type === "b" ? 1 : 2), major, minor];
  const registers = new Array<number>(11).fill(0);
  for (let at = 0; at < program.length / 8; at++) {
    const [code, to, from] = [view.getUint8(at * 8), view.getUint8(at * 8 + 1) & 15, view.getUint8(at * 8 + 1) >> 4];
    const [offset, value] = [view.getInt16(at * 8 + 2, true), view.getInt32(at * 8 + 4, true)];
    const [a = 0, b = 0] = [registers[to], registers[from]];
    if (code === 0x61) registers[to] = context[offset / 4] ?? 0;
    else if (code === 0xbf) registers[to] = b;
    else if (code === 0xb7) registers[to] = value;
    else if (code === 0x54) registers[to] = a & value;
    else if (code === 0x74) registers[to] = a >>> value;
    else if (code === 0x15) at += a === value ? offset : 0;
    else if (code === 0x55) at += a !== value ? offset : 0;
    else if (code === 0x5d) at += a !== b ? offset : 0;
    else if (code === 0x95) return registers[0] === 1;
    else throw new Error(`instruction ${code}`);
  }
  throw new Error("ran past the end");
}

test("v2 devices: the default list allows its devices, and making any node, and nothing else", () => {
  const rules: Resources["devices"] = [
    { allow: false },
    { allow: true, type: "c", access: "m" },
    { allow: true, type: "b", access: "m" },
    { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
    { allow: true, type: "c", major: 136, access: "rwm" },
  ];
  expect(mayUse(rules, "c", 1, 3, "rw")).toBe(true);
  expect(mayUse(rules, "c", 136, 77, "r")).toBe(true);
  expect(mayUse(rules, "b", 8, 0, "m")).toBe(true);
  expect(mayUse(rules, "b", 8, 0, "r")).toBe(false);
  expect(mayUse(rules, "b", 8, 0, "rm")).toBe(false);
  expect(mayUse(rules, "c", 1, 1, "r")).toBe(false);
});

test("v2 devices: rules for one device add up, and a later rule takes back", () => {
  const device = { type: "c" as const, major: 10, minor: 200 };
  const both: Resources["devices"] = [
    { allow: true, ...device, access: "r" },
    { allow: true, ...device, access: "w" },
  ];
  expect(mayUse(both, "c", 10, 200, "rw")).toBe(true);
  expect(mayUse([...both, { allow: false, ...device, access: "w" }], "c", 10, 200, "w")).toBe(false);
  const allBut: Resources["devices"] = [{ allow: true }, { allow: false, ...device, access: "w" }];
  expect(mayUse(allBut, "c", 10, 200, "r")).toBe(true);
  expect(mayUse(allBut, "c", 10, 200, "rw")).toBe(false);
  expect(mayUse(allBut, "b", 10, 200, "rw")).toBe(true);
});

const layout = (): Layout => ({
  mode: "v1",
  hierarchies: [
    { version: 1, mountPoint: directory, controllers: ["memory"] },
    { version: 1, mountPoint: `${directory}/../memory/../memory`, controllers: ["net_cls"] },
  ],
});

test("a cgroup is made below its parent where it is needed, listed, and removed", () => {
  const cgroup = createCgroup(cgroupsPath("abc"), {}, layout());
  expect(cgroup.directories).toEqual([{ name: "memory", directory: `${directory}/ctr/abc` }]);
  expect(listCgroups("ctr", layout())).toEqual(["abc"]);
  cgroup.remove();
  cgroup.remove();
  expect(listCgroups("ctr", layout())).toEqual([]);
  expect(openCgroup(cgroupsPath("abc"), layout()).directories).toEqual([]);
});

test("a limit that fails leaves nothing, and a controller that is missing is named", () => {
  expect(() => createCgroup("/ctr/abc", { memory: { limit: 5 } }, layout())).toThrow(
    "memory limit 5: this kernel has no",
  );
  expect(() => createCgroup("/ctr/abc", { pids: { limit: 5 } }, layout())).toThrow(
    "this machine has no pids cgroup controller",
  );
  expect(() => createCgroup("/ctr/abc", { unified: { "a.b": "1" } }, layout())).toThrow("needs cgroup v2");
  expect(readdirSync(`${directory}/ctr`)).toEqual([]);
});

test.each(["/", "", "/a/../b", "/./a", "/a\nb"])("cgroup path %p is refused", (path) => {
  expect(() => createCgroup(path, {}, layout())).toThrow("is not usable");
});

test("a birth makes what a creation without limits makes, and takes it back", () => {
  const born = makeUsualPlaces(cgroupsPath("born"), layout()).map(({ directory }) => directory.replace("born", "made"));
  const made = createCgroup(cgroupsPath("made"), {}, layout());
  expect(born.toSorted()).toEqual(made.directories.map(({ directory }) => directory).toSorted());
  removePlaces(makeUsualPlaces(cgroupsPath("other"), layout()));
  expect(openCgroup(cgroupsPath("other"), layout()).directories).toEqual([]);
});

test("what every container has is the same in both tables", () => {
  expect(ALWAYS_MADE.toSorted()).toEqual(
    V1_CONTROLLERS.flatMap((row) => (row.isAlwaysMade ? [row.name] : [])).toSorted(),
  );
});
