/** `exec`: a further program in a container. */
import { entranceOf, existingPlaces, type Place, placesBelow } from "../cgroups/birth.ts";
import { CtrError, ENOENT, isErrno, withContext } from "../errors/error.ts";
import { homeOf as passwdHome } from "../rootfs/users.ts";
import { containerRoot, type Enterable, join } from "../runtime/join.ts";
import type { StandardFds } from "../runtime/waiting-init.ts";
import type { SeccompListener } from "../security/seccomp.ts";
import type { Capabilities, Process, Spec } from "../spec/runtime.ts";
import { readText, replaceFile, writeInto } from "../sys/file.ts";
import { spawnApart } from "../sys/joiner.ts";
import { CLONE_NEWTIME, type Spawned } from "../sys/spawn.ts";
import { checkProcess } from "./check-config.ts";
import { known, type OciContainer, openContainer } from "./container.ts";
import type { RunningProgram } from "./create.ts";
import { openInit } from "./init-process.ts";
import { seccompOf } from "./seccomp.ts";

/** What changes in the container's own process, where the caller brings no process of its own. */
export interface ProcessChanges {
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env: readonly string[];
  readonly terminal: boolean;
  readonly uid?: number;
  readonly gid?: number;
  readonly additionalGids: readonly number[];
  readonly capabilities: readonly string[];
  readonly noNewPrivileges?: boolean;
  readonly apparmorProfile?: string;
  readonly selinuxLabel?: string;
}

export interface ExecOptions {
  readonly root: string;
  readonly id: string;
  /** A file with a process of the runtime-spec, or the changes. */
  readonly process: string | ProcessChanges;
  /** Asks for a terminal whatever the file says. */
  readonly wantsTerminal: boolean;
  readonly isDetached: boolean;
  readonly ignoresPause: boolean;
  readonly consoleSocket?: string;
  readonly pidFile?: string;
  readonly preserved: readonly number[];
  readonly env: readonly string[];
  readonly stdio: StandardFds;
  /** `[controller,…:]path` below the container's cgroup. */
  readonly cgroups: readonly string[];
  readonly warn: (message: string) => void;
}

/** Starts the program. Throws with exit status 126 or 127 when it cannot be run. */
export async function execInContainer(options: ExecOptions): Promise<RunningProgram> {
  using directory = openContainer(options.root, options.id);
  const container = known(directory);
  const status = directory.status(container);
  using init = openInit(container);
  if (init === undefined || status === "stopped" || container.init === undefined)
    throw new CtrError("conflict", "cannot exec in a stopped container");
  if (status === "paused" && !options.ignoresPause)
    throw new CtrError("conflict", "cannot exec in a paused container (use --ignore-paused to override)");
  const spec = directory.readSpec();
  if (spec === undefined) throw new CtrError("internal", "its configuration is gone");
  const program = await checkProcess(await processOf(options, spec), isInUserNamespace(spec), options.warn);
  checkConsole(program, options);
  const cgroup =
    options.cgroups.length === 0 ? whole(container) : enterable(existingPlaces(container.cgroup), options.cgroups);
  const seccomp = await seccompOf({ ...spec, process: program }, directory);
  using root = containerRoot(container.init.pid);
  const { uid, gid, additionalGids = [] } = program.user;
  const user = { uid, gid, groups: additionalGids, home: homeOf(root.number, program) };
  using terminal =
    program.terminal === true
      ? (await import("./exec-terminal.ts")).openUserTerminal(root.number, program, options.stdio[0])
      : undefined;
  const fds: StandardFds =
    terminal === undefined ? options.stdio : [terminal.slave.number, terminal.slave.number, terminal.slave.number];
  // Inherited; ours does not matter any more.
  if (program.oomScoreAdj !== undefined) writeInto("/proc/self/oom_score_adj", `${program.oomScoreAdj}`);
  using agent = seccomp?.listener === undefined ? undefined : await agentOf(seccomp.listener, container);
  const rare = { ...(await rareOf(program, spec)), ...(agent === undefined ? {} : { agent }) };
  const ids = isInUserNamespace(spec) ? await idsOf(container.init.pid) : undefined;
  await inherited(container, spec);
  const spawned = started(() =>
    join(init.number, cgroup, program, user, seccomp, fds, options.preserved, spawnApart, rare, ids, timeOf(spec)),
  );
  if (options.pidFile !== undefined) replaceFile(options.pidFile, `${spawned.pid}`, 0o644);
  if (terminal === undefined) return spawned;
  if (options.consoleSocket === undefined) return { ...spawned, terminal: terminal.takeMaster() };
  const { sendConsole } = await import("./console-socket.ts");
  sendConsole(options.consoleSocket, terminal.master.number);
  return spawned;
}

/** Of the container's own passwd, unless the program is told anyway. */
function homeOf(root: number, { env = [], user }: Process): string {
  return env.some((variable) => variable.startsWith("HOME=")) ? "" : passwdHome(root, user);
}

/** What it has of us by being our child, and of the container: our own does not matter any more. */
async function inherited({ resctrl }: OciContainer, { linux }: Spec): Promise<void> {
  if (resctrl !== undefined) {
    const { enterPlace } = await import("../resctrl/resctrl.ts");
    enterPlace(resctrl, process.pid);
  }
  if (linux?.memoryPolicy !== undefined) {
    const { applyMemoryPolicy } = await import("../security/memory-policy.ts");
    applyMemoryPolicy(linux.memoryPolicy);
  }
}

