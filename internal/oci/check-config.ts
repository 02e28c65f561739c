/**
 * What the runtime specification wants of a configuration beyond its types, and what this machine cannot give: said before
 * anything is made, with the field's name.
 */
import { CtrError, EINVAL, isErrno } from "../errors/error.ts";
import { CAPABILITIES } from "../security/capabilities.ts";
import type { Capabilities, NamespaceType, Process, SeccompAction, Spec } from "../spec/runtime.ts";
import { readText } from "../sys/file.ts";
import { prctl } from "../sys/process.ts";
import { isSameFile } from "./same-file.ts";

/** Checks a configuration, and takes out what may be passed over with a warning. Throws `invalid` or `unsupported`. */
export async function checkConfig(spec: Spec, warn: (message: string) => void): Promise<Spec> {
  checkVersion(spec.ociVersion);
  checkNamespaces(spec);
  checkSysctls(spec);
  checkDevices(spec);
  checkSeccomp(spec);
  checkAnnotations(spec);
  await checkMachine(spec);
  if (spec.process.args.length === 0) return spec;
  return { ...spec, process: await checkProcess(spec.process, hasOwn(spec, "user"), warn) };
}

/** The same for a process alone: a further program. */
export async function checkProcess(
  process: Process,
  isInUserNamespace: boolean,
  warn: (message: string) => void,
): Promise<Process> {
  const { args, rlimits = [], scheduler, ioPriority, execCPUAffinity, capabilities } = process;
  // runc's words.
  if (args.length === 0) throw new CtrError("invalid", "process args cannot be empty");
  const types = new Set<string>();
  for (const [index, { type, soft, hard }] of rlimits.entries()) {
    if (types.has(type)) refuse(`process.rlimits[${index}]`, `${type} is there twice`);
    if (soft > hard) refuse(`process.rlimits[${index}]`, `the soft limit of ${type} is above its hard limit`);
    types.add(type);
  }
  if (scheduler !== undefined || ioPriority !== undefined || execCPUAffinity !== undefined) {
    const { schedulingOf } = await import("../security/scheduling.ts");
    schedulingOf(process);
  }
  return capabilities === undefined
    ? process
    : { ...process, capabilities: grantable(capabilities, isInUserNamespace, warn) };
}

function refuse(field: string, why: string): never {
  throw new CtrError("invalid", `${field}: ${why}`);
}

/** semver.org, 2.0.0; within a major version every configuration is understood (config.md#specification-version). */
const VERSION = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/;

function checkVersion(version: string): void {
  const [, major] = VERSION.exec(version) ?? [];
  if (major === undefined) refuse("ociVersion", `${JSON.stringify(version)} is no version (SemVer 2.0.0)`);
  if (Number(major) > 1)
    throw new CtrError("unsupported", `ociVersion: ${version} is newer than 1.3, which this runtime knows`);
}

function namespaceOf(spec: Spec, type: NamespaceType) {
  return spec.linux?.namespaces?.find((namespace) => namespace.type === type);
}

/** True for a namespace that is made for the container. */
function hasOwn(spec: Spec, type: NamespaceType): boolean {
  const namespace = namespaceOf(spec, type);
  return namespace !== undefined && namespace.path === undefined;
}

function checkNamespaces(spec: Spec): void {
  const isHostUts = isHosts(spec, "uts");
  for (const name of ["hostname", "domainname"] as const) {
    if ((spec[name] ?? "") !== "" && isHostUts)
      refuse(name, "cannot be set without a UTS namespace of the container's own");
  }
  if (isHosts(spec, "network") && Object.keys(spec.linux?.netDevices ?? {}).length > 0)
    refuse("linux.netDevices", "needs a network namespace of the container's own");
  for (const [name, { name: newName = "" }] of Object.entries(spec.linux?.netDevices ?? {})) {
    if (!isDeviceName(name)) refuse("linux.netDevices", `${JSON.stringify(name)} is no network device's name`);
    // The kernel puts a number for %d.
    if (newName !== "" && !isDeviceName(newName.replace(/%d$/, "0")))
      refuse(`linux.netDevices.${name}.name`, `${JSON.stringify(newName)} is no network device's name`);
  }
  const clocks = Object.keys(spec.linux?.timeOffsets ?? {});
  if (clocks.length > 0 && !hasOwn(spec, "time")) refuse("linux.timeOffsets", "needs a new time namespace");
  for (const clock of clocks) {
    if (clock !== "monotonic" && clock !== "boottime")
      refuse("linux.timeOffsets", `${JSON.stringify(clock)} has no offset`);
  }
}

/** True for a namespace that is the runtime's: not listed, or by a path that leads there. */
function isHosts(spec: Spec, type: "uts" | "network"): boolean {
  const namespace = namespaceOf(spec, type);
  if (namespace?.path === undefined) return namespace === undefined;
  return isSameFile(namespace.path, `/proc/self/ns/${type === "uts" ? "uts" : "net"}`);
}

/** net/core/dev.c, dev_valid_name; and a template is only a name's end. */
function isDeviceName(name: string): boolean {
  return /^[^\s/:%]{1,15}$/.test(name) && new TextEncoder().encode(name).length <= 15 && name !== "." && name !== "..";
}

