/**
 * An OCI runtime's containers: one directory for each below the runtime's root, and what is known of them. No process
 * stays behind to look after one. What is in a file is a memory of how it was made; what it does is asked of the kernel.
 *
 *   <root>/<id>/           locked by whoever changes the container (flock(2) of the directory)
 *     state.json           who and where; written before anything is made, so that all of it can be found again
 *     config.json          its configuration as it was understood at `create`
 *     seccomp.bpf          its filter, compiled for the first further program
 *     start.sock           init holds here; gone once it was started
 */
import type { Cgroup } from "../cgroups/cgroup.ts";
import { CtrError, EAGAIN, EEXIST, ENOENT, isErrno } from "../errors/error.ts";
import type { ResctrlPlace } from "../resctrl/resctrl.ts";
import { visitHeld } from "../runtime/visit-held.ts";
import type { Spec } from "../spec/runtime.ts";
import {
  AT_FDCWD,
  type Fd,
  flock,
  LOCK_EX,
  LOCK_NB,
  O_CREAT,
  O_DIRECTORY,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  open,
  openat,
  writeAll,
} from "../sys/fd.ts";
import {
  exists,
  fstat,
  getdents64,
  mkdirAll,
  mkdirat,
  readFile,
  readText,
  removeTree,
  renameat2,
  S_IFDIR,
} from "../sys/file.ts";
import { isRunning } from "../sys/process.ts";
import { isFrozen } from "./frozen.ts";

/** A process, named for good. */
export interface Keeper {
  readonly pid: number;
  readonly startTime: number;
}

/** A directory of the container's cgroup. */
export interface CgroupPlace {
  readonly directory: string;
  readonly version: 1 | 2;
}

/** What is remembered of a container. */
export interface OciContainer {
  readonly id: string;
  readonly ociVersion: string;
  readonly bundle: string;
  readonly rootfs: string;
  readonly created: string;
  readonly annotations: { readonly [key: string]: string };
  /** The user who made it. */
  readonly uid: number;
  /** From the root of each hierarchy. */
  readonly cgroup: string;
  /** Where it is frozen; absent where the machine has no freezer. */
  readonly freezer?: string;
  /** Its directories, for what is to be started in it. */
  readonly places?: readonly CgroupPlace[];
  /** Its classes of service; absent without `linux.intelRdt`. */
  readonly resctrl?: ResctrlPlace;
  /** Who makes it, until init is there. */
  readonly creator: Keeper;
  readonly init?: Keeper;
}

export type OciStatus = "creating" | "created" | "running" | "paused" | "stopped";

const STATE = "state.json";
const CONFIG = "config.json";
const FILTER = "seccomp.bpf";
const START_SOCKET = "start.sock";
const MAX_CONFIG_BYTES = 16 << 20;

/** A container's directory, open; its lock goes with it. */
export class ContainerDirectory implements Disposable {
  readonly id: string;
  readonly path: string;
  readonly #fd: Fd;

  constructor(id: string, path: string, fd: Fd) {
    this.id = id;
    this.path = path;
    this.#fd = fd;
  }

  /** A name in the directory by its descriptor, short enough for a socket's address. */
  within(name: string): string {
    return `/proc/self/fd/${this.#fd.number}/${name}`;
  }

  /** The socket's name, short enough for an address however deep the root is (unix(7): 108 bytes). */
  get startSocket(): string {
    return this.within(START_SOCKET);
  }

