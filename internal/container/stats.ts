/** What containers use, looked at from outside: their cgroups' files and their network's counters, for all at once. */
import { FILES_OF_GAUGE, Gauge, type Usage } from "../cgroups/gauge.ts";
import type { Engine } from "../db/engine.ts";
import { ENOENT, ESRCH, isErrno } from "../errors/error.ts";
import { type Fd, O_RDONLY, open, read } from "../sys/fd.ts";
import { readText } from "../sys/file.ts";
import { prlimit, RLIMITS } from "../sys/process.ts";
import { cgroupPathOf } from "./cgroup-place.ts";
import { refresh } from "./collect.ts";
import type { ContainerRecord } from "./record.ts";
import { containerById, listContainers } from "./store.ts";

/** What one container uses; all 0 while it does not run. */
export interface ContainerStats {
  readonly id: string;
  readonly name: string;
  /** As the user named it; its id where nobody did. */
  readonly container: string;
  readonly isRunning: boolean;
  /** Of one CPU, since the last look; undefined at the first. */
  readonly cpuPercent: number | undefined;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly pids: number;
}

export interface StatsRequest {
  /** Ids and what the user called them; empty: whatever there is. */
  readonly wanted: readonly { readonly id: string; readonly container: string }[];
  /** Those too that do not run. */
  readonly all: boolean;
}

/** One container under observation. */
interface Watched {
  record: ContainerRecord;
  readonly container: string;
  /** Kept open; one that there are no descriptors left for is opened for each look. */
  readonly gauge: Gauge | undefined;
  lastCpuNs: number | undefined;
  lastTimeNs: number;
}

/** What else needs descriptors. */
const SPARE_FILES = 100;

/** Looks at the containers as often as it is asked. Which there are is asked of the database when it has changed. */
export class StatsReader implements Disposable {
  readonly #engine: Engine;
  readonly #request: StatsRequest;
  readonly #watched = new Map<string, Watched>();
  readonly #hostMemoryBytes = memoryTotal();
  readonly #mostGauges = (fileLimit() - SPARE_FILES) / FILES_OF_GAUGE;
  #version = -1;

  constructor(engine: Engine, request: StatsRequest) {
    this.#engine = engine;
    this.#request = request;
  }

