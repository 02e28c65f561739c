/** What a container used, in the form that `runc events --stats` gives and its readers know. */
import { type Cgroup, openCgroup } from "../cgroups/cgroup.ts";
import { ENODEV, ENOENT, isErrno } from "../errors/error.ts";
import { readText } from "../sys/file.ts";

type Numbers = { readonly [name: string]: number };

/** The `data` of a stats event; `rdt` is what resctrl tells. */
export function statsOf(path: string, rdt: object = {}): object {
  const cgroup = openCgroup(path);
  const files = new Files(cgroup);
  const isV2 = cgroup.directories.some(({ name }) => name === "");
  return {
    cpu: isV2 ? cpuV2(files) : cpuV1(files),
    cpuset: {},
    memory: isV2 ? memoryV2(files) : memoryV1(files),
    pids: withoutUndefined({
      current: files.number("pids", "pids.current") ?? 0,
      limit: files.number("pids", "pids.max"),
    }),
    blkio: isV2 ? blkioV2(files) : blkioV1(files),
    hugetlb: {},
    intel_rdt: rdt,
    network_interfaces: null,
  };
}

type ControllerName = Parameters<Cgroup["directoryOf"]>[0];

/** Files of a cgroup; one that is not there reads as nothing. */
class Files {
  readonly #cgroup: Cgroup;

  constructor(cgroup: Cgroup) {
    this.#cgroup = cgroup;
  }

  text(controller: ControllerName, file: string): string {
    const directory = this.#cgroup.directoryOf(controller);
    if (directory === undefined) return "";
    try {
      return readText(`${directory}/${file}`).trim();
    } catch (error) {
      if (isErrno(error, ENOENT, ENODEV)) return "";
      throw error;
    }
  }

  /** Undefined for `max` and for a file that is not there. */
  number(controller: ControllerName, file: string): number | undefined {
    const text = this.text(controller, file);
    return /^\d+$/.test(text) ? Number(text) : undefined;
  }

  /** Lines of a name and a number. */
  pairs(controller: ControllerName, file: string): Numbers {
    return pairsOf(this.text(controller, file).split("\n"));
  }
}

function pairsOf(lines: readonly string[]): Numbers {
  const words = lines.map((line) => line.split(/[ =]/));
  return Object.fromEntries(
    words.flatMap(([name = "", value]) => (value === undefined ? [] : [[name, Number(value)]])),
  );
}

function withoutUndefined(fields: { readonly [name: string]: unknown }): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** cpuacct.stat counts in ticks (USER_HZ, 100 on every architecture). */
const NS_PER_TICK = 1e7;

function cpuV1(files: Files): object {
  const { user = 0, system = 0 } = files.pairs("cpuacct", "cpuacct.stat");
  const { nr_periods = 0, nr_throttled = 0, throttled_time = 0 } = files.pairs("cpu", "cpu.stat");
  const perCpu = files.text("cpuacct", "cpuacct.usage_percpu");
  return {
    usage: {
      total: files.number("cpuacct", "cpuacct.usage") ?? 0,
      ...(perCpu === "" ? {} : { percpu: perCpu.split(/\s+/).map(Number) }),
      kernel: system * NS_PER_TICK,
      user: user * NS_PER_TICK,
    },
    throttling: { periods: nr_periods, throttledPeriods: nr_throttled, throttledTime: throttled_time },
  };
}

function cpuV2(files: Files): object {
  const stat = files.pairs("cpu", "cpu.stat");
  const ns = (name: string) => (stat[name] ?? 0) * 1000;
  return {
    usage: { total: ns("usage_usec"), kernel: ns("system_usec"), user: ns("user_usec") },
    throttling: {
      periods: stat["nr_periods"] ?? 0,
      throttledPeriods: stat["nr_throttled"] ?? 0,
      throttledTime: ns("throttled_usec"),
    },
  };
}

function memoryV1(files: Files): object {
  const entry = (kind: string) => ({
    limit: files.number("memory", `memory.${kind}limit_in_bytes`) ?? 0,
    usage: files.number("memory", `memory.${kind}usage_in_bytes`) ?? 0,
    max: files.number("memory", `memory.${kind}max_usage_in_bytes`) ?? 0,
    failcnt: files.number("memory", `memory.${kind}failcnt`) ?? 0,
  });
  const raw = files.pairs("memory", "memory.stat");
  return {
    cache: raw["cache"] ?? 0,
    usage: entry(""),
    swap: entry("memsw."),
    kernel: entry("kmem."),
    kernelTCP: entry("kmem.tcp."),
    raw,
  };
}

function memoryV2(files: Files): object {
  const entry = (kind: string) =>
    withoutUndefined({
      limit: files.number("memory", `memory.${kind}max`) ?? 2 ** 64 - 2048,
      usage: files.number("memory", `memory.${kind}current`) ?? 0,
      max: files.number("memory", `memory.${kind}peak`),
      failcnt: files.pairs("memory", `memory.${kind}events`)["max"] ?? 0,
    });
  const raw = files.pairs("memory", "memory.stat");
  return { cache: raw["file"] ?? 0, usage: entry(""), swap: entry("swap."), kernel: {}, kernelTCP: {}, raw };
}

interface BlkioEntry {
  readonly major: number;
  readonly minor: number;
  readonly op: string;
  readonly value: number;
}

function blkioV1(files: Files): object {
  const entries = (file: string) =>
    files
      .text("blkio", file)
      .split("\n")
      .flatMap((line): BlkioEntry[] => {
        const [, major, minor, op = "", value] = /^(\d+):(\d+) (\w+) (\d+)$/.exec(line) ?? [];
        return value === undefined ? [] : [{ major: Number(major), minor: Number(minor), op, value: Number(value) }];
      });
  return {
    ioServiceBytesRecursive: entries("blkio.throttle.io_service_bytes_recursive"),
    ioServicedRecursive: entries("blkio.throttle.io_serviced_recursive"),
  };
}

/** `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6` (cgroup-v2.rst, io.stat) */
function blkioV2(files: Files): object {
  const bytes: BlkioEntry[] = [];
  const count: BlkioEntry[] = [];
  for (const line of files.text("io", "io.stat").split("\n")) {
    const [device = "", ...words] = line.split(" ");
    const [major = Number.NaN, minor = Number.NaN] = device.split(":").map(Number);
    if (!Number.isInteger(major) || !Number.isInteger(minor)) continue;
    const { rbytes = 0, wbytes = 0, rios = 0, wios = 0 } = pairsOf(words);
    bytes.push({ major, minor, op: "Read", value: rbytes }, { major, minor, op: "Write", value: wbytes });
    count.push({ major, minor, op: "Read", value: rios }, { major, minor, op: "Write", value: wios });
  }
  return { ioServiceBytesRecursive: bytes, ioServicedRecursive: count };
}
