/** kernel Documentation/admin-guide/cgroup-v1/memory.rst */
import { CtrError, EBUSY, isErrno } from "../../errors/error.ts";
import type { MemoryResources, Resources } from "../../spec/runtime.ts";
import { writeInto } from "../../sys/file.ts";
import type { Controller, Stats } from "../controller.ts";
import { explain, readControlIfAny, readLimit, readPairs, writeControl } from "../file.ts";

const LIMIT = "memory.limit_in_bytes";
const SWAP_LIMIT = "memory.memsw.limit_in_bytes";
const RESERVATION = "memory.soft_limit_in_bytes";

export const memory: Controller = {
  name: "memory",
  isAlwaysMade: true,
  isAsked: ({ memory }: Resources) => memory !== undefined && Object.keys(memory).length > 0,
  apply(directory, resources) {
    const asked = resources.memory;
    if (asked === undefined) return;
    applyLimits(directory, asked);
    if (asked.reservation !== undefined) writeControl(directory, RESERVATION, asked.reservation, "memory reservation");
    if (asked.kernelTCP !== undefined) {
      writeControl(directory, "memory.kmem.tcp.limit_in_bytes", asked.kernelTCP, "kernel TCP memory");
    }
    if (asked.swappiness !== undefined) {
      writeControl(directory, "memory.swappiness", asked.swappiness, "memory swappiness");
    }
    if (asked.disableOOMKiller === true) writeControl(directory, "memory.oom_control", 1, "disable the OOM killer");
  },
  addStats(directory, stats: Stats) {
    stats.memoryUsage = readLimit(directory, "memory.usage_in_bytes") ?? 0;
    stats.memoryMaxUsage = readLimit(directory, "memory.max_usage_in_bytes") ?? 0;
    const limit = readLimit(directory, LIMIT);
    if (limit !== undefined) stats.memoryLimit = limit;
    stats.memoryInactiveFile = readPairs(directory, "memory.stat").get("total_inactive_file") ?? 0;
  },
};

/** The kernel keeps limit <= memory and swap at every moment, so the order depends on which way they move. */
function applyLimits(directory: string, { limit, swap }: MemoryResources): void {
  const current = readControlIfAny(directory, SWAP_LIMIT);
  // Without swap accounting (swapaccount=0) memory is limited alone, as Docker does it.
  const swapLimit = current === undefined ? undefined : (swap ?? (limit === -1 ? -1 : undefined));
  const isRaised =
    swapLimit !== undefined && current !== undefined && (swapLimit === -1 || swapLimit > Number(current));
  if (isRaised) writeLimit(directory, SWAP_LIMIT, swapLimit, "memory and swap limit");
  if (limit !== undefined) writeLimit(directory, LIMIT, limit, "memory limit");
  if (swapLimit !== undefined && !isRaised) writeLimit(directory, SWAP_LIMIT, swapLimit, "memory and swap limit");
}

function writeLimit(directory: string, file: string, value: number, attempt: string): void {
  try {
    writeInto(`${directory}/${file}`, String(value));
  } catch (error) {
    if (!isErrno(error, EBUSY)) throw explain(error, directory, file, `${attempt} ${value}`);
    const usage = readLimit(directory, "memory.usage_in_bytes") ?? 0;
    throw new CtrError("conflict", `${attempt} ${value}: ${usage} bytes are in use and could not be reclaimed`, {
      cause: error,
    });
  }
}

/** How many of its processes the kernel killed for memory (kernel 4.13). */
export function oomKills(directory: string): number {
  return readPairs(directory, "memory.oom_control").get("oom_kill") ?? 0;
}
