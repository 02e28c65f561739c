/** Where a program's memory comes from on a machine with several nodes (config-linux.md#memory-policy): set_mempolicy(2). */
import { CtrError, ENOSYS, isErrno, withContext } from "../errors/error.ts";
import type { MemoryPolicy } from "../spec/runtime.ts";
import { setMempolicy } from "../sys/process.ts";
import { maskOf } from "./scheduling.ts";

// linux/mempolicy.h
const MODES: { readonly [name: string]: number } = {
  MPOL_DEFAULT: 0,
  MPOL_PREFERRED: 1,
  MPOL_BIND: 2,
  MPOL_INTERLEAVE: 3,
  MPOL_LOCAL: 4,
  MPOL_PREFERRED_MANY: 5,
  MPOL_WEIGHTED_INTERLEAVE: 6,
};
const FLAGS: { readonly [name: string]: number } = {
  MPOL_F_NUMA_BALANCING: 1 << 13,
  MPOL_F_RELATIVE_NODES: 1 << 14,
  MPOL_F_STATIC_NODES: 1 << 15,
};

export const MEMORY_POLICY_MODES: readonly string[] = Object.keys(MODES);
export const MEMORY_POLICY_FLAGS: readonly string[] = Object.keys(FLAGS);

/** What it says as the kernel takes it. Throws `invalid` naming the field. */
export function policyOf({ mode, nodes = "", flags = [] }: MemoryPolicy): {
  readonly mode: number;
  readonly nodes: Uint8Array;
} {
  const number = flags.reduce((sum, flag) => sum | known(FLAGS, flag, "flags"), known(MODES, mode, "mode"));
  return {
    mode: number,
    nodes: nodes === "" ? new Uint8Array(0) : maskOf("linux.memoryPolicy.nodes", nodes, "memory nodes"),
  };
}

/** Sets it for this thread and what it executes or starts. */
export function applyMemoryPolicy(policy: MemoryPolicy): void {
  const { mode, nodes } = policyOf(policy);
  try {
    setMempolicy(mode, nodes);
  } catch (error) {
    if (isErrno(error, ENOSYS))
      throw new CtrError("unsupported", "linux.memoryPolicy: this kernel knows no memory nodes", { cause: error });
    throw withContext("linux.memoryPolicy", error);
  }
}

function known(table: { readonly [name: string]: number }, name: string, field: string): number {
  const value = Object.hasOwn(table, name) ? table[name] : undefined;
  if (value !== undefined) return value;
  const names = Object.keys(table).join(", ");
  throw new CtrError("invalid", `linux.memoryPolicy.${field}: ${JSON.stringify(name)} is none of ${names}`);
}
