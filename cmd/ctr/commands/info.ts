/** `ctr info`: the engine and the machine it runs on. */

import { cgroupLayout } from "../../../internal/cgroups/layout.ts";
import { usesSystemd } from "../../../internal/container/cgroup-place.ts";
import { collect } from "../../../internal/container/collect.ts";
import { listContainers } from "../../../internal/container/store.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { ENOENT, isErrno } from "../../../internal/errors/error.ts";
import { readText } from "../../../internal/sys/file.ts";
import { VERSION } from "../build-stamp.ts";
import { type Directories, defineCommand } from "../command.ts";
import { harmless } from "../fail.ts";
import { humanBinarySize } from "../format/duration.ts";
import { INSPECT_HELP } from "../format/help-text.ts";
import { print, printLine } from "../output.ts";
import { kernelVersion } from "./version.ts";

export const command = defineCommand({
  meta: { name: "info", description: "Display system-wide information" },
  usage: "[OPTIONS]",
  operands: [0, 0],
  flags: {
    format: { type: "string", alias: "f", description: INSPECT_HELP },
  },
  async run({ flags, directories }) {
    const facts = gather(directories);
    if (flags.format === undefined || flags.format === "") {
      print(describe(facts));
      return 0;
    }
    const { compileObjectFormat } = await import("../format/object.ts");
    printLine(compileObjectFormat(flags.format, "system.dockerInfo")(facts));
    return 0;
  },
});

type Facts = ReturnType<typeof gather>;

function gather(directories: Directories) {
  using engine = openEngine(directories);
  const problems = collect(engine);
  const containers = listContainers(engine);
  const count = (...states: readonly string[]) => containers.filter(({ state }) => states.includes(state)).length;
  const images = engine.db.query<{ count: number }, []>("SELECT count(*) AS count FROM image").get()?.count ?? 0;
  const { mode } = cgroupLayout();
  return {
    ID: readOptional("/etc/machine-id"),
    Containers: containers.length,
    ContainersRunning: count("running", "restarting"),
    ContainersPaused: count("paused"),
    ContainersStopped: count("created", "exited", "dead", "removing"),
    Images: images,
    Driver: "overlay2",
    LoggingDriver: "ctr",
    CgroupDriver: usesSystemd(process.env["CTR_CGROUP_DRIVER"]) ? "systemd" : "cgroupfs",
    CgroupVersion: mode === "v2" ? "2" : "1",
    KernelVersion: kernelVersion(),
    OperatingSystem: operatingSystem(),
    OSType: "linux",
    Architecture: process.arch === "x64" ? "x86_64" : "aarch64",
    NCPU: navigator.hardwareConcurrency,
    MemTotal: memoryTotal(),
    DockerRootDir: engine.root,
    Name: readText("/proc/sys/kernel/hostname").trim(),
    ServerVersion: VERSION,
    DefaultRuntime: "ctr",
    SecurityOptions: ["name=seccomp,profile=builtin"],
    Warnings: problems.map((problem) => (problem instanceof Error ? problem.message : String(problem))),
  };
}

/** PRETTY_NAME of os-release(5). */
function operatingSystem(): string {
  const text = readOptional("/etc/os-release");
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1] ?? "Linux";
}

/** Bytes: proc_meminfo(5). */
function memoryTotal(): number {
  return 1024 * Number(/^MemTotal:\s+(\d+) kB$/m.exec(readText("/proc/meminfo"))?.[1] ?? 0);
}

/** A file that a machine need not have. */
function readOptional(path: string): string {
  try {
    return readText(path).trim();
  } catch (error) {
    if (isErrno(error, ENOENT)) return "";
    throw error;
  }
}

function describe(facts: Facts): string {
  const lines: readonly (readonly [string, string | number])[] = [
    ["Server Version", facts.ServerVersion],
    ["Storage Driver", facts.Driver],
    ["Logging Driver", facts.LoggingDriver],
    ["Cgroup Driver", facts.CgroupDriver],
    ["Cgroup Version", facts.CgroupVersion],
    ["Default Runtime", facts.DefaultRuntime],
    ["Kernel Version", facts.KernelVersion],
    ["Operating System", facts.OperatingSystem],
    ["OSType", facts.OSType],
    ["Architecture", facts.Architecture],
    ["CPUs", facts.NCPU],
    ["Total Memory", humanBinarySize(facts.MemTotal)],
    ["Name", facts.Name],
    ["ID", facts.ID],
    ["Root Dir", facts.DockerRootDir],
  ];
  return (
    `Client:\n Version:    ${facts.ServerVersion}\n\nServer:\n` +
    ` Containers: ${facts.Containers}\n  Running: ${facts.ContainersRunning}\n  Paused: ${facts.ContainersPaused}\n` +
    `  Stopped: ${facts.ContainersStopped}\n Images: ${facts.Images}\n` +
    lines.map(([name, value]) => ` ${name}: ${value}\n`).join("") +
    facts.Warnings.map((warning) => `WARNING: ${harmless(warning)}\n`).join("")
  );
}
