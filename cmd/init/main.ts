/**
 * `ctr init`: PID 1 of a container until it becomes the user's program. It executes a runtime-spec and knows nothing
 * else. A column of named steps; the step's name is the one that appears in the error.
 */
import { CtrError, EPERM, isErrno, SyscallError } from "../../internal/errors/error.ts";
import {
  type ContainerName,
  hasRuntimeHooks,
  INIT_LISTENER_FD,
  NO_PIVOT,
  OWN_NETWORK,
  SPEC_COMES,
} from "../../internal/ipc/init.ts";
import { configureInterfaces } from "../../internal/netlink/configure.ts";
import { bindConsole, makeDevices, openNullDevice, openTerminal } from "../../internal/rootfs/devices.ts";
import { withMountLabel } from "../../internal/rootfs/mount-label.ts";
import {
  isolateMounts,
  makeReadonly,
  makeRootReadonly,
  maskPaths,
  mountInRoot,
  mountRoot,
  PreparedMounts,
  setRootPropagation,
} from "../../internal/rootfs/mounts.ts";
import { openProcfs, writeOwnProcFile, writeSysctl } from "../../internal/rootfs/procfs.ts";
import { makeDirectoryInRoot, openInRoot } from "../../internal/rootfs/resolve.ts";
import { giveStreams } from "../../internal/rootfs/standard-streams.ts";
import { homeOf, resolveUser } from "../../internal/rootfs/users.ts";
import { DEFAULT_DEVICES, DEFAULT_SHM_SIZE, DEVICE_LINKS, defaultMounts } from "../../internal/security/paths.ts";
import {
  applyLabels,
  type Identity,
  processImage,
  programFailure,
  resourceLimits,
} from "../../internal/security/process-image.ts";
import { type SeccompFilter, seccompFilter } from "../../internal/security/seccomp.ts";
import type { Mount, NamespaceType, Spec } from "../../internal/spec/runtime.ts";
import { beginDetach, type Detaching } from "../../internal/sys/detach.ts";
import { AT_FDCWD, dup3, type Fd } from "../../internal/sys/fd.ts";
import { exists, fstat, readlinkat } from "../../internal/sys/file.ts";
import { MS_MOVE, mount, pivotRoot } from "../../internal/sys/mount.ts";
import {
  chdir,
  chroot,
  fchdir,
  PR_SET_DUMPABLE,
  prctl,
  prlimit,
  setdomainname,
  sethostname,
  umask,
} from "../../internal/sys/process.ts";
import { setWindowSize } from "../../internal/sys/pty.ts";
import { execProcess, type FilterAgent, type ProcessImage, SpawnError } from "../../internal/sys/spawn.ts";
import { expect, greet, hold, moveControl, tell } from "./control.ts";
import { findProgram } from "./program.ts";
import { reaperExecutable } from "./reaper.ts";
import type { TimeNamespace } from "./time-namespace.ts";

let step = "prepare";

const USUAL_MOUNTS = defaultMounts({
  shmSize: DEFAULT_SHM_SIZE,
  isPrivileged: false,
  isIpcShared: false,
  isNetworkShared: false,
});

/** Runs one step under its name. */
function run<T>(name: string, action: () => T): T {
  step = name;
  return action();
}

