/** A container's network namespace: opening it, and asking the kernel whether it is still there. */
import { CtrError, EINVAL, ENOENT, ENOTDIR, ESRCH, isErrno } from "../errors/error.ts";
import type { Sandbox } from "../ipc/netd.ts";
import { type Fd, O_RDONLY, open } from "../sys/fd.ts";
import { fstat, fstatfsType, readText } from "../sys/file.ts";
import { isRunning, processStartTime, setns } from "../sys/process.ts";
import { openNamespaceFile } from "./opener.ts";

/** What is remembered of a sandbox: enough to know it again, and to know that it is gone. */
export interface SandboxRecord {
  /** The process it is alive with; absent for a bound namespace. */
  readonly pid?: number;
  /** In clock ticks since boot. */
  readonly startTime?: number;
  readonly path?: string;
  /** Inode number of the namespace (namespaces(7)). */
  readonly inode: string;
  /** Numbers of processes and namespaces mean nothing after a reboot. */
  readonly bootId: string;
}

/** An open sandbox. */
export interface OpenSandbox {
  readonly namespace: Fd;
  readonly record: SandboxRecord;
}

/** `NSFS_MAGIC` of statfs(2). */
const NSFS_MAGIC = 0x6e736673;

/** This boot's id: random(4). */
export function readBootId(): string {
  return readText("/proc/sys/kernel/random/boot_id").trim();
}

/** Opens a sandbox; the caller owns the descriptor. Throws CtrError `not-found` when it is gone already. */
export function openSandbox(sandbox: Sandbox, bootId: string): OpenSandbox {
  if ("path" in sandbox) {
    const namespace = openNamespace(sandbox.path);
    return { namespace, record: { path: sandbox.path, inode: inodeOf(namespace), bootId } };
  }
  const { pid } = sandbox;
  const namespace = openNamespace(`/proc/${pid}/ns/net`);
  // Asked after the namespace is open: the same process had it, or it is gone.
  const startTime = processStartTime(pid);
  if (startTime === undefined) {
    namespace.close();
    throw new CtrError("not-found", `process ${pid} has ended`);
  }
  return { namespace, record: { pid, startTime, inode: inodeOf(namespace), bootId } };
}

/** True while the sandbox's process runs, or its path is bound to the same namespace. */
export function isAlive(sandbox: SandboxRecord, bootId: string): boolean {
  if (sandbox.bootId !== bootId) return false;
  if (sandbox.pid !== undefined && sandbox.startTime !== undefined) return isRunning(sandbox.pid, sandbox.startTime);
  if (sandbox.path === undefined) return false;
  try {
    using namespace = openNamespace(sandbox.path);
    return inodeOf(namespace) === sandbox.inode;
  } catch (error) {
    if (error instanceof CtrError && (error.kind === "not-found" || error.kind === "invalid")) return false;
    throw error;
  }
}

const CLONE_NEWNET = 0x40000000;

/**
 * Does `action` in the network namespace. It must not wait: only this thread is there, and what else it does meanwhile
 * would be there too.
 */
export function inNamespace<T>(namespace: number, action: () => T): T {
  using own = open("/proc/thread-self/ns/net", O_RDONLY);
  setns(namespace, CLONE_NEWNET);
  try {
    return action();
  } finally {
    setns(own.number, CLONE_NEWNET);
  }
}

function openNamespace(path: string): Fd {
  let namespace: Fd;
  try {
    namespace = openNamespaceFile(path);
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR, ESRCH))
      throw new CtrError("not-found", `no network namespace at ${path}`, { cause: error });
    // What the opener says to anything else.
    if (isErrno(error, EINVAL)) throw notOne(path);
    throw error;
  }
  if (fstatfsType(namespace.number) === NSFS_MAGIC) return namespace;
  namespace.close();
  throw notOne(path);
}

function notOne(path: string): CtrError {
  return new CtrError("invalid", `${path} is not a network namespace`);
}

function inodeOf(namespace: Fd): string {
  return String(fstat(namespace.number).ino);
}
