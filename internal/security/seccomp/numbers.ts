/** The architectures a filter can be for, and the numbers of their calls. */
import { AARCH64, ARM, I386, X32_GONE, X32_OWN, X86_64 } from "./tables.ts";

/** What the audit subsystem calls an architecture: one table of numbers, and for x32 a bit in the number. */
export interface Abi {
  /** The name that profiles use. */
  readonly name: "SCMP_ARCH_X86_64" | "SCMP_ARCH_X32" | "SCMP_ARCH_X86" | "SCMP_ARCH_AARCH64" | "SCMP_ARCH_ARM";
  /** linux/audit.h, AUDIT_ARCH_… */
  readonly auditArch: number;
  /**
   * True if the kernel uses the lower 32 bits of an argument only. The upper ones may hold anything: a 64-bit program can
   * make such a call too (`int 0x80`).
   */
  readonly isNarrow: boolean;
  numbers(): ReadonlyMap<string, number>;
}

/** arch/x86/include/uapi/asm/unistd.h, __X32_SYSCALL_BIT */
export const X32_BIT = 0x40000000;

/** arch/arm/include/uapi/asm/unistd.h, __ARM_NR_BASE: what is above it is older than any new call. */
export const ARM_PRIVATE = 0x0f0000;

const AUDIT_ARCH_X86_64 = 0xc000003e;

export const ABIS: readonly Abi[] = [
  { name: "SCMP_ARCH_X86_64", auditArch: AUDIT_ARCH_X86_64, isNarrow: false, numbers: () => parseNumbers(X86_64) },
  { name: "SCMP_ARCH_X32", auditArch: AUDIT_ARCH_X86_64, isNarrow: false, numbers: x32Numbers },
  { name: "SCMP_ARCH_X86", auditArch: 0x40000003, isNarrow: true, numbers: () => parseNumbers(I386) },
  { name: "SCMP_ARCH_AARCH64", auditArch: 0xc00000b7, isNarrow: false, numbers: () => parseNumbers(AARCH64) },
  { name: "SCMP_ARCH_ARM", auditArch: 0x40000028, isNarrow: true, numbers: () => parseNumbers(ARM) },
];

/** The kernel's own architecture, by process.arch. */
export type Native = "x64" | "arm64";

export const NATIVE_ABI: { readonly [arch in Native]: Abi["name"] } = {
  x64: "SCMP_ARCH_X86_64",
  arm64: "SCMP_ARCH_AARCH64",
};

function parseNumbers(table: string): Map<string, number> {
  const numbers = new Map<string, number>();
  let next = 0;
  for (const word of table.trim().split(/\s+/)) {
    const number = Number(word);
    if (Number.isInteger(number)) next = number;
    else numbers.set(word, next++);
  }
  return numbers;
}

/** x32 has x86-64's numbers but for some calls whose structures differ; all carry the bit. */
function x32Numbers(): ReadonlyMap<string, number> {
  const numbers = parseNumbers(X86_64);
  for (const [name, number] of parseNumbers(X32_OWN)) numbers.set(name, number);
  for (const name of X32_GONE.split(" ")) numbers.delete(name);
  return new Map([...numbers].map(([name, number]) => [name, number + X32_BIT]));
}