  /** Everything now, newest container first, or in the order the user named them. */
  look(): ContainerStats[] {
    this.#update();
    const stats: ContainerStats[] = [];
    for (const watched of this.#watched.values()) stats.push(this.#lookAt(watched));
    return stats;
  }

  [Symbol.dispose](): void {
    for (const { gauge } of this.#watched.values()) gauge?.[Symbol.dispose]();
  }

  /** Takes over what other processes have changed. */
  #update(): void {
    const { data_version: version = -1 } =
      this.#engine.db.query<{ data_version: number }, []>("PRAGMA data_version").get() ?? {};
    if (version === this.#version) return;
    this.#version = version;
    const seen = new Set<string>();
    for (const { record, container } of this.#chosen()) {
      seen.add(record.id);
      const old = this.#watched.get(record.id);
      if (old !== undefined && old.record.runtime.pid === record.runtime.pid) {
        old.record = record;
        continue;
      }
      old?.gauge?.[Symbol.dispose]();
      const keeps = hasProgram(record) && this.#watched.size < this.#mostGauges;
      const gauge = keeps ? new Gauge(cgroupPathOf(record)) : undefined;
      this.#watched.set(record.id, { record, container, gauge, lastCpuNs: undefined, lastTimeNs: 0 });
    }
    for (const [id, { gauge }] of this.#watched) {
      if (seen.has(id)) continue;
      gauge?.[Symbol.dispose]();
      this.#watched.delete(id);
    }
  }

  #chosen(): { readonly record: ContainerRecord; readonly container: string }[] {
    const { wanted, all } = this.#request;
    if (wanted.length > 0) {
      return wanted.flatMap(({ id, container }) => {
        const record = containerById(this.#engine, id);
        const current = record === undefined ? undefined : refresh(this.#engine, record);
        return current === undefined ? [] : [{ record: current, container }];
      });
    }
    return listContainers(this.#engine).flatMap((recorded) => {
      const record = refresh(this.#engine, recorded);
      return record === undefined || !(all || hasProgram(record)) ? [] : [{ record, container: record.id }];
    });
  }

  #lookAt(watched: Watched): ContainerStats {
    const { record, container } = watched;
    const timeNs = Bun.nanoseconds();
    const usage = usageOf(watched);
    const cpuPercent = percent(watched, usage, timeNs);
    watched.lastCpuNs = usage?.cpuNs;
    watched.lastTimeNs = timeNs;
    const network = usage === undefined ? NO_TRAFFIC : traffic(record);
    return {
      id: record.id,
      name: record.name,
      container,
      isRunning: usage !== undefined,
      cpuPercent: hasProgram(record) ? cpuPercent : 0,
      memoryBytes: usage?.memoryBytes ?? 0,
      memoryLimitBytes: usage === undefined ? 0 : Math.min(usage.memoryLimitBytes, this.#hostMemoryBytes),
      ...network,
      readBytes: usage?.readBytes ?? 0,
      writeBytes: usage?.writeBytes ?? 0,
      pids: usage?.pids ?? 0,
    };
  }
}

function usageOf({ gauge, record }: Watched): Usage | undefined {
  if (gauge !== undefined) return gauge.read();
  if (!hasProgram(record)) return undefined;
  using passing = new Gauge(cgroupPathOf(record));
  return passing.read();
}

/** RLIMIT_NOFILE of getrlimit(2). */
function fileLimit(): number {
  return Number(prlimit(0, RLIMITS.indexOf("NOFILE")).soft);
}

function hasProgram(record: ContainerRecord): boolean {
  return record.state === "running" || record.state === "paused";
}

function percent({ lastCpuNs, lastTimeNs }: Watched, usage: Usage | undefined, timeNs: number): number | undefined {
  if (usage === undefined || lastCpuNs === undefined || timeNs <= lastTimeNs) return undefined;
  return (100 * Math.max(0, usage.cpuNs - lastCpuNs)) / (timeNs - lastTimeNs);
}

/** Bytes: proc_meminfo(5). */
function memoryTotal(): number {
  return 1024 * Number(/^MemTotal:\s+(\d+) kB$/m.exec(readText("/proc/meminfo"))?.[1] ?? 0);
}

const NO_TRAFFIC = { receivedBytes: 0, sentBytes: 0 };
const buffer = new Uint8Array(16 << 10);
const decoder = new TextDecoder();

/**
 * Of every interface but lo: proc_pid_net(5), net/dev. Opened anew each time, because the open file would keep the network
 * namespace of a container that has ended. In the host's network there is nothing of its own to count.
 */
function traffic(record: ContainerRecord): { readonly receivedBytes: number; readonly sentBytes: number } {
  const { NetworkMode } = record.hostConfig;
  if (NetworkMode === "host" || NetworkMode === "none") return NO_TRAFFIC;
  const opened = openIfAny(`/proc/${record.runtime.pid}/net/dev`);
  if (opened === undefined) return NO_TRAFFIC;
  using file = opened;
  const text = decoder.decode(buffer.subarray(0, read(file.number, buffer)));
  let [receivedBytes, sentBytes] = [0, 0];
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 0 || line.slice(0, colon).trim() === "lo") continue;
    const fields = line
      .slice(colon + 1)
      .trim()
      .split(/ +/);
    receivedBytes += Number(fields[0]);
    sentBytes += Number(fields[8]);
  }
  return { receivedBytes, sentBytes };
}

function openIfAny(path: string): Fd | undefined {
  try {
    return open(path, O_RDONLY);
  } catch (error) {
    // It has just ended.
    if (isErrno(error, ENOENT, ESRCH)) return undefined;
    throw error;
  }
}
