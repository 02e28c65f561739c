/** Processes: signals by pidfd, waiting, limits, names and flags of our own. */
import { CtrError, ECHILD, ESRCH, isErrno } from "../errors/error.ts";
import { Fd, O_RDONLY, open, read } from "./fd.ts";
import { readText } from "./file.ts";
import { check, cstr, lib } from "./lib.ts";

export const PR_SET_PDEATHSIG = 1;
export const PR_SET_DUMPABLE = 4;
export const PR_SET_NAME = 15;
export const PR_SET_CHILD_SUBREAPER = 36;
export const PR_SET_NO_NEW_PRIVS = 38;

/** prctl(2). */
export function prctl(option: number, a = 0, b = 0, c = 0, d = 0): number {
  return check("prctl", lib.ctr_prctl(option, a, b, c, d));
}

/** kill(2). */
export function kill(pid: number, signal: number): void {
  check("kill", lib.ctr_kill(pid, signal));
}

/** pidfd_open(2), kernel 5.3. */
export function pidfdOpen(pid: number): Fd {
  return new Fd(check("pidfd_open", lib.ctr_pidfd_open(pid, 0)));
}

/** The process behind a pidfd, as this pid namespace numbers it; -1 when it is gone (pidfd_open(2), "fdinfo"). */
export function pidOfPidfd(pidfd: number): number {
  return Number(/^Pid:\t(-?\d+)$/m.exec(readText(`/proc/self/fdinfo/${pidfd}`))?.[1] ?? -1);
}

/** pidfd_send_signal(2), kernel 5.1; signal 0 asks whether the process lives. */
export function pidfdSendSignal(pidfd: number, signal: number): void {
  check("pidfd_send_signal", lib.ctr_pidfd_send_signal(pidfd, signal));
}

/** pidfd_getfd(2), kernel 5.6: a copy of another process's descriptor. */
export function pidfdGetfd(pidfd: number, fd: number): Fd {
  return new Fd(check("pidfd_getfd", lib.ctr_pidfd_getfd(pidfd, fd)));
}

/** How a child ended: by itself with `status`, or by `signal`. */
export interface ChildExit {
  readonly status: number;
  readonly signal: number;
}

const P_PID = 1;
const WNOHANG = 1;
const WEXITED = 4;
const CLD_EXITED = 1;

/** waitid(2) of one child without blocking: undefined while it runs. Throws ECHILD when it is no child of ours. */
export function waitChild(pid: number, mayBlock = false): ChildExit | undefined {
  const siginfo = new Int32Array(32);
  check("waitid", lib.ctr_waitid(P_PID, pid, siginfo, WEXITED | (mayBlock ? 0 : WNOHANG)));
  // siginfo_t on 64-bit: signo, errno, code, pad, pid, uid, status
  return (siginfo[4] ?? 0) === 0 ? undefined : childExit(siginfo);
}

function childExit(siginfo: Int32Array): ChildExit {
  const value = siginfo[6] ?? 0;
  return siginfo[2] === CLD_EXITED ? { status: value, signal: 0 } : { status: 128 + value, signal: value };
}

/**
 * Waits for the end of the child behind a pidfd, without the event loop: signals with these numbers go to it meanwhile, and
 * from then on nowhere. For the last thing that a process does.
 */
export function waitForwarding(pidfd: number, signals: readonly number[]): ChildExit {
  const siginfo = new Int32Array(32);
  check("waitid", lib.ctr_wait_forwarding(pidfd, maskOf(signals), siginfo));
  return childExit(siginfo);
}

/** From here on these signals end nothing: they are held for a child that is to come (`waitForwarding`, `forwardSignals`). */
export function holdSignals(signals: readonly number[]): void {
  check("rt_sigaction", lib.ctr_hold_signals(maskOf(signals)));
}

/** Sends what was held to the child behind a pidfd, and what comes until somebody else takes the signals. */
export function forwardSignals(pidfd: number): void {
  check("pidfd_send_signal", lib.ctr_forward_signals(pidfd));
}

function maskOf(signals: readonly number[]): bigint {
  return signals.reduce((bits, signal) => bits | (1n << BigInt(signal)), 0n);
}

/** As `waitChild`, but a child somebody else reaped counts as gone with status 255. */
export function reapChild(pid: number): ChildExit | undefined {
  try {
    return waitChild(pid);
  } catch (error) {
    if (isErrno(error, ECHILD)) return { status: 255, signal: 0 };
    throw error;
  }
}

const decoder = new TextDecoder();
// `ps` asks for every container: one buffer for all. The line is at most some 500 bytes.
const statBuffer = new Uint8Array(1024);

