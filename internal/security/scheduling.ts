/**
 * How a process is scheduled, as the kernel takes it (runtime-spec config.md#linux-process): sched_setattr(2), ioprio_set(2)
 * and sched_setaffinity(2). Loaded only for a process that asks for any of it.
 */
import { CtrError } from "../errors/error.ts";
import type { Linux, Process, Scheduler } from "../spec/runtime.ts";
import type { Scheduling } from "../sys/spawn.ts";

// sched(7), linux/sched.h
const POLICIES: { readonly [name: string]: number } = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
};

// sched_setattr(2)
const FLAGS: { readonly [name: string]: number } = {
  SCHED_FLAG_RESET_ON_FORK: 0x01,
  SCHED_FLAG_RECLAIM: 0x02,
  SCHED_FLAG_DL_OVERRUN: 0x04,
  SCHED_FLAG_KEEP_POLICY: 0x08,
  SCHED_FLAG_KEEP_PARAMS: 0x10,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40,
};

// ioprio_set(2), linux/ioprio.h
const IO_CLASSES: { readonly [name: string]: number } = {
  IOPRIO_CLASS_RT: 1,
  IOPRIO_CLASS_BE: 2,
  IOPRIO_CLASS_IDLE: 3,
};
const IOPRIO_CLASS_SHIFT = 13;

/** The CPUs that a mask can name: CPU_SETSIZE of the C library. */
const MAX_CPUS = 1024;

/** What the process asks for. Throws `invalid` naming the field for what the specification does not have. */
export function schedulingOf({ scheduler, ioPriority, execCPUAffinity }: Process): Scheduling {
  const { initial, final } = execCPUAffinity ?? {};
  return {
    ...(scheduler === undefined ? {} : { attributes: attributesOf(scheduler) }),
    ...(ioPriority === undefined ? {} : { ioPriority: ioPriorityOf(ioPriority) }),
    ...(initial === undefined ? {} : { initialCpus: cpuMask("process.execCPUAffinity.initial", initial) }),
    ...(final === undefined ? {} : { cpus: cpuMask("process.execCPUAffinity.final", final) }),
  };
}

// personality(2)
const DOMAINS = { LINUX: 0, LINUX32: 8 } as const;

/** The same, with the execution domain. */
export function rareSettings(
  process: Process,
  personality: Linux["personality"],
): { readonly scheduling: Scheduling; readonly personality?: number } {
  const scheduling = schedulingOf(process);
  return { scheduling, ...(personality === undefined ? {} : { personality: DOMAINS[personality.domain] }) };
}

/** `struct sched_attr`, as of its first version. */
function attributesOf(asked: Scheduler): Uint8Array {
  const { policy, nice = 0, priority = 0, flags = [], runtime = 0, deadline = 0, period = 0 } = asked;
  const size = 48;
  const attributes = new DataView(new ArrayBuffer(size));
  attributes.setUint32(0, size, true);
  attributes.setUint32(4, known(POLICIES, policy, "process.scheduler.policy"), true);
  let bits = 0;
  for (const flag of flags) bits |= known(FLAGS, flag, "process.scheduler.flags");
  attributes.setBigUint64(8, BigInt(bits), true);
  attributes.setInt32(16, nice, true);
  attributes.setUint32(20, priority, true);
  attributes.setBigUint64(24, BigInt(runtime), true);
  attributes.setBigUint64(32, BigInt(deadline), true);
  attributes.setBigUint64(40, BigInt(period), true);
  return new Uint8Array(attributes.buffer);
}

function ioPriorityOf(asked: { readonly class: string; readonly priority: number }): number {
  return (known(IO_CLASSES, asked.class, "process.ioPriority.class") << IOPRIO_CLASS_SHIFT) | asked.priority;
}

function known(table: { readonly [name: string]: number }, name: string, field: string): number {
  const value = Object.hasOwn(table, name) ? table[name] : undefined;
  if (value === undefined)
    throw new CtrError("invalid", `${field}: ${JSON.stringify(name)} is none of ${Object.keys(table).join(", ")}`);
  return value;
}

/** A list as `0-3,7` (cpuset(7), "List format") as a mask of sched_setaffinity(2). Throws `invalid`. */
export function cpuMask(field: string, list: string): Uint8Array {
  return maskOf(field, list, "CPUs");
}

/** The same for memory nodes. */
export function maskOf(field: string, list: string, what: string): Uint8Array {
  const mask = new Uint8Array(MAX_CPUS / 8);
  for (const part of list.split(",")) {
    const range = /^\s*(\d{1,4})(?:-(\d{1,4}))?\s*$/.exec(part);
    const first = Number(range?.[1] ?? Number.NaN);
    const last = Number(range?.[2] ?? first);
    if (!(first <= last && last < MAX_CPUS))
      throw new CtrError("invalid", `${field}: ${JSON.stringify(list)} is no list of ${what}`);
    for (let cpu = first; cpu <= last; cpu++) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7));
  }
  return mask;
}
