/** seccomp(2), for filters of our own processes. */
import { ptr } from "bun:ffi";
import { CtrError } from "../errors/error.ts";
import { check, lib } from "./lib.ts";

const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
/** Without it the kernel slows the process down against itself (kernel 4.17; the default since 5.16). */
const SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4;

/** Has a program (struct sock_filter[]) look at each call of every thread of this process from now on. */
export function installFilter(program: Uint8Array): void {
  const prog = new BigUint64Array([BigInt(program.length / 8), BigInt(ptr(program))]); // struct sock_fprog
  const flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  const thread = check("seccomp", lib.ctr_seccomp(SECCOMP_SET_MODE_FILTER, flags, prog));
  // A thread with a filter of its own is in the way: that is told by its number.
  if (thread > 0) throw new CtrError("internal", `thread ${thread} has a system call filter of its own`);
}
