/**
 * AppArmor: the default profile, loading it, and which profile a process is to have (apparmor(7)). The profile denies what
 * Docker's default one denies; it is this engine's own text and needs no file of the distribution's.
 */
import { CtrError, ENOENT, isErrno } from "../errors/error.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists, readText } from "../sys/file.ts";

export const DEFAULT_PROFILE = "ctr-default";
/** AppArmor's own word for no profile. */
export const UNCONFINED = "unconfined";

const ENABLED = "/sys/module/apparmor/parameters/enabled";
const SECURITYFS = "/sys/kernel/security/apparmor";
const PARSERS = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"];

/** True where this kernel has AppArmor, and it is switched on. */
export function hasAppArmor(): boolean {
  return exists(AT_FDCWD, ENABLED) && readText(ENABLED).startsWith("Y") && exists(AT_FDCWD, SECURITYFS);
}

/** True if containers get the default profile here: there is AppArmor, and what loads the profile, unless it is loaded. */
export function hasDefaultProfile(): boolean {
  return hasAppArmor() && (parser() !== undefined || isLoaded(DEFAULT_PROFILE));
}

function parser(): string | undefined {
  return PARSERS.find((path) => exists(AT_FDCWD, path));
}

/** The kernel's list has a line for each profile: its name and ` (enforce)` or another mode. */
export function isLoaded(profile: string): boolean {
  return readText(`${SECURITYFS}/profiles`)
    .split("\n")
    .some((line) => line.replace(/ \([a-z]+\)$/, "") === profile);
}

/**
 * The default profile: everything but mounting and writing to what of /proc and /sys is the machine's. Globs have no "all
 * but", so each list of patterns says letter by letter what a name is not. `peers` are profiles that may send signals to
 * the container, beside its own processes and whoever has none: that of ctr itself, where it has one.
 */
export function defaultProfile(peers: readonly string[] = []): string {
  const deny = [
    // Files of /proc itself, and below what is neither a process nor sys.
    "@{PROC}/* w",
    "@{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9]*}/** w",
    // All of /proc/sys but kernel/shm*.
    "@{PROC}/sys/[^k]** w",
    "@{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w",
    "@{PROC}/sysrq-trigger rwklx",
    "@{PROC}/kcore rwklx",
    // All of /sys but fs/cgroup.
    "/sys/[^f]*/** wklx",
    "/sys/f[^s]*/** wklx",
    "/sys/fs/[^c]*/** wklx",
    "/sys/fs/c[^g]*/** wklx",
    "/sys/fs/cg[^r]*/** wklx",
    "/sys/firmware/** rwklx",
    "/sys/devices/virtual/powercap/** rwklx",
    "/sys/kernel/security/** rwklx",
  ];
  return [
    "@{PROC}=/proc/",
    `profile ${DEFAULT_PROFILE} flags=(attach_disconnected,mediate_deleted) {`,
    "  network,",
    "  capability,",
    "  file,",
    "  umount,",
    // From the engine, and among the container's own; to nobody else.
    ...[UNCONFINED, ...peers].map((peer) => `  signal (receive) peer="${peer}",`),
    `  signal (send, receive) peer=${DEFAULT_PROFILE},`,
    `  ptrace (trace, read, tracedby, readby) peer=${DEFAULT_PROFILE},`,
    "  deny mount,",
    ...deny.map((rule) => `  deny ${rule},`),
    "}",
    "",
  ].join("\n");
}

/** Loads the default profile if it is not loaded: the kernel keeps it until the next boot. Throws when it cannot be. */
export async function loadDefaultProfile(): Promise<void> {
  if (isLoaded(DEFAULT_PROFILE)) return;
  const program = parser();
  if (program === undefined) throw new CtrError("unavailable", "apparmor_parser is not installed");
  const child = Bun.spawn([program, "--skip-cache", "--replace"], {
    stdin: new Blob([defaultProfile(ownProfiles())]),
    stdout: "ignore",
    stderr: "pipe",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C" },
    cwd: "/",
  });
  const [words, status] = await Promise.all([child.stderr.text(), child.exited]);
  if (status === 0 && isLoaded(DEFAULT_PROFILE)) return;
  const why = words.trim().split("\n").at(-1) || `apparmor_parser ended with status ${status}`;
  throw new CtrError("unavailable", `AppArmor profile ${DEFAULT_PROFILE} could not be loaded: ${why}`);
}

/** What this process itself is confined by. */
function ownProfiles(): readonly string[] {
  const label = currentLabel();
  return label === undefined || label === UNCONFINED ? [] : [label];
}

function currentLabel(): string | undefined {
  for (const path of ["/proc/thread-self/attr/apparmor/current", "/proc/thread-self/attr/current"]) {
    try {
      return readText(path)
        .trim()
        .replace(/ \([a-z]+\)$/, "");
    } catch (error) {
      if (!isErrno(error, ENOENT)) throw error;
    }
  }
  return undefined;
}