async function main(): Promise<void> {
  // Until execve no process of the container may look into this one (SECURITY-RULES, "The moment of entering").
  prctl(PR_SET_DUMPABLE, 0);
  umask(0);
  // While the supervisor is still finding out what is to run: what nearly every container needs.
  const prepared = new PreparedMounts();
  if (!process.argv.includes(SPEC_COMES)) for (const mount of USUAL_MOUNTS) prepared.prepare(mount);
  if (process.argv.includes(OWN_NETWORK)) run("network", () => configureInterfaces([]));
  run("greet", greet);
  const { spec, container } = run("create", () => expect("create"));
  run("oom score", () => setOomScore(spec));
  run("security labels", () => applyLabels(spec.process));
  run("bind sources", () => prepared.openSources(spec.mounts ?? []));
  run("mount namespace", () => isolateMounts(spec.linux?.rootfsPropagation));
  const mounts = withMountLabel(spec.mounts ?? [], spec.linux?.mountLabel);
  const rootMount = mounts[0]?.destination === "/" ? mounts[0] : undefined;
  using root = run("root file system", () => mountRoot(spec.root.path, rootMount));
  const hasOwnDev = mountAll(root.number, rootMount === undefined ? mounts : mounts.slice(1), prepared);
  const devices = [...DEFAULT_DEVICES, ...(spec.linux?.devices ?? [])];
  // A directory of somebody else's on /dev is as it is (runc's needsSetupDev): no node of ours appears in it.
  if (hasOwnDev) run("devices", () => makeDevices(root.number, devices, deviceLinks()));
  if (spec.secrets !== undefined) await run("secrets", () => giveSecrets(root.number, spec));
  using terminal = run("terminal", () => makeTerminal(root.number, spec));
  const user = run("user", () => userOf(root.number, spec));
  run("working directory", () => makeWorkingDirectory(root.number, spec.process.cwd));
  run("hostname", () => setNames(spec));
  if (spec.hooks !== undefined) await run("hooks", () => hooksBeforeRoot(spec, container));
  run("sysctl", () => setSysctls(root.number, spec));
  run("read-only paths", () => makeReadonly(root.number, spec.linux?.readonlyPaths ?? []));
  run("masked paths", () => mask(root.number, spec.linux?.maskedPaths ?? []));
  run("read-only mounts", () => prepared.close());
  if (spec.root.readonly === true) run("read-only root", () => makeRootReadonly(root.number));
  const filter = await run("seccomp", () => seccompFilter(spec));
  using agent = await run("seccomp", () => agentOf(filter, spec, container));
  using time = hasNew(spec, "time") ? await run("time namespace", () => openTime(spec)) : undefined;
  const oldRoot = process.argv.includes(NO_PIVOT)
    ? run("move root", () => moveRoot(root.number))
    : run("pivot_root", () => enterRoot(root.number));
  // Not before: pivot_root(2) takes no shared mount.
  run("propagation", () => setRootPropagation(root.number, spec.linux?.rootfsPropagation));
  const { interface: first, others = [] } = run("network", () => expect("network"));
  run("network", () => setUpNetwork(spec, first === undefined ? [] : [first, ...others]));
  const image = {
    ...(await run("process", () => imageOf(spec, user, filter))),
    ...(agent === undefined ? {} : { agent }),
  };
  if (spec.linux?.memoryPolicy !== undefined) await run("memory policy", () => setMemoryPolicy(spec));
  run("standard streams", () => giveStreams([0, 1, 2], user.uid));
  tell(terminal === undefined ? { type: "ready" } : { type: "ready", terminalFd: terminal.number });
  // While the supervisor is at work. Whatever is the container's runs after it.
  if (oldRoot !== undefined) run("pivot_root", () => oldRoot.end());
  const { type, preserved = 0 } = run("start", () => expect("start", "hold"));
  if (type === "hold") {
    // Told at once, as runc does it: who starts it is not always who can put it right.
    if (image.execFd === undefined && spec.process.args.length > 0)
      run("program", () => findProgram(image.candidates, spec.process.cwd));
    run("start", hold);
  }
  if (spec.hooks?.startContainer !== undefined) await run("hooks", () => ownHooks("startContainer", spec, container));
  if (preserved > 0) run("preserved descriptors", () => placePreserved(preserved, type === "hold"));
  if (time !== undefined) run("time namespace", () => time.enter());
  run("exec", () => execute({ ...image, firstClosedFd: FIRST_PRESERVED_FD + preserved }, spec));
}

/** While the host's files are still there: those of the runtime, which run outside, then our own. */
async function hooksBeforeRoot(spec: Spec, container: ContainerName | undefined): Promise<void> {
  if (hasRuntimeHooks(spec)) {
    tell({ type: "prepared" });
    expect("proceed");
  }
  await ownHooks("createContainer", spec, container);
}

/** Hooks that run in the container's namespaces; loaded when there are any. */
async function ownHooks(
  kind: "createContainer" | "startContainer",
  { ociVersion, annotations, hooks = {} }: Spec,
  container: ContainerName = { id: "", bundle: "" },
): Promise<void> {
  const asked = hooks[kind] ?? [];
  if (asked.length === 0) return;
  const { runHooks } = await import("../../internal/hooks/run-hooks.ts");
  await runHooks(kind, asked, {
    ociVersion,
    ...container,
    status: kind === "createContainer" ? "creating" : "created",
    pid: process.pid,
    ...(annotations === undefined ? {} : { annotations }),
  });
}

function execute(image: ProcessImage, spec: Spec): never {
  try {
    return execProcess(image);
  } catch (error) {
    if (error instanceof SpawnError && error.step === "rlimits") explainLimits(spec);
    throw error;
  }
}

const FIRST_PRESERVED_FD = 3;

/** The program has them from 3 on; init got them after its own. */
function placePreserved(count: number, hasListener: boolean): void {
  const from = hasListener ? INIT_LISTENER_FD + 1 : INIT_LISTENER_FD;
  moveControl(from + count);
  for (let at = 0; at < count; at++) dup3(from + at, FIRST_PRESERVED_FD + at);
}

