/** The fields of `ctr stats`, as Docker prints them. */
import type { ContainerStats } from "../../../internal/container/stats.ts";
import { humanBinarySize, humanSize } from "../../../internal/image/human-size.ts";
import { print } from "../output.ts";
import { shortId } from "./container-text.ts";
import { formatRows, type RowFields } from "./rows.ts";

const COLUMNS = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";
const UNKNOWN = "--";

/** Prints them once, in the format asked for. */
export function printStats(
  stats: readonly ContainerStats[],
  { format, isShort }: { readonly format: string; readonly isShort: boolean },
): void {
  print(formatRows(format, fields(isShort), stats, `table ${COLUMNS}`));
}

function fields(isShort: boolean): RowFields<ContainerStats> {
  return {
    Container: { header: "CONTAINER", value: ({ container }) => container },
    Name: { header: "NAME", value: ({ name }) => name },
    ID: { header: "CONTAINER ID", value: ({ id }) => (isShort ? shortId(id) : id) },
    CPUPerc: { header: "CPU %", value: cpuText },
    MemUsage: { header: "MEM USAGE / LIMIT", value: memoryText },
    MemPerc: { header: "MEM %", value: (stats) => percentText(memoryPercent(stats)) },
    NetIO: { header: "NET I/O", value: ({ receivedBytes, sentBytes }) => pair(receivedBytes, sentBytes) },
    BlockIO: { header: "BLOCK I/O", value: ({ readBytes, writeBytes }) => pair(readBytes, writeBytes) },
    PIDs: { header: "PIDS", value: ({ pids }) => String(pids) },
  };
}

/** `0.25%`; two dashes before there is anything to compare with. */
export function cpuText({ cpuPercent }: ContainerStats): string {
  return cpuPercent === undefined ? UNKNOWN : percentText(cpuPercent);
}

/** Used and allowed. */
export function memoryText({ memoryBytes, memoryLimitBytes }: ContainerStats): string {
  return `${humanBinarySize(memoryBytes)} / ${humanBinarySize(memoryLimitBytes)}`;
}

/** Of what is allowed. */
export function memoryPercent({ memoryBytes, memoryLimitBytes }: ContainerStats): number {
  return memoryLimitBytes === 0 ? 0 : (100 * memoryBytes) / memoryLimitBytes;
}

/** `1.50%` */
export function percentText(percent: number): string {
  return `${percent.toFixed(2)}%`;
}

/** `1.2kB / 0B` */
export function pair(first: number, second: number): string {
  return `${humanSize(first)} / ${humanSize(second)}`;
}
