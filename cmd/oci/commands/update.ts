/** `update`: other limits for a container. */
import { CtrError, withContext } from "../../../internal/errors/error.ts";
import { updateContainer } from "../../../internal/oci/control.ts";
import { parseResources } from "../../../internal/spec/parse-spec.ts";
import type { CpuResources, IntelRdt, MemoryResources, Resources } from "../../../internal/spec/runtime.ts";
import { readFd, readText } from "../../../internal/sys/file.ts";
import { containerId, type OciCommand } from "../command.ts";
import type { Flags } from "../flags.ts";

const STDIN = 0;

export const command: OciCommand = {
  flags: {
    "resources,r": "text",
    "blkio-weight": "text",
    "cpu-period": "text",
    "cpu-quota": "text",
    "cpu-burst": "text",
    "cpu-share": "text",
    "cpu-rt-period": "text",
    "cpu-rt-runtime": "text",
    "cpu-idle": "text",
    "cpuset-cpus": "text",
    "cpuset-mems": "text",
    "kernel-memory": "text",
    "kernel-memory-tcp": "text",
    memory: "text",
    "memory-reservation": "text",
    "memory-swap": "text",
    "pids-limit": "text",
    "l3-cache-schema": "text",
    "mem-bw-schema": "text",
  },
  operands: [1, 1],
  usage: "[command options] <container-id>",
  summary: "update container resource constraints",
  async run(call) {
    const { flags, globals } = call;
    const file = flags.text("resources") ?? "";
    const resources = file === "" ? resourcesOf(flags) : readResources(file);
    await updateContainer(globals.root, containerId(call), resources, classOfService(flags));
    return 0;
  },
};

function readResources(path: string): Resources {
  let value: unknown;
  try {
    value = JSON.parse(path === "-" ? new TextDecoder().decode(readFd(STDIN)) : readText(path));
  } catch (error) {
    throw withContext(path === "-" ? "standard input" : path, error);
  }
  return withoutZeros(parseResources(value));
}

/** runc's reading of such a file: a number that is 0 or a text that is empty is one that nobody gave. */
function withoutZeros({ memory, cpu, pids, blockIO, ...others }: Resources): Resources {
  return {
    ...others,
    ...given("memory", compact(memory ?? {})),
    ...given("cpu", compact(cpu ?? {})),
    ...((pids?.limit ?? 0) === 0 || pids === undefined ? {} : { pids }),
    ...given("blockIO", compact(blockIO ?? {})),
  };
}

function resourcesOf(flags: Flags): Resources {
  const number = (name: string) => bytes(flags, name);
  const text = (name: string) => flags.text(name) ?? "";
  const memory: MemoryResources = compact({
    limit: number("memory"),
    reservation: number("memory-reservation"),
    swap: number("memory-swap"),
  });
  const cpu: CpuResources = compact({
    period: number("cpu-period"),
    quota: number("cpu-quota"),
    burst: number("cpu-burst"),
    shares: number("cpu-share"),
    realtimePeriod: number("cpu-rt-period"),
    realtimeRuntime: number("cpu-rt-runtime"),
    cpus: text("cpuset-cpus"),
    mems: text("cpuset-mems"),
  });
  const idle = flags.integer("cpu-idle");
  const limit = flags.integer("pids-limit") ?? 0;
  const weight = flags.integer("blkio-weight") ?? 0;
  return {
    ...given("memory", memory),
    ...given("cpu", idle === undefined ? cpu : { ...cpu, idle }),
    ...(limit === 0 ? {} : { pids: { limit } }),
    ...(weight === 0 ? {} : { blockIO: { weight } }),
  };
}

/** By flags only: a file of resources has none of it. */
function classOfService(flags: Flags): IntelRdt {
  return compact({ l3CacheSchema: flags.text("l3-cache-schema"), memBwSchema: flags.text("mem-bw-schema") });
}

/** The fields that were given. */
function compact<T extends object>(fields: { readonly [K in keyof T]?: T[K] | undefined }): T {
  // What is left out is what a field of these types may lack.
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== 0 && value !== ""),
  ) as T;
}

function given<K extends string, T extends object>(name: K, fields: T): { readonly [Name in K]?: T } {
  const one: { [Name in K]?: T } = {};
  if (Object.keys(fields).length > 0) one[name] = fields;
  return one;
}

/** A number, or with a unit a number of bytes: `64m`. */
function bytes(flags: Flags, name: string): number | undefined {
  const text = flags.text(name) ?? "";
  if (text === "") return undefined;
  const [, digits = "", unit = ""] = /^(-?\d{1,15})([bkmgt]?)b?$/i.exec(text) ?? [];
  if (digits === "") throw new CtrError("invalid", `invalid value for ${name}: ${text}`);
  return Number(digits) * 1024 ** Math.max(0, "bkmgt".indexOf(unit.toLowerCase()));
}