const IPC_SYSCTLS = new Set(
  ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"].map(
    (name) => `kernel.${name}`,
  ),
);

/** config-linux.md#sysctl: only what belongs to a namespace that is not the runtime's (namespaces(7)). */
function checkSysctls(spec: Spec): void {
  for (const name of Object.keys(spec.linux?.sysctl ?? {})) {
    const dotted = name.includes("/") ? name.replaceAll("/", ".") : name;
    const type = namespaceOfSysctl(dotted);
    if (type === undefined) refuse("linux.sysctl", `${name} is not in a namespace: it would be changed on the host`);
    if (namespaceOf(spec, type) === undefined)
      refuse("linux.sysctl", `${name} needs a ${type} namespace of the container's own`);
  }
}

function namespaceOfSysctl(name: string): NamespaceType | undefined {
  if (name.startsWith("net.")) return "network";
  if (IPC_SYSCTLS.has(name) || name.startsWith("fs.mqueue.")) return "ipc";
  if (name === "kernel.domainname" || name === "kernel.hostname") return "uts";
  return undefined;
}

function checkDevices({ linux }: Spec): void {
  for (const [index, { type, major, minor }] of (linux?.devices ?? []).entries()) {
    if (type !== "p" && (major === undefined || minor === undefined))
      refuse(`linux.devices[${index}]`, "major and minor are missing");
  }
}

function checkSeccomp({ linux }: Spec): void {
  const {
    listenerPath = "",
    listenerMetadata = "",
    syscalls = [],
    defaultAction,
    defaultErrnoRet,
  } = linux?.seccomp ?? {};
  if (listenerMetadata !== "" && listenerPath === "")
    refuse("linux.seccomp.listenerMetadata", "must not be there without listenerPath");
  checkErrno("linux.seccomp.defaultErrnoRet", defaultAction, defaultErrnoRet);
  for (const [index, { names, action, errnoRet }] of syscalls.entries()) {
    if (names.length === 0) refuse(`linux.seccomp.syscalls[${index}].names`, "must not be empty");
    checkErrno(`linux.seccomp.syscalls[${index}].errnoRet`, action, errnoRet);
  }
}

function checkErrno(field: string, action: SeccompAction | undefined, errno: number | undefined): void {
  if (errno === undefined || action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE") return;
  refuse(field, `${action} answers with no errno`);
}

/** config.md#annotations: a key must not be empty. */
function checkAnnotations({ annotations = {} }: Spec): void {
  if (Object.hasOwn(annotations, "")) refuse("annotations", "a key must not be empty");
}

async function checkMachine({ linux }: Spec): Promise<void> {
  // Init enters it at its execve: an older kernel would leave it in the host's time.
  if (linux?.namespaces?.some(({ type, path }) => type === "time" && path === undefined) === true && !isKernel(6, 3))
    throw new CtrError("unsupported", "linux.namespaces: a time namespace needs kernel 6.3");
  if (linux?.intelRdt !== undefined) {
    const { checkIntelRdt, resctrlRoot } = await import("../resctrl/resctrl.ts");
    checkIntelRdt(linux.intelRdt);
    resctrlRoot();
  }
  if (linux?.memoryPolicy !== undefined) {
    const { policyOf } = await import("../security/memory-policy.ts");
    policyOf(linux.memoryPolicy);
  }
  const { flags = [] } = linux?.personality ?? {};
  if (flags.length > 0) throw new CtrError("unsupported", "linux.personality.flags: there are none that could be set");
}

function isKernel(major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = readText("/proc/sys/kernel/osrelease")
    .split(".")
    .map((part) => Number.parseInt(part, 10));
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

const CAPABILITY_SETS = ["bounding", "effective", "inheritable", "permitted", "ambient"] as const;

/**
 * config.md#linux-process: a capability that nobody knows, or that this machine cannot give, is passed over with a warning.
 * In a user namespace of its own the container has all that the kernel knows.
 */
function grantable(asked: Capabilities, isInUserNamespace: boolean, warn: (message: string) => void): Capabilities {
  const isGiven = (name: string) => CAPABILITIES.includes(name) && (isInUserNamespace || isBounding(name));
  const given = new Set([...new Set(CAPABILITY_SETS.flatMap((set) => asked[set] ?? []))].filter(isGiven));
  const refused = new Set<string>();
  const granted: { -readonly [Name in keyof Capabilities]: Capabilities[Name] } = {};
  for (const set of CAPABILITY_SETS) {
    const names = asked[set];
    if (names === undefined) continue;
    for (const name of names) if (!given.has(name)) refused.add(name);
    granted[set] = names.filter((name) => given.has(name));
  }
  for (const name of refused) {
    const why = CAPABILITIES.includes(name) ? "cannot be granted here" : "is not known";
    warn(`process.capabilities: ${name} ${why}: passed over`);
  }
  return granted;
}

const PR_CAPBSET_READ = 23;

/** prctl(2), PR_CAPBSET_READ: refused for a capability that this kernel has not. */
function isBounding(name: string): boolean {
  try {
    return prctl(PR_CAPBSET_READ, CAPABILITIES.indexOf(name)) === 1;
  } catch (error) {
    if (isErrno(error, EINVAL)) return false;
    throw error;
  }
}