/** Only a process without threads may join a time namespace: what starts the program is one (time_namespaces(7)). */
function timeOf({ linux }: Spec): number {
  return linux?.namespaces?.some(({ type }) => type === "time") === true ? CLONE_NEWTIME : 0;
}

async function idsOf(pid: number) {
  const { idsOfProcess } = await import("../runtime/outside.ts");
  return idsOfProcess(`/proc/${pid}`);
}

function isInUserNamespace({ linux }: Spec): boolean {
  return linux?.namespaces?.some(({ type }) => type === "user") ?? false;
}

/** The agent of a filter that has one; the pid is the container's, whose filter it is. */
async function agentOf(listener: SeccompListener, container: OciContainer) {
  const { reachAgent } = await import("../security/seccomp-agent.ts");
  const { ociVersion, id, bundle, annotations, init } = container;
  return reachAgent(listener, { ociVersion, id, bundle, status: "running", pid: init?.pid ?? 0, annotations });
}

/** What few programs ask for; the container's personality is theirs too. */
async function rareOf(program: Process, { linux }: Spec) {
  const { scheduler, ioPriority, execCPUAffinity } = program;
  const isUsual = scheduler === undefined && ioPriority === undefined && execCPUAffinity === undefined;
  if (isUsual && linux?.personality === undefined) return {};
  const { rareSettings } = await import("../security/scheduling.ts");
  return rareSettings(program, linux?.personality);
}

function started(start: () => Spawned): Spawned {
  try {
    return start();
  } catch (error) {
    throw withContext("unable to start container process", error);
  }
}

async function processOf(options: ExecOptions, spec: Spec): Promise<Process> {
  const { process: asked } = options;
  const program = typeof asked === "string" ? await readProcess(asked) : changed(spec.process, asked);
  const env = [...(program.env ?? []), ...options.env];
  return { ...program, env, terminal: program.terminal === true || options.wantsTerminal };
}

async function readProcess(path: string): Promise<Process> {
  let value: unknown;
  try {
    value = JSON.parse(readText(path, 16 << 20));
  } catch (error) {
    throw withContext(path, error);
  }
  const { parseProcess } = await import("../spec/parse-spec.ts");
  return parseProcess(value);
}

function changed(own: Process, changes: ProcessChanges): Process {
  const { args, env, terminal, cwd, noNewPrivileges, apparmorProfile, selinuxLabel } = changes;
  const { uid = own.user.uid, gid = own.user.gid } = changes;
  const groups = [...(own.user.additionalGids ?? []), ...changes.additionalGids];
  return {
    ...own,
    args,
    env: [...(own.env ?? []), ...env],
    terminal,
    user: { ...own.user, uid, gid, additionalGids: groups },
    capabilities: having(own.capabilities ?? {}, changes.capabilities),
    ...(cwd === undefined ? {} : { cwd }),
    ...(noNewPrivileges === undefined ? {} : { noNewPrivileges }),
    ...(apparmorProfile === undefined ? {} : { apparmorProfile }),
    ...(selinuxLabel === undefined ? {} : { selinuxLabel }),
  };
}

function having(sets: Capabilities, added: readonly string[]): Capabilities {
  if (added.length === 0) return sets;
  const { bounding = [], effective = [], permitted = [], inheritable = [], ambient = [] } = sets;
  return {
    bounding: [...bounding, ...added],
    effective: [...effective, ...added],
    permitted: [...permitted, ...added],
    inheritable,
    ambient: [...ambient, ...added],
  };
}

/** runc's two refusals, in its words. */
function checkConsole({ terminal }: Process, { isDetached, consoleSocket }: ExecOptions): void {
  if (isDetached && terminal === true && consoleSocket === undefined)
    throw new CtrError("invalid", "cannot allocate tty if runc will detach without setting console socket");
  if ((!isDetached || terminal !== true) && consoleSocket !== undefined)
    throw new CtrError("invalid", "cannot use console socket if runc will not detach or allocate tty");
}

/** The place in the container's cgroup that the program is to be in. */
function enterable(places: readonly Place[], words: readonly string[]): Enterable {
  let below = places;
  const asked = new Set<string>();
  for (const word of words) {
    const [first = "", path, ...more] = word.split(":");
    if (more.length > 0) throw new CtrError("invalid", `invalid --cgroup argument: ${word}`);
    if (path === undefined) {
      if (words.length > 1)
        throw new CtrError("invalid", `invalid --cgroup argument: ${word} (missing <controller>: prefix)`);
      below = placesBelow(places, first);
      continue;
    }
    for (const controller of first.split(",")) {
      if (asked.has(controller))
        throw new CtrError(
          "invalid",
          `invalid --cgroup argument(s): controller ${controller} specified multiple times`,
        );
      asked.add(controller);
      below = placesBelow(below, path, controller);
    }
  }
  return { entrance: () => entranceOf(below) };
}

/** The container's own cgroup, by the directories that are remembered: to find them out takes a tenth of an exec. */
function whole({ cgroup, places }: OciContainer): Enterable {
  const remembered = places?.map(({ directory, version }) => ({ directory, hierarchy: { version } }));
  return {
    entrance() {
      try {
        if (remembered !== undefined) return entranceOf(remembered);
      } catch (error) {
        // One of them is gone.
        if (!isErrno(error, ENOENT)) throw error;
      }
      return entranceOf(existingPlaces(cgroup));
    },
  };
}
