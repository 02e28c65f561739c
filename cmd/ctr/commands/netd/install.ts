/** Installing netd as a service of systemd, and taking it away again. */
import { CtrError, ENOENT, isErrno, withContext } from "../../../../internal/errors/error.ts";
import { connectNetd } from "../../../../internal/ipc/netd-client.ts";
import { backEnd } from "../../../../internal/iptables/restore.ts";
import { LOG_LEVELS } from "../../../../internal/network/log.ts";
import { AT_FDCWD, POLLIN } from "../../../../internal/sys/fd.ts";
import { exists, mkdirAll, readlinkat, replaceFile, unlinkat } from "../../../../internal/sys/file.ts";
import { pidfdOpen, pidfdSendSignal } from "../../../../internal/sys/process.ts";
import { pollAny } from "../../../../internal/sys/watch.ts";
import type { Directories } from "../../command.ts";
import { printLine } from "../../output.ts";
import { RESTORE, renderUnits, SERVICE, SOCKET } from "./units.ts";

const SIGTERM = 15;
/** How long a netd finishes what it is at. */
const END_MS = 10_000;
const UNIT_DIRECTORY = "/etc/systemd/system";
/** There while systemd is PID 1: sd_booted(3). */
const SYSTEMD_RUNNING = "/run/systemd/system";

export interface InstallOptions {
  /** Only shows the units. */
  readonly print: boolean;
  /** Starts listening at once. */
  readonly now: boolean;
  /** Writes below this directory and asks nothing of systemd: for an image, or a test. */
  readonly destination: string | undefined;
  /** What netd logs. */
  readonly logLevel: string | undefined;
}

/** Writes the units and enables the socket. */
export async function install(directories: Directories, options: InstallOptions): Promise<void> {
  const { logLevel } = options;
  if (logLevel !== undefined && !LOG_LEVELS.some((level) => level === logLevel))
    throw new CtrError("invalid", `invalid log level ${JSON.stringify(logLevel)}: one of ${LOG_LEVELS.join(", ")}`);
  const isLegacy = /\(legacy\)/.test(await backEnd());
  const units = renderUnits({ executable: ownPath(), ...directories, logLevel, isLegacy });
  if (options.print) {
    for (const [name, content] of units) printLine(`# ${UNIT_DIRECTORY}/${name}\n${content}`);
    return;
  }
  if (options.destination === undefined) requireSystemd();
  const target = `${options.destination ?? ""}${UNIT_DIRECTORY}`;
  mkdirAll(target, 0o755);
  for (const [name, content] of units) {
    replaceFile(`${target}/${name}`, content, 0o644);
    printLine(`${target}/${name}`);
  }
  if (options.destination !== undefined) return;
  // The service may write there and nowhere else, so it cannot make it.
  mkdirAll(directories.root, 0o710);
  await systemctl("daemon-reload");
  await systemctl("enable", SOCKET, RESTORE);
  if (!options.now) return;
  await endUnsupervised(directories);
  await systemctl("start", SOCKET, RESTORE);
  // One that runs already: with this executable, and what the units say now.
  await systemctl("try-restart", SERVICE);
}

/** A netd that a command started holds the locks that systemd's will need: it makes way, and nothing else changes. */
async function endUnsupervised(directories: Directories): Promise<void> {
  using netd = await connectNetd(directories);
  const running = netd === undefined ? undefined : await netd.status();
  if (running === undefined || running.socketActivated) return;
  using pidfd = pidfdOpen(running.pid);
  pidfdSendSignal(pidfd.number, SIGTERM);
  pollAny([{ fd: pidfd.number, events: POLLIN }], END_MS);
}

/** Stops and disables netd and removes its units. Networks, rules and running containers stay as they are. */
export async function uninstall(destination: string | undefined): Promise<void> {
  const target = `${destination ?? ""}${UNIT_DIRECTORY}`;
  if (destination === undefined) {
    requireSystemd();
    if (exists(AT_FDCWD, `${target}/${SOCKET}`)) await systemctl("disable", "--now", SOCKET, SERVICE);
    // Not --now: that would stop the containers.
    if (exists(AT_FDCWD, `${target}/${RESTORE}`)) await systemctl("disable", RESTORE);
  }
  for (const name of [SOCKET, SERVICE, RESTORE]) {
    try {
      unlinkat(AT_FDCWD, `${target}/${name}`);
      printLine(`${target}/${name}`);
    } catch (error) {
      if (!isErrno(error, ENOENT)) throw error;
    }
  }
  if (destination === undefined) await systemctl("daemon-reload");
}

/** The file we run from, for as long as it stays there. */
function ownPath(): string {
  const path = new TextDecoder().decode(readlinkat(AT_FDCWD, "/proc/self/exe"));
  if (!path.startsWith("/") || !exists(AT_FDCWD, path))
    throw new CtrError("unavailable", `this executable is not at ${path} any more`);
  return path;
}

function requireSystemd(): void {
  if (exists(AT_FDCWD, SYSTEMD_RUNNING)) return;
  throw new CtrError(
    "unsupported",
    "systemd does not run here; without it netd is started by the first container that needs it",
  );
}

async function systemctl(...words: readonly string[]): Promise<void> {
  try {
    const child = Bun.spawn(["systemctl", "--quiet", ...words], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    const [output, status] = await Promise.all([child.stderr.text(), child.exited]);
    const [reason = ""] = output.split("\n");
    if (status !== 0) throw new CtrError("unavailable", reason === "" ? `status ${status}` : reason);
  } catch (error) {
    throw withContext(`systemctl ${words.join(" ")}`, error);
  }
}
