/** `ctr info`: the engine and the machine it runs on. */

import { cgroupLayout } from "../../../internal/cgroups/layout.ts";
import { limitSupport, missingLimits } from "../../../internal/cgroups/support.ts";
import { cgroupDriver } from "../../../internal/container/cgroup-place.ts";
import { collect } from "../../../internal/container/collect.ts";
import { DEFAULT_LOG_CONFIG } from "../../../internal/container/log/default.ts";
import { listContainers } from "../../../internal/container/store.ts";
import { remapsByDefault } from "../../../internal/container/userns-mode.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { loadEngineConfig } from "../../../internal/db/engine-config.ts";
import { recordedDriver, shownDriver } from "../../../internal/db/storage-driver.ts";
import { ENOENT, isErrno } from "../../../internal/errors/error.ts";
import { humanBinarySize } from "../../../internal/image/human-size.ts";
import { hasDefaultProfile } from "../../../internal/security/apparmor.ts";
import { containerContexts, hasSelinux } from "../../../internal/security/selinux.ts";
import { COMMIT, VERSION } from "../../../internal/sys/build-stamp.ts";
import { readText, statfs } from "../../../internal/sys/file.ts";
import { type Directories, defineCommand, INSPECT_HELP } from "../command.ts";
import { harmless } from "../fail.ts";
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

/** Docker's Info (Engine API, SystemInfo): its names in its order. */
function gather(directories: Directories) {
  using engine = openEngine(directories);
  const problems = collect(engine);
  const containers = listContainers(engine);
  const count = (...states: readonly string[]) => containers.filter(({ state }) => states.includes(state)).length;
  const images = engine.db.query<{ count: number }, []>("SELECT count(*) AS count FROM image").get()?.count ?? 0;
  const { mode } = cgroupLayout();
  const support = limitSupport();
  const { HTTP_PROXY, http_proxy, HTTPS_PROXY, https_proxy, NO_PROXY, no_proxy } = process.env;
  return {
    ID: readOptional("/etc/machine-id"),
    Containers: containers.length,
    ContainersRunning: count("running", "restarting"),
    ContainersPaused: count("paused"),
    ContainersStopped: count("created", "exited", "dead", "removing"),
    Images: images,
    Driver: shownDriver(recordedDriver(engine) ?? "overlay"),
    DriverStatus: [["Backing Filesystem", fileSystemName(statfs(engine.root).type)]],
    Plugins: {
      Volume: ["local"],
      Network: ["bridge", "host", "ipvlan", "macvlan", "null"],
      Authorization: null,
      Log: ["journald", "json-file", "local", "none", "syslog"],
    },
    MemoryLimit: support.memory,
    SwapLimit: support.swap,
    CpuCfsPeriod: support.cpuQuota,
    CpuCfsQuota: support.cpuQuota,
    CPUShares: support.cpuShares,
    CPUSet: support.cpuset,
    PidsLimit: support.pids,
    IPv4Forwarding: readOptional("/proc/sys/net/ipv4/ip_forward") === "1",
    Debug: false,
    NFd: 0,
    OomKillDisable: support.oomKillDisable,
    NGoroutines: 0,
    SystemTime: new Date().toISOString(),
    LoggingDriver: loadEngineConfig(process.env).logDriver ?? DEFAULT_LOG_CONFIG.Type,
    CgroupDriver: cgroupDriver(process.env),
    CgroupVersion: mode === "v2" ? "2" : "1",
    NEventsListener: 0,
    KernelVersion: kernelVersion(),
    OperatingSystem: osRelease("PRETTY_NAME") || "Linux",
    OSVersion: osRelease("VERSION_ID"),
    OSType: "linux",
    Architecture: process.arch === "x64" ? "x86_64" : "aarch64",
    IndexServerAddress: "https://index.docker.io/v1/",
    NCPU: navigator.hardwareConcurrency,
    MemTotal: memoryTotal(),
    GenericResources: null,
    DockerRootDir: engine.root,
    HttpProxy: HTTP_PROXY ?? http_proxy ?? "",
    HttpsProxy: HTTPS_PROXY ?? https_proxy ?? "",
    NoProxy: NO_PROXY ?? no_proxy ?? "",
    Name: readText("/proc/sys/kernel/hostname").trim(),
    Labels: [],
    ExperimentalBuild: false,
    ServerVersion: VERSION,
    Runtimes: { ctr: { path: "ctr" } },
    DefaultRuntime: "ctr",
    // There is no swarm: what Docker says of a machine that is in none.
    Swarm: {
      NodeID: "",
      NodeAddr: "",
      LocalNodeState: "inactive",
      ControlAvailable: false,
      Error: "",
      RemoteManagers: null,
    },
    // No daemon: every restart of the engine is one that containers live through.
    LiveRestoreEnabled: true,
    Isolation: "",
    InitBinary: "ctr",
    SecurityOptions: [
      ...(hasDefaultProfile() ? ["name=apparmor"] : []),
      "name=seccomp,profile=builtin",
      ...(hasSelinux() && containerContexts() !== undefined ? ["name=selinux"] : []),
      ...(remapsByDefault(process.env) ? ["name=userns"] : []),
      ...(mode === "v2" ? ["name=cgroupns"] : []),
    ],
    Warnings: [
      ...missingLimits(support, mode),
      ...problems.map((problem) => (problem instanceof Error ? problem.message : String(problem))),
    ].map((text) => `WARNING: ${text}`),
    ClientInfo: {
      Debug: false,
      Version: VERSION,
      GitCommit: COMMIT.slice(0, 7),
      Os: "linux",
      Arch: process.arch === "x64" ? "amd64" : process.arch,
      Context: "default",
      Plugins: [],
      Warnings: null,
    },
  };
}

