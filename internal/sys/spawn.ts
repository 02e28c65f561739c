/**
 * Starting processes: the C helper's `ctr_spawn` and `ctr_exec`, and ctr's own roles, which run from a read-only
 * detached clone of the executable.
 */
import { ptr } from "bun:ffi";
import { CtrError, EINVAL, ENOSYS, EPERM, errnoText, isErrno, SyscallError } from "../errors/error.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  executableMemfd,
  F_ADD_SEALS,
  Fd,
  fcntl,
  O_PATH,
  O_RDONLY,
  open,
  read,
  writeAll,
} from "./fd.ts";
import { cstr, lib } from "./lib.ts";
import { MOUNT_ATTR_RDONLY, mountSetattr, OPEN_TREE_CLONE, openTree } from "./mount.ts";

export const CLONE_NEWTIME = 0x80;
export const CLONE_NEWNS = 0x20000;
export const CLONE_NEWCGROUP = 0x2000000;
export const CLONE_NEWUTS = 0x4000000;
export const CLONE_NEWIPC = 0x8000000;
export const CLONE_NEWUSER = 0x10000000;
export const CLONE_NEWPID = 0x20000000;
export const CLONE_NEWNET = 0x40000000;

/** A limit of prlimit(2), by its number in `RLIMITS`; 2^64 - 1 is none. */
export interface ResourceLimit {
  readonly resource: number;
  readonly soft: bigint;
  readonly hard: bigint;
}

/** Of a process to be: `struct sched_attr`, a value of ioprio_set(2), and masks of 1024 CPUs. */
export interface Scheduling {
  readonly attributes?: Uint8Array;
  readonly ioPriority?: number;
  /** Before it joins anything. */
  readonly initialCpus?: Uint8Array;
  readonly cpus?: Uint8Array;
}

/** Who is sent the listener of a filter, over a connected socket, and the words that go with it. */
export interface FilterAgent {
  readonly socket: number;
  readonly message: Uint8Array;
}

/** The user's program and everything it is confined by, ready for the kernel. */
export interface ProcessImage {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Capability masks. */
  readonly bounding: bigint;
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
  readonly ambient: bigint;
  readonly noNewPrivileges: boolean;
  /** `struct sock_filter[]`, or none. */
  readonly seccomp?: Uint8Array;
  readonly seccompFlags?: number;
  readonly agent?: FilterAgent;
  readonly cwd?: string;
  /** Absolute names, tried in turn. */
  readonly candidates: readonly string[];
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly umask?: number;
  /** Descriptors from here on do not reach the program; 3 unless some are passed on. */
  readonly firstClosedFd?: number;
  /** Run this descriptor instead of the candidates. */
  readonly execFd?: number;
  /** How it is scheduled, where that is not to stay as it is. */
  readonly scheduling?: Scheduling;
  /** Of personality(2). */
  readonly personality?: number;
  /** Set before the ids change. What an interpreter has set already need not stand here. */
  readonly rlimits?: readonly ResourceLimit[];
  /** Make descriptor 0 the controlling terminal. */
  readonly controllingTerminal?: boolean;
  /** The security label that execve changes to. `spawnProcess` sets it; before `execProcess` it is `setExecLabel`'s. */
  readonly label?: ExecLabel;
}

/** A security label; `apparmor` is a profile's name. */
export interface ExecLabel {
  readonly apparmor?: string;
  readonly selinux?: string;
}

/** The order of `enum step` in csrc/spawn.h. */
export const STEPS = [
  "none",
  "clone",
  "join",
  "session",
  "stdio",
  "chdir",
  "groups",
  "user",
  "capabilities",
  "no-new-privileges",
  "seccomp",
  "exec",
  "terminal",
  "cgroup",
  "apparmor",
  "selinux",
  "rlimits",
  "scheduler",
  "personality",
  "seccomp agent",
  "user-namespace",
] as const;
export type SpawnStep = (typeof STEPS)[number];

/** A start that failed on the C side; `step` is where. */
export class SpawnError extends SyscallError {
  readonly step: SpawnStep;

  constructor(step: SpawnStep, errno: number, path?: string) {
    super(step, errno, path);
    this.step = step;
  }
}

/** Keeps the buffers alive that the packed numbers point to. */
export class Packer {
  readonly kept: Uint8Array[] = [];