  read(): OciContainer | undefined {
    try {
      // Written by `write` below, in a directory that is only ours.
      return JSON.parse(readText(STATE, MAX_CONFIG_BYTES, this.#fd.number)) as OciContainer;
    } catch (error) {
      if (isErrno(error, ENOENT)) return undefined;
      throw error;
    }
  }

  write(container: OciContainer): void {
    this.#replace(STATE, JSON.stringify(container));
  }

  readConfig(): string {
    return readText(CONFIG, MAX_CONFIG_BYTES, this.#fd.number);
  }

  /**
   * The configuration as it was checked when it was written, in a directory that is only ours; undefined for a container
   * whose making was cut off before. Numbers beyond 2^53 are not exact in it: those of a filter are read by its compiler.
   */
  readSpec(): Spec | undefined {
    if (!exists(this.#fd.number, CONFIG)) return undefined;
    return JSON.parse(this.readConfig()) as Spec;
  }

  writeConfig(config: string): void {
    this.#replace(CONFIG, config);
  }

  /** The compiled filter; undefined until somebody has written it. */
  readFilter(): Uint8Array | undefined {
    try {
      return readFile(FILTER, MAX_CONFIG_BYTES, this.#fd.number);
    } catch (error) {
      if (isErrno(error, ENOENT)) return undefined;
      throw error;
    }
  }

  writeFilter(filter: Uint8Array): void {
    this.#replace(FILTER, filter);
  }

  /** What the container does now. */
  status(container: OciContainer | undefined): OciStatus {
    if (container === undefined) return "stopped";
    const { init, creator, freezer } = container;
    if (init === undefined) return isRunning(creator.pid, creator.startTime) ? "creating" : "stopped";
    if (!isRunning(init.pid, init.startTime)) return "stopped";
    if (freezer !== undefined && isFrozen(freezer)) return "paused";
    if (!exists(this.#fd.number, START_SOCKET)) return "running";
    using visitor = visitHeld(this.startSocket);
    return visitor === undefined ? "running" : "created";
  }

  /** False if the directory was removed since it was opened. */
  isThere(): boolean {
    return fstat(this.#fd.number).nlink > 0;
  }

  lock(): void {
    flock(this.#fd.number, LOCK_EX);
  }

  /** False while somebody else has it. */
  tryLock(): boolean {
    try {
      flock(this.#fd.number, LOCK_EX | LOCK_NB);
      return true;
    } catch (error) {
      if (isErrno(error, EAGAIN)) return false;
      throw error;
    }
  }

  /** Removes the directory: from here on the id is free. */
  remove(): void {
    removeTree(AT_FDCWD, this.path);
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }

  /** Whole or not at all for who reads it; it need not survive the machine, so nothing is synced. */
  #replace(name: string, content: string | Uint8Array): void {
    const aside = `${name}.${process.pid}`;
    {
      using file = openat(this.#fd.number, aside, O_WRONLY | O_CREAT | O_TRUNC, 0o600);
      writeAll(file.number, typeof content === "string" ? new TextEncoder().encode(content) : content);
    }
    renameat2(this.#fd.number, aside, this.#fd.number, name);
  }
}

/** Where a container's cgroup is, as it is remembered. */
export function inCgroup(cgroup: Cgroup): Pick<OciContainer, "cgroup" | "freezer" | "places"> {
  const freezer = cgroup.directoryOf("freezer");
  const places = cgroup.places.map(({ directory, hierarchy: { version } }) => ({ directory, version }));
  return { cgroup: cgroup.path, places, ...(freezer === undefined ? {} : { freezer }) };
}

/** Throws `invalid`, in runc's words, for what is no container's id. */
export function checkId(id: string): string {
  if (/^[\w+.-]+$/.test(id) && id !== "." && id !== "..") return id;
  throw new CtrError("invalid", id === "" ? "container id cannot be empty" : "invalid container ID format");
}

/** A new container's directory, locked. Throws `conflict` when the id is in use, be it by a stopped container. */
export function makeContainer(root: string, id: string): ContainerDirectory {
  const path = `${root}/${checkId(id)}`;
  mkdirAll(root, 0o711);
  for (let attempt = 0; attempt < 8; attempt++) {
    let isNew = true;
    try {
      mkdirat(AT_FDCWD, path, 0o700);
    } catch (error) {
      if (!isErrno(error, EEXIST)) throw error;
      isNew = false;
    }
    const directory = tryOpen(root, id);
    if (directory === undefined) continue;
    try {
      // A directory without a memory was left by a `create` that was killed before it had made anything.
      const isOurs = directory.tryLock() && (isNew || directory.read() === undefined);
      if (isOurs && directory.isThere()) return directory;
      if (directory.isThere()) throw new CtrError("conflict", "container with given ID already exists");
      directory[Symbol.dispose]();
    } catch (error) {
      directory[Symbol.dispose]();
      throw error;
    }
  }
  throw new CtrError("conflict", `container ${id} is being deleted`);
}

/** The directory of a container. Throws `not-found`, in runc's words. */
export function openContainer(root: string, id: string): ContainerDirectory {
  const directory = tryOpen(root, checkId(id));
  if (directory === undefined) throw doesNotExist();
  return directory;
}

/** The same for one that is to be changed: waits for whoever is changing it. */
export function lockContainer(root: string, id: string): ContainerDirectory {
  const directory = openContainer(root, id);
  directory.lock();
  if (directory.isThere()) return directory;
  directory[Symbol.dispose]();
  throw doesNotExist();
}

/** A container that was made; what is only a leftover of making one is none. */
export function known(directory: ContainerDirectory): OciContainer {
  const container = directory.read();
  if (container === undefined) throw doesNotExist();
  return container;
}

function doesNotExist(): CtrError {
  return new CtrError("not-found", "container does not exist");
}

function tryOpen(root: string, id: string): ContainerDirectory | undefined {
  const path = `${root}/${id}`;
  try {
    return new ContainerDirectory(id, path, open(path, O_RDONLY | O_DIRECTORY));
  } catch (error) {
    if (isErrno(error, ENOENT)) return undefined;
    throw error;
  }
}

/** The ids below a root, in the order of their names. */
export function containerIds(root: string): readonly string[] {
  try {
    using directory = open(root, O_RDONLY | O_DIRECTORY);
    const decoder = new TextDecoder();
    return getdents64(directory.number)
      .filter(({ kind }) => kind === S_IFDIR || kind === 0)
      .map(({ name }) => decoder.decode(name))
      .sort();
  } catch (error) {
    if (isErrno(error, ENOENT)) return [];
    throw error;
  }
}