/** The links of /dev; a kernel without kcore has none to it, as with runc. */
function deviceLinks(): typeof DEVICE_LINKS {
  return exists(AT_FDCWD, KCORE) ? DEVICE_LINKS : DEVICE_LINKS.filter(([, target]) => target !== KCORE);
}

const KCORE = "/proc/kcore";

/** Makes the mounts. False if one covers /dev that is not the container's own, by whatever name it came there. */
function mountAll(root: number, mounts: readonly Mount[], prepared: PreparedMounts): boolean {
  let own: string | undefined;
  for (const mount of mounts) {
    mountOne(root, mount, prepared);
    if (isDev(mount)) own = isBind(mount) ? "" : run("devices", () => fileSystemOfDev(root));
  }
  return own === undefined || (own !== "" && own === fileSystemOfDev(root));
}

function isDev({ destination }: Mount): boolean {
  return destination.replace(/\/+$/, "") === "/dev";
}

function isBind({ type, options = [] }: Mount): boolean {
  return type === "bind" || options.includes("bind") || options.includes("rbind");
}

function fileSystemOfDev(root: number): string {
  using dev = openInRoot(root, "/dev");
  const { devMajor, devMinor, ino } = fstat(dev.number);
  return `${devMajor}:${devMinor} ${ino}`;
}

function mountOne(root: number, mount: Mount, prepared: PreparedMounts): void {
  run(`mount ${mount.destination}`, () => mountInRoot(root, mount, prepared));
}

function hasNew(spec: Spec, type: NamespaceType): boolean {
  return spec.linux?.namespaces?.some((namespace) => namespace.type === type && namespace.path === undefined) ?? false;
}

function has(spec: Spec, type: NamespaceType): boolean {
  return spec.linux?.namespaces?.some((namespace) => namespace.type === type) ?? false;
}

function setOomScore(spec: Spec): void {
  const score = spec.process.oomScoreAdj;
  if (score !== undefined) writeOwnProcFile("oom_score_adj", `${score}`);
}

/** Which of the limits it was that the kernel refused, in words. */
function explainLimits({ process: program }: Spec): void {
  for (const asked of program.rlimits ?? []) {
    const { type, soft, hard } = asked;
    try {
      for (const limit of resourceLimits({ ...program, rlimits: [asked] })) prlimit(0, limit.resource, limit);
    } catch (error) {
      if (!isErrno(error, EPERM)) throw error;
      const most = type === "RLIMIT_NOFILE" ? " and /proc/sys/fs/nr_open" : "";
      const message = `ulimit ${type.replace("RLIMIT_", "").toLowerCase()}=${soft}:${hard} is above what this machine lets be set (CAP_SYS_RESOURCE${most})`;
      throw new CtrError("denied", message, { cause: error });
    }
  }
}

/** The container's terminal becomes 0, 1 and 2; its master stays open until the supervisor has a copy. */
function makeTerminal(root: number, spec: Spec): Fd | undefined {
  if (spec.process.terminal !== true) return undefined;
  const { master, slave } = openTerminal(root);
  bindConsole(root, slave.number);
  const size = spec.process.consoleSize;
  if (size !== undefined) setWindowSize(master.number, size.height, size.width);
  for (const target of [0, 1, 2]) dup3(slave.number, target);
  slave.close();
  return master;
}

function userOf(root: number, spec: Spec): Identity {
  const { env = [], user } = spec.process;
  const { uid, gid, additionalGids = [], username } = user;
  if (username === undefined) {
    // The spec's numbers are final; passwd is asked only for HOME, as runc does.
    const hasHome = env.some((variable) => variable.startsWith("HOME="));
    return { uid, gid, groups: additionalGids, home: hasHome ? "" : homeOf(root, user) };
  }
  const groupAdd = spec.annotations?.["ctr.group-add"];
  return resolveUser(root, username, groupAdd === undefined || groupAdd === "" ? [] : groupAdd.split(","));
}

/** Loaded for a container that has some. */
async function giveSecrets(root: number, { secrets = [], linux }: Spec): Promise<void> {
  const { mountSecrets } = await import("../../internal/rootfs/secrets.ts");
  mountSecrets(root, secrets, linux?.mountLabel);
}

function makeWorkingDirectory(root: number, cwd: string): void {
  try {
    makeDirectoryInRoot(root, cwd).close();
  } catch (error) {
    throw error instanceof SyscallError ? new SyscallError(error.syscall, error.errno, cwd) : error;
  }
}

function setNames(spec: Spec): void {
  // One that is joined may be another container's: what is set is asked for all the same.
  if (!has(spec, "uts")) return;
  if (spec.hostname !== undefined) sethostname(spec.hostname);
  if (spec.domainname !== undefined) setdomainname(spec.domainname);
}