  pointer(bytes: Uint8Array): bigint {
    this.kept.push(bytes);
    return bytes.length === 0 ? 0n : BigInt(ptr(bytes));
  }

  strings(list: readonly string[]): bigint {
    const pointers = new BigUint64Array(list.length + 1);
    for (const [index, item] of list.entries()) pointers[index] = this.pointer(cstr(item));
    return this.pointer(new Uint8Array(pointers.buffer));
  }

  limits(list: readonly ResourceLimit[]): bigint {
    const words = list.flatMap(({ resource, soft, hard }) => [BigInt(resource), soft, hard]);
    return this.pointer(new Uint8Array(new BigUint64Array(words).buffer));
  }

  numbers(list: readonly number[]): bigint {
    return list.length === 0 ? 0n : this.pointer(new Uint8Array(new Int32Array(list).buffer));
  }
}

function packScheduling(packer: Packer, { attributes, ioPriority, initialCpus, cpus }: Scheduling): bigint[] {
  const bytes = (given: Uint8Array | undefined) => (given === undefined ? 0n : packer.pointer(given));
  return [bytes(attributes), BigInt(ioPriority ?? -1), bytes(initialCpus), bytes(cpus)];
}

/** `struct ctr_process` of csrc/spawn.h. */
export function packProcess(packer: Packer, image: ProcessImage): BigInt64Array {
  return new BigInt64Array([
    BigInt(image.uid),
    BigInt(image.gid),
    packer.numbers(image.groups),
    BigInt(image.groups.length),
    image.bounding,
    image.effective,
    image.permitted,
    image.inheritable,
    image.ambient,
    image.noNewPrivileges ? 1n : 0n,
    image.seccomp === undefined ? 0n : packer.pointer(image.seccomp),
    BigInt((image.seccomp?.length ?? 0) / 8),
    BigInt(image.seccompFlags ?? 0),
    image.cwd === undefined ? 0n : packer.pointer(cstr(image.cwd)),
    packer.strings(image.candidates),
    packer.strings(image.args),
    packer.strings(image.env),
    BigInt(image.umask ?? -1),
    BigInt(image.firstClosedFd ?? 3),
    BigInt(image.execFd ?? -1),
    image.controllingTerminal === true ? 1n : 0n,
    image.label?.apparmor === undefined ? 0n : packer.pointer(cstr(apparmorWord(image.label.apparmor))),
    image.label?.selinux === undefined ? 0n : packer.pointer(cstr(image.label.selinux)),
    packer.limits(image.rlimits ?? []),
    BigInt(image.rlimits?.length ?? 0),
    ...packScheduling(packer, image.scheduling ?? {}),
    BigInt(image.personality ?? -1),
    BigInt(image.agent?.socket ?? -1),
    image.agent === undefined ? 0n : packer.pointer(image.agent.message),
    BigInt(image.agent?.message.length ?? 0),
  ]);
}

/** What AppArmor's file wants to read (aa_change_onexec(2)). */
function apparmorWord(profile: string): string {
  return `exec ${profile}`;
}

/** Has the next execve of this thread change its label. Throws SpawnError: ENOENT for a profile that is not loaded. */
export function setExecLabel({ apparmor, selinux }: ExecLabel): void {
  const rows = [
    ["apparmor", 0, apparmor === undefined ? undefined : apparmorWord(apparmor)],
    ["selinux", 1, selinux],
  ] as const;
  for (const [step, kind, text] of rows) {
    const result = text === undefined ? 0 : Number(lib.ctr_set_exec_label(kind, cstr(text)));
    if (result < 0) throw new SpawnError(step, -result);
  }
}

/** execve(2) with everything before it: on success this process is the user's program. Throws SpawnError. */
export function execProcess(image: ProcessImage): never {
  const packer = new Packer();
  const process = packProcess(packer, image);
  const step = new BigInt64Array(1);
  const result = Number(lib.ctr_exec(process, step));
  throw new SpawnError(STEPS[Number(step[0])] ?? "none", -result, image.args[0]);
}

/** execve(2): on success this process is that program; it has every descriptor that is not close-on-exec. */
export function execve(path: string, args: readonly string[], env: readonly string[]): never {
  const packer = new Packer();
  const result = Number(lib.ctr_execve(cstr(path), packer.strings(args), packer.strings(env)));
  // The packer is used after the call, so nothing it keeps can have been collected before.
  throw new SyscallError("execve", packer.kept.length > 0 ? -result : EINVAL, path);
}

