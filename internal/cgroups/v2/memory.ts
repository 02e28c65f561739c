/** kernel Documentation/admin-guide/cgroup-v2.rst, memory */
import { CtrError } from "../../errors/error.ts";
import type { MemoryResources } from "../../spec/runtime.ts";
import type { Controller } from "../controller.ts";
import { readControlIfAny, readLimit, readPairs, writeControl } from "../file.ts";

const LIMIT = "memory.max";
const SWAP_LIMIT = "memory.swap.max";

export const memory: Controller = {
  name: "memory",
  isAlwaysMade: true,
  isAsked: ({ memory }) => memory !== undefined && Object.keys(memory).length > 0,
  apply(directory, resources) {
    const asked = resources.memory;
    if (asked === undefined) return;
    refuseV1Only(asked);
    if (asked.checkBeforeUpdate === true) checkUsage(directory, asked);
    const swap = swapLimit(asked);
    // Without swap accounting memory is limited alone, as Docker does it.
    if (swap !== undefined && readControlIfAny(directory, SWAP_LIMIT) !== undefined) {
      writeControl(directory, SWAP_LIMIT, swap, "swap limit");
    }
    if (asked.limit !== undefined) writeControl(directory, LIMIT, limitText(asked.limit), "memory limit");
    if (asked.reservation !== undefined) {
      writeControl(directory, "memory.low", limitText(asked.reservation), "memory reservation");
    }
  },
  addStats(directory, stats) {
    stats.memoryUsage = readLimit(directory, "memory.current") ?? 0;
    const peak = readLimit(directory, "memory.peak"); // kernel 5.19
    if (peak !== undefined) stats.memoryMaxUsage = peak;
    const limit = readLimit(directory, LIMIT);
    if (limit !== undefined) stats.memoryLimit = limit;
    stats.memoryInactiveFile = readPairs(directory, "memory.stat").get("inactive_file") ?? 0;
  },
};

function limitText(bytes: number): string {
  return bytes < 0 ? "max" : String(bytes);
}

/** The spec counts memory and swap together, v2 swap alone. Throws `invalid` for a sum below its part. */
export function swapLimit({ limit, swap }: MemoryResources): string | undefined {
  if (swap === undefined || swap === 0) return limit === -1 ? "max" : undefined;
  if (swap < 0) return "max";
  if (limit === undefined || limit <= 0) {
    throw new CtrError("invalid", "a memory and swap limit needs a memory limit");
  }
  if (swap < limit) throw new CtrError("invalid", "the memory and swap limit is below the memory limit");
  return String(swap - limit);
}

/** config-linux.md#unified: what v2 has nothing for is an error. */
function refuseV1Only({ swappiness, disableOOMKiller = false, kernel = 0, kernelTCP = 0 }: MemoryResources): void {
  const asked = [
    ...(swappiness === undefined ? [] : ["swappiness"]),
    ...(disableOOMKiller ? ["disableOOMKiller"] : []),
    ...(kernel > 0 ? ["kernel"] : []),
    ...(kernelTCP > 0 ? ["kernelTCP"] : []),
  ];
  if (asked.length > 0)
    throw new CtrError("unsupported", `linux.resources.memory.${asked.join(", ")}: cgroup v2 has nothing like it`);
}

/** runtime-spec config-linux.md#memory: with checkBeforeUpdate a limit below the usage is refused, not enforced by killing. */
function checkUsage(directory: string, { limit }: MemoryResources): void {
  const usage = readLimit(directory, "memory.current") ?? 0;
  if (limit !== undefined && limit > 0 && usage > limit) {
    throw new CtrError("conflict", `memory limit ${limit}: ${usage} bytes are in use`);
  }
}

/** How many of its processes the kernel killed for memory. */
export function oomKills(directory: string): number {
  return readPairs(directory, "memory.events").get("oom_kill") ?? 0;
}
