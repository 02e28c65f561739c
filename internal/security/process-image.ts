/**
 * A process of the runtime-spec, with its user resolved, as the C side executes it: the last step of init and the whole
 * of exec.
 */
import { CtrError, ENOENT, ENOTDIR, errnoText } from "../errors/error.ts";
import type { Process } from "../spec/runtime.ts";
import { RLIM_INFINITY, RLIMITS } from "../sys/process.ts";
import { type ProcessImage, type ResourceLimit, SpawnError, setExecLabel } from "../sys/spawn.ts";
import { capabilityMask } from "./capabilities.ts";
import type { SeccompFilter } from "./seccomp.ts";

/** Who the process runs as, as numbers. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly home: string;
}

/** The image to execute; HOME is added last when the environment has none. */
export function processImage(spec: Process, user: Identity, seccomp: SeccompFilter | undefined): ProcessImage {
  const env = [...(spec.env ?? [])];
  if (!env.some((variable) => variable.startsWith("HOME="))) env.push(`HOME=${user.home}`);
  const { capabilities = {} } = spec;
  const ambient = capabilityMask(capabilities.ambient ?? []);
  // Another user than root loses what is not ambient at execve anyway (capabilities(7)): not having it before is safer.
  const isRoot = user.uid === 0;
  return {
    uid: user.uid,
    gid: user.gid,
    groups: user.groups,
    bounding: capabilityMask(capabilities.bounding ?? []),
    effective: isRoot ? capabilityMask(capabilities.effective ?? []) : ambient,
    permitted: isRoot ? capabilityMask(capabilities.permitted ?? []) : ambient,
    inheritable: capabilityMask(capabilities.inheritable ?? []) | ambient,
    ambient,
    noNewPrivileges: spec.noNewPrivileges ?? false,
    ...(seccomp === undefined ? {} : { seccomp: seccomp.program, seccompFlags: seccomp.flags }),
    cwd: spec.cwd,
    candidates: programCandidates(spec.args[0] ?? "", env),
    args: spec.args,
    env,
    umask: spec.user.umask ?? 0o022,
    controllingTerminal: spec.terminal ?? false,
    ...labelOf(spec),
    ...(spec.rlimits === undefined ? {} : { rlimits: resourceLimits(spec) }),
  };
}

/** The limits as the kernel takes them. Throws `invalid` for one that nobody knows. */
export function resourceLimits({ rlimits = [] }: Process): readonly ResourceLimit[] {
  return rlimits.map(({ type, soft, hard }) => {
    const resource = RLIMITS.indexOf(type.replace(/^RLIMIT_/, ""));
    if (resource < 0) throw new CtrError("invalid", `unknown resource limit ${type}`);
    return { resource, soft: limit(soft), hard: limit(hard) };
  });
}

function limit(value: number): bigint {
  return value < 0 || value >= 2 ** 64 ? RLIM_INFINITY : BigInt(value);
}

function labelOf({ apparmorProfile = "", selinuxLabel = "" }: Process): Pick<ProcessImage, "label"> {
  if (apparmorProfile === "" && selinuxLabel === "") return {};
  const apparmor = apparmorProfile === "" ? {} : { apparmor: apparmorProfile };
  return { label: { ...apparmor, ...(selinuxLabel === "" ? {} : { selinux: selinuxLabel }) } };
}

/** Has the next execve of this thread take the labels of the process. To be called while /proc is the host's. */
export function applyLabels(process: Process): void {
  const { label } = labelOf(process);
  if (label === undefined) return;
  try {
    setExecLabel(label);
  } catch (error) {
    throw (error instanceof SpawnError ? labelFailure(error, process) : undefined) ?? error;
  }
}

/** What a refused label means to the user; undefined for another failure. */
export function labelFailure(error: SpawnError, { apparmorProfile, selinuxLabel }: Process): CtrError | undefined {
  const options = { cause: error };
  if (error.step === "apparmor") {
    const why = error.errno === ENOENT ? "it is not loaded" : errnoText(error.errno);
    return new CtrError("invalid", `unable to apply apparmor profile ${apparmorProfile}: ${why}`, options);
  }
  if (error.step === "selinux")
    return new CtrError("invalid", `unable to apply label ${selinuxLabel}: ${errnoText(error.errno)}`, options);
  return undefined;
}

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The names to try in turn: the name itself when it has a slash, otherwise one per directory of PATH. */
export function programCandidates(name: string, env: readonly string[]): string[] {
  if (name.includes("/")) return [name];
  if (name === "") return [];
  const path = env.findLast((variable) => variable.startsWith("PATH="))?.slice(5) ?? DEFAULT_PATH;
  return path.split(":").map((directory) => `${directory === "" ? "." : directory}/${name}`);
}

/** What execve's refusal means to the user: Docker's words and status (126 or 127). */
export function programFailure(name: string, errno: number): { readonly message: string; readonly exitStatus: number } {
  const quoted = JSON.stringify(name);
  if (errno === ENOENT && !name.includes("/"))
    return { message: `exec: ${quoted}: executable file not found in $PATH`, exitStatus: 127 };
  if (errno === ENOENT || errno === ENOTDIR)
    return { message: `exec: ${quoted}: no such file or directory`, exitStatus: 127 };
  return { message: `exec: ${quoted}: ${errnoText(errno)}`, exitStatus: 126 };
}