/** Docker's names of what `statfs` calls a type (statfs(2)); others by their number. */
function fileSystemName(type: number): string {
  const names: { readonly [type: number]: string } = {
    61267: "extfs",
    1481003842: "xfs",
    2435016766: "btrfs",
    16914836: "tmpfs",
    801189825: "zfs",
    2035054128: "overlayfs",
    4076150800: "f2fs",
    26985: "nfs",
  };
  return names[type >>> 0] ?? `0x${(type >>> 0).toString(16)}`;
}

/** A field of os-release(5). */
function osRelease(field: string): string {
  const text = readOptional("/etc/os-release");
  return new RegExp(`^${field}="?([^"\\n]*)"?$`, "m").exec(text)?.[1] ?? "";
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
  const facet = (name: string, ...below: readonly string[]) =>
    ` ${name}:\n${below.map((line) => `  ${line}\n`).join("")}`;
  const line = (name: string, value: string | number | boolean) => ` ${name}: ${value}\n`;
  const { Plugins } = facts;
  const status = facts.DriverStatus.map(([name, value]) => `  ${name}: ${value}\n`).join("");
  const options = facts.SecurityOptions.flatMap((option) =>
    option
      .split(",")
      .map((part, at) => (at === 0 ? part.replace("name=", "") : ` Profile: ${part.replace("profile=", "")}`)),
  );
  return [
    `Client:\n Version:    ${facts.ClientInfo.Version}\n Context:    default\n Debug Mode: false\n\nServer:\n`,
    ` Containers: ${facts.Containers}\n  Running: ${facts.ContainersRunning}\n  Paused: ${facts.ContainersPaused}\n`,
    `  Stopped: ${facts.ContainersStopped}\n`,
    line("Images", facts.Images),
    line("Server Version", facts.ServerVersion),
    line("Storage Driver", facts.Driver) + status,
    line("Logging Driver", facts.LoggingDriver),
    line("Cgroup Driver", facts.CgroupDriver),
    line("Cgroup Version", facts.CgroupVersion),
    facet(
      "Plugins",
      `Volume: ${Plugins.Volume.join(" ")}`,
      `Network: ${Plugins.Network.join(" ")}`,
      `Log: ${Plugins.Log.join(" ")}`,
    ),
    line("Swarm", facts.Swarm.LocalNodeState),
    line("Runtimes", Object.keys(facts.Runtimes).join(" ")),
    line("Default Runtime", facts.DefaultRuntime),
    facet("Security Options", ...options),
    line("Kernel Version", facts.KernelVersion),
    line("Operating System", facts.OperatingSystem),
    line("OSType", facts.OSType),
    line("Architecture", facts.Architecture),
    line("CPUs", facts.NCPU),
    line("Total Memory", humanBinarySize(facts.MemTotal)),
    line("Name", facts.Name),
    line("ID", facts.ID),
    line("Docker Root Dir", facts.DockerRootDir),
    line("Debug Mode", facts.Debug),
    ...(facts.HttpProxy === "" ? [] : [line("HTTP Proxy", facts.HttpProxy)]),
    ...(facts.HttpsProxy === "" ? [] : [line("HTTPS Proxy", facts.HttpsProxy)]),
    ...(facts.NoProxy === "" ? [] : [line("No Proxy", facts.NoProxy)]),
    line("Experimental", facts.ExperimentalBuild),
    line("Live Restore Enabled", facts.LiveRestoreEnabled),
    ...facts.Warnings.map((warning) => `${harmless(warning)}\n`),
  ].join("");
}