function setSysctls(root: number, spec: Spec): void {
  const wanted = Object.entries(spec.linux?.sysctl ?? {});
  if (wanted.length === 0) return;
  using proc = openProcfs(root);
  for (const [name, value] of wanted) {
    if (!/^[a-z0-9_.\-/]+$/i.test(name) || name.includes(".."))
      throw new CtrError("invalid", `sysctl ${name}: not a sysctl's name`);
    // sysctl.d(5): with a slash anywhere, dots belong to the name; otherwise they separate.
    writeSysctl(proc.number, name.includes("/") ? name : name.replaceAll(".", "/"), value);
  }
}

function mask(root: number, paths: readonly string[]): void {
  if (paths.length === 0) return;
  using nullDevice = openNullDevice(root);
  maskPaths(root, paths, nullDevice.number);
}

/** Its name takes the place of the old root's, and the rest is out of reach as far as chroot(2) goes. */
function moveRoot(root: number): undefined {
  fchdir(root);
  mount(".", "/", "", MS_MOVE);
  chroot(".");
  chdir("/");
}

/**
 * pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one and is detached from there. That goes on
 * when this returns.
 */
function enterRoot(root: number): Detaching {
  fchdir(root);
  pivotRoot(".", ".");
  const oldRoot = beginDetach();
  chdir("/");
  return oldRoot;
}

function setUpNetwork(spec: Spec, interfaces: Parameters<typeof configureInterfaces>[0]): void {
  // Loopback is up already in a namespace of our own.
  if (hasNew(spec, "network") && interfaces.length > 0) configureInterfaces(interfaces);
}

/** A new time namespace is the last thing that is entered: a process that waits for its own starts no threads. */
async function openTime({ linux }: Spec): Promise<TimeNamespace> {
  const { openTimeNamespace } = await import("./time-namespace.ts");
  return openTimeNamespace(linux?.timeOffsets ?? {});
}

async function setMemoryPolicy({ linux }: Spec): Promise<void> {
  if (linux?.memoryPolicy === undefined) return;
  const { applyMemoryPolicy } = await import("../../internal/security/memory-policy.ts");
  applyMemoryPolicy(linux.memoryPolicy);
}

/** What few programs ask for. */
async function rareOf({ process: program, linux }: Spec): Promise<Partial<ProcessImage>> {
  if (program.scheduler === undefined && program.ioPriority === undefined && linux?.personality === undefined)
    return {};
  const { rareSettings } = await import("../../internal/security/scheduling.ts");
  // config.md#linux-process: CPU affinity is only for further programs.
  const { execCPUAffinity: _, ...own } = program;
  return rareSettings(own, linux?.personality);
}

/** The agent of a filter that has one: its socket is the host's. */
async function agentOf(
  filter: SeccompFilter | undefined,
  { ociVersion, annotations }: Spec,
  container: ContainerName = { id: "", bundle: "" },
): Promise<(FilterAgent & Disposable) | undefined> {
  if (filter?.listener === undefined) return undefined;
  const { reachAgent } = await import("../../internal/security/seccomp-agent.ts");
  const shown = annotations === undefined ? {} : { annotations };
  return reachAgent(filter.listener, { ociVersion, ...container, status: "creating", pid: hostPid(), ...shown });
}

/** Our pid as the host has it, while /proc is the host's. */
function hostPid(): number {
  return Number(new TextDecoder().decode(readlinkat(AT_FDCWD, "/proc/self")));
}

async function imageOf(spec: Spec, user: Identity, filter: SeccompFilter | undefined): Promise<ProcessImage> {
  const image = { ...processImage(spec.process, user, filter), ...(await rareOf(spec)) };
  if (spec.annotations?.["ctr.init"] !== "true") return image;
  const program = findProgram(image.candidates, spec.process.cwd);
  return { ...image, args: ["ctr-init", program, ...spec.process.args], execFd: reaperExecutable() };
}

/** What goes back to the supervisor; 126 and 127 only for the program itself (docker-run(1), "Exit Status"). */
function tellFailure(error: unknown): void {
  const isExec = step === "exec" && error instanceof SpawnError && error.step === "exec";
  if (isExec) {
    tell({ type: "failed", step, ...programFailure(error.path ?? "", error.errno), errno: error.errno });
    return;
  }
  const status = error instanceof CtrError ? error.exitStatus : undefined;
  tell({
    type: "failed",
    step,
    message: error instanceof Error ? error.message : String(error),
    ...(error instanceof SyscallError ? { errno: error.errno } : {}),
    ...(status === 126 || status === 127 ? { exitStatus: status } : {}),
  });
}

try {
  await main();
} catch (error) {
  try {
    tellFailure(error);
  } finally {
    process.exit(1);
  }
}
