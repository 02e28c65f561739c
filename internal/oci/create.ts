/** From a bundle to a container that waits for its start, or to one that runs at once. */
import { bornCgroup } from "../cgroups/cgroup.ts";
import { parseSystemdPath, scopePath } from "../cgroups/systemd/place.ts";
import { CtrError } from "../errors/error.ts";
import { hasRuntimeHooks } from "../ipc/init.ts";
import { type Launch, launch, launchBorn } from "../runtime/launch.ts";
import { adoptInit, type StandardFds, type WaitingInit } from "../runtime/waiting-init.ts";
import { stringifyJson } from "../spec/json.ts";
import type { Spec } from "../spec/runtime.ts";
import type { Fd } from "../sys/fd.ts";
import { replaceFile } from "../sys/file.ts";
import { processStartTime, waitChild } from "../sys/process.ts";
import { getWindowSize } from "../sys/terminal.ts";
import type { Begun, EarlyInit } from "./begin.ts";
import { bundleSpec } from "./bundle.ts";
import { checkConfig } from "./check-config.ts";
import { noProcess } from "./config-file.ts";
import { type ContainerDirectory, checkId, inCgroup, makeContainer, type OciContainer } from "./container.ts";
import { removeContainer } from "./delete.ts";
import { hookState, poststartHooks, poststopHooks } from "./hooks.ts";
import type { GivenDevices } from "./net-devices.ts";
import { listenAt } from "./start-socket.ts";

/** How a container is to be made. */
export interface CreateOptions {
  readonly root: string;
  readonly id: string;
  /** An absolute path. */
  readonly bundle: string;
  readonly usesSystemd: boolean;
  /** The root is changed by moving the mount and chroot(2), for a machine whose own root is an initramfs. */
  readonly noPivot: boolean;
  readonly consoleSocket?: string;
  readonly pidFile?: string;
  /** A socket that is sent a pidfd of the container's first process. */
  readonly pidfdSocket?: string;
  /** The socket of a service manager that waits for the program's word. */
  readonly notifySocket?: string;
  /** Descriptors for the program, from its 3 on. */
  readonly preserved: readonly number[];
  /** Further variables of the program's. */
  readonly env: readonly string[];
  /** Told what goes wrong without stopping anything. */
  readonly warn: (message: string) => void;
  /** The caller's. */
  readonly stdio: StandardFds;
}

/** A program that is our child. */
export interface RunningProgram {
  readonly pid: number;
  readonly pidfd: Fd;
  /** Its terminal, if it has one and no console socket took it. */
  readonly terminal?: Fd;
  /** Where it says that it is ready. */
  readonly notifyListener?: Fd;
}

/** A container that was made, up to its start. */
interface Made extends Disposable {
  readonly container: OciContainer;
  readonly spec: Spec;
  readonly launch: Launch;
  readonly directory: ContainerDirectory;
  readonly terminal?: Fd;
  /** Brought back when this is disposed, unless they are kept. */
  readonly devices?: GivenDevices;
}

/** `create`, of what was begun: init holds, and belongs to whoever inherits our children. */
export async function createContainer(options: CreateOptions, begun: Begun): Promise<void> {
  const spec = await checked(begun, options, (spec) => {
    if (spec.process.terminal === true && options.consoleSocket === undefined)
      throw new CtrError("invalid", "cannot allocate tty if runc will detach without setting console socket");
  });
  using made = await make(options, begun, spec, true);
  try {
    // First, so that whoever finds init holding finds it here: should we die in between, init hears that and ends.
    await finish(made, options);
    await made.launch.hold();
    made.devices?.keep();
  } catch (error) {
    throw await undone(made, error, options);
  }
}

