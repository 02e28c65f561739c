/** What a cgroup uses now, read again and again: its files stay open, so that a look costs one pread(2) each. */
import { ENODEV, ENOENT, isErrno } from "../errors/error.ts";
import { type Fd, O_RDONLY, open, pread } from "../sys/fd.ts";
import { cgroupLayout, type Layout } from "./layout.ts";

/** What `docker stats` shows of a cgroup. A field is 0 where the machine does not count it. */
export interface Usage {
  readonly cpuNs: number;
  /** Without the page cache that can be dropped at once. */
  readonly memoryBytes: number;
  /** Infinity is none. */
  readonly memoryLimitBytes: number;
  readonly pids: number;
  readonly readBytes: number;
  readonly writeBytes: number;
}

type Kind = "cpu" | "memory" | "memoryLimit" | "memoryStat" | "pids" | "io";

/** Controller and file of each kind. */
const V1_FILES: { readonly [K in Kind]: readonly [controller: string, file: string] } = {
  cpu: ["cpuacct", "cpuacct.usage"],
  memory: ["memory", "memory.usage_in_bytes"],
  memoryLimit: ["memory", "memory.limit_in_bytes"],
  memoryStat: ["memory", "memory.stat"],
  pids: ["pids", "pids.current"],
  io: ["blkio", "blkio.throttle.io_service_bytes_recursive"],
};
const V2_FILES: { readonly [K in Kind]: string } = {
  cpu: "cpu.stat",
  memory: "memory.current",
  memoryLimit: "memory.max",
  memoryStat: "memory.stat",
  pids: "pids.current",
  io: "io.stat",
};
const KINDS: readonly Kind[] = ["cpu", "memory", "memoryLimit", "memoryStat", "pids", "io"];

/** How many descriptors one has. */
export const FILES_OF_GAUGE = KINDS.length;

// memory.stat has about sixty lines; io.stat one for each device.
const buffer = new Uint8Array(64 << 10);
const decoder = new TextDecoder();

/** The open files of one cgroup. */
export class Gauge implements Disposable {
  readonly #isV2: boolean;
  readonly #files: ReadonlyMap<Kind, Fd>;

  /** Opens what there is of the cgroup `path`. */
  constructor(path: string, layout: Layout = cgroupLayout()) {
    this.#isV2 = layout.mode === "v2";
    const files = new Map<Kind, Fd>();
    for (const kind of KINDS) {
      const file = fileOf(kind, path, layout);
      const fd = file === undefined ? undefined : openIfAny(file);
      if (fd !== undefined) files.set(kind, fd);
    }
    this.#files = files;
  }

  /** What it uses now; undefined when the cgroup is gone. */
  read(): Usage | undefined {
    try {
      const cpu = this.#text("cpu");
      const io = this.#text("io");
      const limit = this.#text("memoryLimit");
      const cache = numberAfter(this.#text("memoryStat"), this.#isV2 ? "inactive_file " : "total_inactive_file ");
      return {
        cpuNs: this.#isV2 ? 1000 * numberAfter(cpu, "usage_usec ") : Number(cpu),
        memoryBytes: Math.max(0, Number(this.#text("memory")) - cache),
        memoryLimitBytes: limit === "" || limit.startsWith("max") ? Number.POSITIVE_INFINITY : Number(limit),
        pids: Number(this.#text("pids")),
        readBytes: this.#isV2 ? sum(io, /\brbytes=(\d+)/g) : sum(io, / Read (\d+)/g),
        writeBytes: this.#isV2 ? sum(io, /\bwbytes=(\d+)/g) : sum(io, / Write (\d+)/g),
      };
    } catch (error) {
      // kernfs: the file's cgroup was removed.
      if (isErrno(error, ENODEV)) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const fd of this.#files.values()) fd.close();
  }

  #text(kind: Kind): string {
    const fd = this.#files.get(kind);
    return fd === undefined ? "" : decoder.decode(buffer.subarray(0, pread(fd.number, buffer, 0)));
  }
}

function fileOf(kind: Kind, path: string, { mode, hierarchies }: Layout): string | undefined {
  const [controller, file] = V1_FILES[kind];
  const hierarchy = hierarchies.find(({ version, controllers }) =>
    mode === "v2" ? version === 2 : controllers.includes(controller),
  );
  return hierarchy === undefined
    ? undefined
    : `${hierarchy.mountPoint}${path}/${mode === "v2" ? V2_FILES[kind] : file}`;
}

function openIfAny(path: string): Fd | undefined {
  try {
    return open(path, O_RDONLY);
  } catch (error) {
    if (isErrno(error, ENOENT, ENODEV)) return undefined;
    throw error;
  }
}

/** The number of the line that begins with `key`; 0 if there is none. */
function numberAfter(text: string, key: string): number {
  const at = text.startsWith(key) ? 0 : text.indexOf(`\n${key}`) + 1;
  if (at === 0 && !text.startsWith(key)) return 0;
  return Number.parseInt(text.slice(at + key.length, at + key.length + 24), 10);
}

function sum(text: string, pattern: RegExp): number {
  if (text === "") return 0;
  let total = 0;
  for (const [, bytes] of text.matchAll(pattern)) total += Number(bytes);
  return total;
}