/** How to start a process; absent means: nothing new, nothing joined. */
export interface SpawnOptions {
  /** `CLONE_NEW…` of the namespaces to make. */
  readonly namespaces?: number;
  /** Namespace descriptors to join, with their `CLONE_NEW…`. */
  readonly joins?: readonly { readonly fd: number; readonly kind: number }[];
  readonly pidNamespaceFd?: number;
  /** For `spawnApart`: the program is born confined. */
  readonly isWatched?: boolean;
  /** The child is root of this user namespace, and `namespaces` belong to it. */
  readonly userNamespaceFd?: number;
  /** A cgroup v2 directory to be born in. */
  readonly cgroupFd?: number;
  /** `tasks` files of cgroup v1 directories: the child puts itself in before anything else. */
  readonly taskFds?: readonly number[];
  /** Become 0, 1, 2, … of the child; nothing else is passed on. */
  readonly fds: readonly number[];
  readonly newSession?: boolean;
  /** A role that the child starts, as its own child, before it becomes what it is to be: both start side by side. */
  readonly first?: RoleStart;
}

/** In `SpawnOptions.fds`: the pidfd of what `first` has started. The value of FIRST_PIDFD in csrc/spawn.h. */
export const FIRST_PIDFD = -2;

/** A role to be started. */
export interface RoleStart {
  readonly role: Role;
  readonly args: readonly string[];
  readonly options: SpawnOptions;
}

/** A child of ours. */
export interface Spawned {
  readonly pid: number;
  readonly pidfd: Fd;
}

/** Starts an executable given by descriptor. Returns once it runs; throws SpawnError. */
export function spawnExecutable(
  executable: number,
  args: readonly string[],
  env: readonly string[],
  options: SpawnOptions,
): Spawned {
  const packer = new Packer();
  return spawn(packer, options, [BigInt(executable), packer.strings(args), packer.strings(env)], 0n, args[0]);
}

type Executable = readonly [fd: bigint, argv: bigint, envp: bigint];

/** Starts a program with its credentials and confinement, as `ctr exec` does in a running container. Throws SpawnError. */
export function spawnProcess(image: ProcessImage, options: SpawnOptions): Spawned {
  const packer = new Packer();
  const process = packer.pointer(new Uint8Array(packProcess(packer, image).buffer));
  return spawn(packer, options, [-1n, 0n, 0n], process, image.args[0]);
}

/** `struct ctr_spawn` of csrc/spawn.h. */
export function packSpawn(
  packer: Packer,
  options: SpawnOptions,
  executable: Executable,
  process: bigint,
): BigInt64Array {
  const { joins = [], first } = options;
  return new BigInt64Array([
    BigInt(options.namespaces ?? 0),
    BigInt(options.cgroupFd ?? -1),
    ...executable,
    packer.numbers(options.fds),
    BigInt(options.fds.length),
    packer.numbers(joins.flatMap((join) => [join.fd, join.kind])),
    BigInt(joins.length),
    BigInt(options.pidNamespaceFd ?? -1),
    options.newSession === true ? 1n : 0n,
    process,
    -1n,
    0n,
    0n,
    packer.numbers(options.taskFds ?? []),
    BigInt(options.taskFds?.length ?? 0),
    first === undefined ? 0n : packer.pointer(packFirst(packer, first, executable[0])),
    options.isWatched === true ? 1n : 0n,
    // For the C side.
    0n,
    0n,
    BigInt(options.userNamespaceFd ?? -1),
    0n,
  ]);
}

/** It runs from the same executable. */
function packFirst(packer: Packer, { role, args, options }: RoleStart, executable: bigint): Uint8Array {
  const words = packer.strings(["ctr", role, ...args]);
  return new Uint8Array(
    packSpawn(packer, options, [executable, words, packer.strings(roleEnvironment(role, {}))], 0n).buffer,
  );
}

function spawn(
  packer: Packer,
  options: SpawnOptions,
  executable: Executable,
  process: bigint,
  shown?: string,
): Spawned {
  const packed = packSpawn(packer, options, executable, process);
  const pid = Number(lib.ctr_spawn(packed));
  if (pid < 0) throw new SpawnError(STEPS[Number(packed[13])] ?? "none", -pid, shown);
  // The packer is used after the call, so nothing it keeps can have been collected before.
  if (packer.kept.length > 1 << 20) throw new CtrError("internal", errnoText(EINVAL));
  return { pid, pidfd: new Fd(Number(packed[12])) };
}