/** `run`, of what was begun, up to the moment its program runs; init is our child. */
export async function runContainer(options: CreateOptions, begun: Begun, isDetached: boolean): Promise<RunningProgram> {
  const spec = await checked(begun, options, (spec) => {
    if (spec.process.args.length === 0) throw noProcess();
    checkConsole(spec, options, isDetached);
  });
  const made = await make(options, begun, ofCallersSize(spec, options), false);
  try {
    await finish(made, options);
    const notifyListener = await notifyListenerOf(made.directory, options);
    await made.launch.start();
    made.devices?.keep();
    await poststartHooks(spec.hooks, made.container, made.launch.pid);
    // From here on anybody may do something to it.
    made.directory[Symbol.dispose]();
    const { pid, pidfd } = made.launch;
    return {
      pid,
      pidfd,
      ...(made.terminal === undefined ? {} : { terminal: made.terminal }),
      ...(notifyListener === undefined ? {} : { notifyListener }),
    };
  } catch (error) {
    const failure = await undone(made, error, options);
    made[Symbol.dispose]();
    throw failure;
  }
}

/** The configuration, if it is one that can be carried out; else what was begun is taken back. */
async function checked(begun: Begun, options: CreateOptions, check: (spec: Spec) => void): Promise<Spec> {
  try {
    const { id, bundle, warn } = options;
    const spec = await checkConfig(bundleSpec(begun.config, bundle, id, options), warn);
    check(spec);
    const { process: program } = spec;
    return { ...spec, process: { ...program, env: [...(program.env ?? []), ...options.env] } };
  } catch (error) {
    if (begun.early !== undefined) {
      using directory = begun.early.directory;
      adopted(begun.early).abandon();
      directory.remove();
    }
    throw error;
  }
}

function adopted({ pidfd, control, places, container }: EarlyInit): WaitingInit {
  return adoptInit(pidfd, bornCgroup(container.cgroup, places), control);
}

/** Our terminal's size is the program's from its first instruction on, where it says nothing else. */
function ofCallersSize(spec: Spec, { stdio: [stdin], consoleSocket }: CreateOptions): Spec {
  const { process: program } = spec;
  if (program.terminal !== true || program.consoleSize !== undefined || consoleSocket !== undefined) return spec;
  const size = getWindowSize(stdin);
  if (size === undefined) return spec;
  return { ...spec, process: { ...program, consoleSize: { height: size.rows, width: size.columns } } };
}

/** runc's two refusals, in its words. */
function checkConsole({ process }: Spec, { consoleSocket }: CreateOptions, isDetached: boolean): void {
  const hasTerminal = process.terminal === true;
  if (isDetached && hasTerminal && consoleSocket === undefined) {
    throw new CtrError("invalid", "cannot allocate tty if runc will detach without setting console socket");
  }
  if ((!isDetached || !hasTerminal) && consoleSocket !== undefined) {
    throw new CtrError("invalid", "cannot use console socket if runc will not detach or allocate tty");
  }
}

async function notifyListenerOf(directory: ContainerDirectory, { notifySocket }: CreateOptions) {
  if (notifySocket === undefined) return undefined;
  const { bindNotifySocket } = await import("./notify-socket.ts");
  return bindNotifySocket(directory);
}

/** The spec with what the container's directory has for it. */
async function withOwnPlaces(
  asked: Spec,
  directory: ContainerDirectory,
  { notifySocket }: CreateOptions,
): Promise<Spec> {
  if (notifySocket === undefined) return asked;
  const { withNotifySocket } = await import("./notify-socket.ts");
  return withNotifySocket(asked, directory);
}

