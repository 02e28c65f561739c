/**
 * A container's cgroup as a transient scope of systemd's (org.freedesktop.systemd1(5), StartTransientUnit), delegated to us.
 * A scope wants a process to begin with. It is ours for a moment: so that init can be born inside, with its cgroup
 * namespace rooted there, as in any other cgroup.
 */
import { CtrError } from "../../errors/error.ts";
import type { Resources } from "../../spec/runtime.ts";
import { readText } from "../../sys/file.ts";
import { type Cgroup, openCgroup } from "../cgroup.ts";
import { parseCpuList } from "../cpu-list.ts";
import { writeControl } from "../file.ts";
import { cgroupLayout } from "../layout.ts";
import { weightOfShares } from "../v2/cpu.ts";
import { swapLimit } from "../v2/memory.ts";
import { RefusedBySystemd, SystemdBus } from "./bus.ts";
import type { Property, Value, Writer } from "./message.ts";
import { type ScopePlace, scopePath } from "./place.ts";

/** A new scope with this process in it, which `leave` takes out again. */
export interface NewScope {
  readonly cgroup: Cgroup;
  leave(): void;
}

/**
 * Makes the scope, without limits: they would be this process's too. Throws `unsupported` without cgroup v2, and what
 * systemd refuses.
 */
export function createScope(place: ScopePlace): NewScope {
  const layout = cgroupLayout();
  const mountPoint = layout.hierarchies[0]?.mountPoint;
  if (layout.mode !== "v2" || mountPoint === undefined) {
    throw new CtrError("unsupported", "the systemd cgroup driver needs cgroup v2: use cgroupfs on this machine");
  }
  const home = ownCgroup();
  const path = scopePath(place);
  using bus = SystemdBus.open();
  startScope(bus, place, [
    ["Description", text(`ctr container ${place.unit}`)],
    ["Slice", text(place.slice)],
    ["PIDs", { type: "au", value: [process.pid] }],
    ["Delegate", YES],
    ["DefaultDependencies", { type: "b", value: false }],
    ...["MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"].map((name): Property => [name, YES]),
  ]);
  return {
    cgroup: openCgroup(path),
    leave: () => writeControl(`${mountPoint}${home}`, "cgroup.procs", process.pid, "leave the scope"),
  };
}

/**
 * Applies limits: by the files, which know more of them, and by the unit's properties, which systemd writes into the files
 * at its next reload.
 */
export function limitScope(place: ScopePlace, cgroup: Cgroup, resources: Resources): void {
  cgroup.update(resources);
  const properties = propertiesOf(resources);
  if (properties.length === 0) return;
  using bus = SystemdBus.open();
  bus.call("SetUnitProperties", "sba(sv)", (body) => {
    body.string(place.unit);
    body.uint32(1); // until the unit ends
    writeProperties(body, properties);
  });
}

function startScope(bus: SystemdBus, { unit }: ScopePlace, properties: readonly Property[]): void {
  const start = () =>
    bus.call("StartTransientUnit", "ssa(sv)a(sa(sv))", (body) => {
      body.string(unit);
      body.string("replace");
      writeProperties(body, properties);
      body.array(8, () => {});
    });
  let job: string;
  try {
    job = String(start().body[0]);
  } catch (error) {
    // A scope of that name that is over but not forgotten: of the container's last run.
    if (!(error instanceof RefusedBySystemd) || !error.errorName.endsWith(".UnitExists")) throw error;
    stopScope(bus, unit);
    job = String(start().body[0]);
  }
  const result = bus.jobResult(job);
  if (result !== "done") throw new CtrError("unavailable", `systemd could not start ${unit}: ${result}`);
}

function stopScope(bus: SystemdBus, unit: string): void {
  const reset = bus.call("StopUnit", "ss", (body) => {
    body.string(unit);
    body.string("replace");
  });
  bus.jobResult(String(reset.body[0]));
  try {
    bus.call("ResetFailedUnit", "s", (body) => body.string(unit));
  } catch (error) {
    // It had not failed, and is forgotten by now.
    if (!(error instanceof RefusedBySystemd)) throw error;
  }
}

function writeProperties(body: Writer, properties: readonly Property[]): void {
  body.array(8, () => {
    for (const [name, value] of properties) {
      body.align(8);
      body.string(name);
      body.variant(value);
    }
  });
}

const YES: Value = { type: "b", value: true };
const INFINITY = 2n ** 64n - 1n;
const USEC_PER_SEC = 1_000_000;

function text(value: string): Value {
  return { type: "s", value };
}

function number(value: number): Value {
  return { type: "t", value: value < 0 ? INFINITY : BigInt(Math.round(value)) };
}

/** The limits in systemd's words (systemd.resource-control(5)). */
export function propertiesOf({ memory, cpu, pids, blockIO }: Resources): Property[] {
  const properties: Property[] = [];
  if (memory?.limit !== undefined) properties.push(["MemoryMax", number(memory.limit)]);
  if (memory?.reservation !== undefined) properties.push(["MemoryLow", number(memory.reservation)]);
  const swap = memory === undefined ? undefined : swapLimit(memory);
  if (swap !== undefined) properties.push(["MemorySwapMax", number(swap === "max" ? -1 : Number(swap))]);
  if (cpu?.shares !== undefined && cpu.shares > 0) properties.push(["CPUWeight", number(weightOfShares(cpu.shares))]);
  if (cpu?.quota !== undefined && cpu.quota !== 0) {
    const period = cpu.period ?? 100_000;
    properties.push(["CPUQuotaPeriodUSec", number(period)]);
    properties.push([
      "CPUQuotaPerSecUSec",
      number(cpu.quota < 0 ? -1 : Math.ceil((cpu.quota * USEC_PER_SEC) / period)),
    ]);
  }
  if ((cpu?.cpus ?? "") !== "") properties.push(["AllowedCPUs", mask(cpu?.cpus ?? "")]);
  if ((cpu?.mems ?? "") !== "") properties.push(["AllowedMemoryNodes", mask(cpu?.mems ?? "")]);
  if (pids?.limit !== undefined) properties.push(["TasksMax", number(pids.limit > 0 ? pids.limit : -1)]);
  if (blockIO?.weight !== undefined && blockIO.weight !== 0) {
    properties.push(["IOWeight", number(1 + Math.floor(((blockIO.weight - 10) * 9999) / 990))]);
  }
  return properties;
}

/** A list of numbers as a bit mask, the lowest byte first. */
function mask(list: string): Value {
  const numbers = parseCpuList(list);
  const bytes = new Uint8Array(Math.floor(Math.max(...numbers) / 8) + 1);
  for (const bit of numbers) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
  return { type: "ay", value: bytes };
}

/** Where this process is in the v2 hierarchy (cgroups(7), /proc/<pid>/cgroup). */
function ownCgroup(): string {
  const [, path = ""] = /^0::(\/.*)$/m.exec(readText("/proc/self/cgroup")) ?? [];
  if (path === "") throw new CtrError("internal", "this process is in no cgroup of the v2 hierarchy");
  return path === "/" ? "" : path;
}