/**
 * This executable, such that nobody who gets hold of it can write to the file on disk: a detached clone of its mount,
 * read-only (open_tree(2) 5.2, mount_setattr(2) 5.12), or a sealed copy in memory where that cannot be had. A
 * re-executed role runs from such a clone already.
 */
export function ownExecutable(): Fd {
  if (isReexecuted()) return open("/proc/self/exe", O_PATH);
  try {
    const clone = openTree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE);
    try {
      mountSetattr(clone.number, "", AT_EMPTY_PATH, { set: MOUNT_ATTR_RDONLY });
      return clone;
    } catch (error) {
      clone.close();
      throw error;
    }
  } catch (error) {
    if (!isErrno(error, ENOSYS, EPERM, EINVAL)) throw error;
    return sealedCopy();
  }
}

const F_SEAL_ALL = 0xf;

function sealedCopy(): Fd {
  using source = open("/proc/self/exe", O_RDONLY);
  const copy = executableMemfd("ctr");
  const buffer = new Uint8Array(1 << 20);
  for (let size = read(source.number, buffer); size > 0; size = read(source.number, buffer)) {
    writeAll(copy.number, buffer.subarray(0, size));
  }
  fcntl(copy.number, F_ADD_SEALS, F_SEAL_ALL);
  return copy;
}

/** The roles that ctr starts itself as. */
export type Role = "supervisor" | "init" | "netd";

const ROLE_MARK = "CTR_ROLE";

/** True in a process started by `spawnRole`; a mark in a caller's own environment is not enough. */
export function isReexecuted(): boolean {
  return process.env[ROLE_MARK] !== undefined && process.env[ROLE_MARK] === process.argv[2];
}

/**
 * The environment of a re-executed role: fixed, with nothing of the caller's in it, so that no `BUN_*`, `LD_*` or
 * `NODE_*` variable reaches a runtime's start. `settings` are ctr's own variables (`CTR_…`).
 */
function roleEnvironment(role: Role, settings: { readonly [name: string]: string }): string[] {
  const own = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  return [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
    `${ROLE_MARK}=${role}`,
    ...interpreterSettings(role),
    ...own,
  ];
}

/**
 * Settings of the interpreter, `NAME=value`: init ends, and a supervisor mostly waits, before compiled code would pay for
 * itself; idle it is half a megabyte less, and of a netd with 200 endpoints a fifth. No memory is prepared or looked
 * through, and nothing compiled, by threads of their own: they would go on while everything else waits. Nor is freed memory
 * given back by one that wakes up for it every 15 s: init keeps it, as it ends soon, the others give it back themselves.
 */
export function interpreterSettings(role: Role): readonly string[] {
  return [
    "BUN_JSC_useWarmUpMarkedBlocks=0",
    "BUN_JSC_numberOfGCMarkers=1",
    // A thread that collects goes ten seconds after it has nothing to do, and maps 17 MB of the executable for that.
    "BUN_JSC_useConcurrentGC=0",
    `MIMALLOC_PURGE_DELAY=${role === "init" ? -1 : 0}`,
    ...(role === "netd" ? ["BUN_JSC_useDFGJIT=0", "BUN_JSC_useConcurrentJIT=0"] : ["BUN_JSC_useBaselineJIT=0"]),
  ];
}

/** A role that runs, and what it runs from: its last descriptor is the end of a mount, which takes some milliseconds. */
export interface StartedRole extends Spawned {
  readonly executable: Fd;
}

/** Starts a role of this executable, in a clean environment. `settings` hold only `CTR_…` variables. */
export function startRole(
  role: Role,
  args: readonly string[],
  settings: { readonly [name: string]: string },
  options: SpawnOptions,
): StartedRole {
  const executable = ownExecutable();
  try {
    const environment = roleEnvironment(role, settings);
    return { ...spawnExecutable(executable.number, ["ctr", role, ...args], environment, options), executable };
  } catch (error) {
    executable.close();
    throw error;
  }
}

/** The same for who does not mind to wait. */
export function spawnRole(
  role: Role,
  args: readonly string[],
  settings: { readonly [name: string]: string },
  options: SpawnOptions,
): Spawned {
  const { executable, ...spawned } = startRole(role, args, settings, options);
  executable.close();
  return spawned;
}