async function make(options: CreateOptions, { early }: Begun, asked: Spec, mayHold: boolean): Promise<Made> {
  const { id, root, bundle } = options;
  using undo = new DisposableStack();
  const rdt = asked.linux?.intelRdt;
  const resctrl = rdt === undefined ? undefined : await import("../resctrl/resctrl.ts");
  const place = rdt === undefined ? undefined : resctrl?.planPlace(resctrl.resctrlRoot(), checkId(id), rdt);
  const directory = undo.use(early?.directory ?? makeContainer(root, id));
  const container: OciContainer = {
    id,
    ociVersion: asked.ociVersion,
    bundle,
    rootfs: asked.root.path,
    created: early?.container.created ?? new Date().toISOString(),
    annotations: asked.annotations ?? {},
    uid: process.geteuid?.() ?? 0,
    cgroup: cgroupOf(asked),
    creator: { pid: process.pid, startTime: processStartTime(process.pid) ?? 0 },
    ...(place === undefined ? {} : { resctrl: place }),
  };
  if (early === undefined) directory.write(container);
  try {
    const spec = await withOwnPlaces(asked, directory, options);
    if (place !== undefined && rdt !== undefined) resctrl?.makePlace(place, rdt);
    using listener = mayHold && early === undefined ? listenAt(directory.startSocket) : undefined;
    const extras = {
      container: { id, bundle },
      isBlocking: true,
      isSpecKnown: true,
      noPivot: options.noPivot,
      preserved: options.preserved,
      ...(listener === undefined ? {} : { listener: listener.number }),
    };
    const starting =
      early === undefined ? launch(spec, options.stdio, extras) : launchBorn(adopted(early), spec, extras);
    const launched = undo.use(await starting);
    try {
      // While init is at work.
      directory.writeConfig(stringifyJson(spec));
      const { pid, startTime } = launched;
      const whole = { ...container, ...inCgroup(launched.cgroup), init: { pid, startTime } };
      // Until its hooks have run it is being created, for whoever asks.
      if (spec.hooks === undefined) directory.write(whole);
      if (place !== undefined) resctrl?.enterPlace(place, launched.pid);
      const devices = await devicesOf(spec, launched.pid);
      if (devices !== undefined) undo.use(devices);
      await runtimeHooks(spec, launched, container);
      launched.provideNetwork();
      early?.executable.close();
      const { terminal } = await launched.ready();
      if (terminal !== undefined) undo.use(terminal);
      if (terminal !== undefined && options.consoleSocket !== undefined) {
        const { sendConsole } = await import("./console-socket.ts");
        sendConsole(options.consoleSocket, terminal.number);
        terminal.close();
      }
      const owned = undo.move();
      return {
        container: whole,
        spec,
        launch: launched,
        directory,
        ...(devices === undefined ? {} : { devices }),
        ...(terminal === undefined || options.consoleSocket !== undefined ? {} : { terminal }),
        [Symbol.dispose]: () => owned.dispose(),
      };
    } catch (error) {
      launched.abort();
      waitChild(launched.pid, true);
      await poststopHooks(spec.hooks, container, options.warn);
      throw error;
    }
  } catch (error) {
    if (place !== undefined) resctrl?.leavePlace(place, true);
    directory.remove();
    throw error;
  }
}

async function devicesOf({ linux }: Spec, pid: number): Promise<GivenDevices | undefined> {
  if (linux?.netDevices === undefined || Object.keys(linux.netDevices).length === 0) return undefined;
  const { giveDevices } = await import("./net-devices.ts");
  return giveDevices(linux.netDevices, pid);
}

/** Between the mounts and the change of the root. */
async function runtimeHooks(spec: Spec, launched: Launch, container: OciContainer): Promise<void> {
  if (!hasRuntimeHooks(spec)) return;
  await launched.prepared();
  const { runHooks } = await import("../hooks/run-hooks.ts");
  const state = hookState(container, "creating", launched.pid);
  for (const kind of ["prestart", "createRuntime"] as const) await runHooks(kind, spec.hooks?.[kind] ?? [], state);
  launched.proceed();
}

/** What is known of the container is remembered before its caller hears of it. */
async function finish(made: Made, { pidFile, pidfdSocket }: CreateOptions): Promise<void> {
  if (made.spec.hooks !== undefined) made.directory.write(made.container);
  if (pidFile !== undefined) replaceFile(pidFile, `${made.launch.pid}`, 0o644);
  if (pidfdSocket === undefined) return;
  const { sendPidfd } = await import("./console-socket.ts");
  sendPidfd(pidfdSocket, made.launch.pidfd.number);
}

/** Takes everything back; the error that is to be told is the first one. */
async function undone(
  { container, directory, launch: launched, spec }: Made,
  error: unknown,
  { warn }: CreateOptions,
): Promise<unknown> {
  launched.abort();
  waitChild(launched.pid, true);
  try {
    await removeContainer(directory, container, true);
    await poststopHooks(spec.hooks, container, warn);
    return error;
  } catch (second) {
    return new SuppressedError(second, error, "undo");
  }
}

/** Its path from the root of each hierarchy. */
function cgroupOf({ linux }: Spec): string {
  const path = linux?.cgroupsPath ?? "";
  const scope = parseSystemdPath(path);
  return scope === undefined ? path : scopePath(scope);
}
