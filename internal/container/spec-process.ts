/** A container's programs as the runtime-spec has them: its own, and further ones. */
import type { Engine } from "../db/engine.ts";
import type { ExecProcess, TerminalSize } from "../ipc/supervisor.ts";
import { allCapabilities, capabilitiesFromFlags, capabilityNames } from "../security/capabilities.ts";
import type { Capabilities, Process, Rlimit } from "../spec/runtime.ts";
import { readText } from "../sys/file.ts";
import { DEFAULT_PATH, overlayEnv } from "./env.ts";
import { apparmorProfile, containerLabels } from "./labels.ts";
import type { ContainerRecord, HostConfig } from "./record.ts";
import { isDonor } from "./store.ts";

/** The version of the runtime-spec that our specs are written in. */
export const OCI_VERSION = "1.2.0";

export interface StartContext {
  readonly consoleSize?: TerminalSize | undefined;
}

/** The one that a start is for. */
export function mainProcess(
  record: ContainerRecord,
  hostname: string,
  context: StartContext,
  links: readonly string[] = [],
): Process {
  const { config } = record;
  const size = context.consoleSize;
  return {
    ...commonProcess(record),
    terminal: config.Tty,
    ...(size === undefined ? {} : { consoleSize: { height: size.rows, width: size.columns } }),
    args: commandLine(record),
    env: environment(record, hostname, config.Tty, links),
    cwd: config.WorkingDir === "" ? "/" : config.WorkingDir,
    user: userOf(record, config.User),
    capabilities: containerCapabilities(record.hostConfig),
  };
}

/** ENTRYPOINT and CMD together. */
export function commandLine(record: ContainerRecord): readonly string[] {
  return [...(record.config.Entrypoint ?? []), ...(record.config.Cmd ?? [])];
}

type CommonFields = "apparmorProfile" | "noNewPrivileges" | "oomScoreAdj" | "rlimits" | "selinuxLabel";

function commonProcess(record: ContainerRecord): Pick<Process, CommonFields> {
  const oomScore = record.hostConfig.OomScoreAdj ?? 0;
  const profile = apparmorProfile(record.hostConfig);
  const labels = containerLabels(record);
  return {
    ...(profile === undefined ? {} : { apparmorProfile: profile }),
    ...(labels === undefined ? {} : { selinuxLabel: labels.process }),
    noNewPrivileges: hasNoNewPrivileges(record.hostConfig),
    ...(oomScore === 0 ? {} : { oomScoreAdj: oomScore }),
    rlimits: record.hostConfig.Ulimits.map(
      ({ Name, Soft, Hard }): Rlimit => ({
        type: `RLIMIT_${Name.toUpperCase()}`,
        soft: limit(Soft),
        hard: limit(Hard),
      }),
    ),
  };
}

/** RLIM_INFINITY as the parser of the spec has it. */
function limit(value: number): number {
  return value === -1 ? 2 ** 64 : value;
}

function hasNoNewPrivileges(hostConfig: HostConfig): boolean {
  const last = hostConfig.SecurityOpt?.findLast((option) => /^no-new-privileges(=|$)/.test(option));
  return last === "no-new-privileges" || last === "no-new-privileges=true";
}

function environment(
  record: ContainerRecord,
  hostname: string,
  isTty: boolean,
  links: readonly string[] = [],
): string[] {
  const defaults = [`PATH=${DEFAULT_PATH}`, `HOSTNAME=${hostname}`, ...(isTty ? ["TERM=xterm"] : []), ...links];
  return overlayEnv(defaults, record.config.Env);
}

/** The name is resolved by init, in the root file system; a user is always given, so that numbers are looked up too. */
function userOf(record: ContainerRecord, user: string): Process["user"] {
  const numbers = (record.hostConfig.GroupAdd ?? []).filter((group) => /^\d+$/.test(group)).map(Number);
  return {
    uid: 0,
    gid: 0,
    umask: 0o022,
    username: user,
    ...(numbers.length === 0 ? {} : { additionalGids: numbers }),
  };
}

/** True if a process with CAP_SYS_PTRACE may share the container's process namespace: its own, or those of others in there. */
export function mayBeTraced(engine: Engine, record: ContainerRecord): boolean {
  const { CapAdd, PidMode, Privileged } = record.hostConfig;
  const hasOwn =
    Privileged || ((CapAdd ?? []).length > 0 && capabilities(record.hostConfig).includes("CAP_SYS_PTRACE"));
  return hasOwn || (PidMode ?? "") !== "" || isDonor(engine, record.id);
}

function capabilities(hostConfig: HostConfig): readonly string[] {
  const { CapAdd, CapDrop, Privileged } = hostConfig;
  if (Privileged) return availableCapabilities(allCapabilities());
  const names = capabilitiesFromFlags(CapAdd ?? [], CapDrop ?? []);
  const isAll = (CapAdd ?? []).some((name) => /^(CAP_)?ALL$/i.test(name.trim()));
  return isAll ? availableCapabilities(names) : names;
}

/** "All" is all that there are to give: in a container or a locked down host our own bounding set lacks some. */
function availableCapabilities(names: readonly string[]): readonly string[] {
  const [, mask = "0"] = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readText("/proc/self/status")) ?? [];
  const own = capabilityNames(BigInt(`0x${mask}`));
  return names.filter((name) => own.includes(name));
}

/** Those that a container's own program may have. */
export function containerCapabilities(hostConfig: HostConfig): Capabilities {
  return capabilitySets(capabilities(hostConfig));
}

/** Inheritable and ambient stay empty. */
function capabilitySets(names: readonly string[]): Capabilities {
  return { bounding: names, effective: names, permitted: names };
}

/** A further process in a running container (`exec`): the container's own where the request says nothing. */
export function execProcess(record: ContainerRecord, exec: ExecProcess): Process {
  const { config, hostConfig } = record;
  const names = exec.privileged ? availableCapabilities(allCapabilities()) : capabilities(hostConfig);
  return {
    ...commonProcess(record),
    terminal: exec.terminal,
    args: exec.args,
    env: overlayEnv(environment(record, config.Hostname, exec.terminal), exec.env),
    cwd: exec.cwd ?? (config.WorkingDir === "" ? "/" : config.WorkingDir),
    user: userOf(record, exec.user ?? config.User),
    capabilities: capabilitySets(names),
  };
}