/** Start time of a process in clock ticks since boot (proc(5), stat field 22), or undefined if it is gone or a zombie. */
export function processStartTime(pid: number): number | undefined {
  try {
    using fd = open(`/proc/${pid}/stat`, O_RDONLY);
    const stat = decoder.decode(statBuffer.subarray(0, read(fd.number, statBuffer)));
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return undefined;
    return Number(fields[19]);
  } catch (error) {
    if (isErrno(error, ESRCH) || isErrno(error, 2)) return undefined;
    throw error;
  }
}

/** True if this very process (same start time) is running: what ran is asked of the kernel, not of a stored number. */
export function isRunning(pid: number, startTime: number): boolean {
  return pid > 0 && processStartTime(pid) === startTime;
}

/** True if all of these very processes are running, as `isRunning` has it: one question for a list of them. */
export function areAllRunning(list: readonly { readonly pid: number; readonly startTime: number }[]): boolean {
  const pairs = new Float64Array(list.flatMap(({ pid, startTime }) => [pid, startTime]));
  return check("read", lib.ctr_count_running(pairs, list.length), "/proc") === list.length;
}

/** getrlimit(2); each at its number of asm-generic/resource.h. */
export const RLIMITS: readonly string[] = [
  "CPU",
  "FSIZE",
  "DATA",
  "STACK",
  "CORE",
  "RSS",
  "NPROC",
  "NOFILE",
  "MEMLOCK",
  "AS",
  "LOCKS",
  "SIGPENDING",
  "MSGQUEUE",
  "NICE",
  "RTPRIO",
  "RTTIME",
];
export const RLIM_INFINITY = 2n ** 64n - 1n;

/** prlimit(2): sets both limits of `resource` and returns the old ones; `RLIM_INFINITY` is 2n ** 64n - 1n. */
export function prlimit(
  pid: number,
  resource: number,
  limit?: { soft: bigint; hard: bigint },
): { soft: bigint; hard: bigint } {
  const old = new BigUint64Array(2);
  const next = limit === undefined ? null : new BigUint64Array([limit.soft, limit.hard]);
  check("prlimit", lib.ctr_prlimit64(pid, resource, next, old));
  return { soft: old[0] ?? 0n, hard: old[1] ?? 0n };
}

/**
 * exit_group(2), without the interpreter's farewell. That one closes the database, and whoever closes a WAL database last
 * writes all of it back, syncs it and deletes the log, for the next command to make a new one. Nothing may be waiting to
 * be written: what ctr prints is written when it is printed.
 */
export function exitGroup(status: number): never {
  lib.ctr_exit_group(status);
  throw new CtrError("internal", "exit_group returned");
}

/** umask(2): sets and returns the old one. */
export function umask(mask: number): number {
  return check("umask", lib.ctr_umask(mask));
}

/** setsid(2). */
export function setsid(): void {
  check("setsid", lib.ctr_setsid());
}

/** chdir(2). */
export function chdir(path: string): void {
  check("chdir", lib.ctr_chdir(cstr(path)), path);
}

/** fchdir(2). */
export function fchdir(fd: number): void {
  check("fchdir", lib.ctr_fchdir(fd));
}

/** setns(2) of the calling thread. */
export function setns(fd: number, kind: number): void {
  check("setns", lib.ctr_setns(fd, kind));
}

const CLONE_FS = 0x200;
const CLONE_NEWNS = 0x20000;

/**
 * setns(2) of the calling thread into a mount namespace, in whose root it is then. That is allowed only to a thread that
 * shares root and directory with no other: they are its own from here on, until it starts another thread.
 */
export function joinMounts(fd: number): void {
  unshare(CLONE_FS);
  setns(fd, CLONE_NEWNS);
}

/** unshare(2) of the calling thread. */
export function unshare(flags: number): void {
  check("unshare", lib.ctr_unshare(flags));
}

/** set_mempolicy(2) of the calling thread; `nodes` is a mask, empty for none. */
export function setMempolicy(mode: number, nodes: Uint8Array): void {
  // The kernel takes one bit less than it is told of.
  const count = nodes.length === 0 ? 0 : nodes.length * 8 + 1;
  check("set_mempolicy", lib.ctr_set_mempolicy(mode, nodes.length === 0 ? new Uint8Array(8) : nodes, BigInt(count)));
}

/** chroot(2). */
export function chroot(path: string): void {
  check("chroot", lib.ctr_chroot(cstr(path)), path);
}

/** sethostname(2). */
export function sethostname(name: string): void {
  const bytes = new TextEncoder().encode(name);
  check("sethostname", lib.ctr_sethostname(bytes, bytes.length), name);
}

/** setdomainname(2). */
export function setdomainname(name: string): void {
  const bytes = new TextEncoder().encode(name);
  check("setdomainname", lib.ctr_setdomainname(bytes, bytes.length), name);
}
