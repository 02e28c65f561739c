/**
 * netd's Landlock domain: what of the machine's files it may write, whatever it is made to do. A domain belongs to a thread
 * and to what it starts, and a runtime has threads from its beginning, so netd begins twice: the first life makes the
 * domain and executes itself in it. Being in a domain also means to see no process outside of it, by which a container's
 * namespace cannot be opened; a small process that is left outside opens those (csrc/opener.c).
 */
import openerBase64 from "../../build/opener.b64" with { type: "text" };
import { EACCES, ENOENT, EROFS, isErrno } from "../../internal/errors/error.ts";
import { openThrough } from "../../internal/network/opener.ts";
import { F_SETFD, type Fd, fcntl, O_CREAT, O_PATH, O_RDWR, open, sealedProgram } from "../../internal/sys/fd.ts";
import { mkdirAll } from "../../internal/sys/file.ts";
import {
  LANDLOCK_ACCESS_FS_MAKE_BLOCK,
  LANDLOCK_ACCESS_FS_MAKE_CHAR,
  LANDLOCK_ACCESS_FS_MAKE_DIR,
  LANDLOCK_ACCESS_FS_MAKE_FIFO,
  LANDLOCK_ACCESS_FS_MAKE_REG,
  LANDLOCK_ACCESS_FS_MAKE_SOCK,
  LANDLOCK_ACCESS_FS_MAKE_SYM,
  LANDLOCK_ACCESS_FS_REFER,
  LANDLOCK_ACCESS_FS_REMOVE_DIR,
  LANDLOCK_ACCESS_FS_REMOVE_FILE,
  LANDLOCK_ACCESS_FS_TRUNCATE,
  LANDLOCK_ACCESS_FS_WRITE_FILE,
  LANDLOCK_SCOPE_SIGNAL,
  landlockVersion,
  type PathRule,
  restrictSelf,
} from "../../internal/sys/landlock.ts";
import { PR_SET_NO_NEW_PRIVS, prctl, umask } from "../../internal/sys/process.ts";
import { SOCK_SEQPACKET, socketpair } from "../../internal/sys/socket.ts";
import { execve, interpreterSettings, spawnExecutable } from "../../internal/sys/spawn.ts";

type Environment = { readonly [name: string]: string | undefined };

/** Where netd keeps what it keeps. */
export function netdDirectories({ CTR_ROOT, CTR_STATE }: Environment): {
  readonly root: string;
  readonly state: string;
} {
  return { root: CTR_ROOT || "/var/lib/ctr", state: CTR_STATE || "/run/ctr" };
}

/** In the environment of the second life: the descriptor of the socket to the opener. */
const OPENER = "CTR_OPENER_FD";

const IN_A_FILE = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;
const OWN =
  IN_A_FILE |
  LANDLOCK_ACCESS_FS_REMOVE_DIR |
  LANDLOCK_ACCESS_FS_REMOVE_FILE |
  LANDLOCK_ACCESS_FS_MAKE_DIR |
  LANDLOCK_ACCESS_FS_MAKE_REG |
  LANDLOCK_ACCESS_FS_MAKE_SOCK |
  LANDLOCK_ACCESS_FS_MAKE_FIFO |
  LANDLOCK_ACCESS_FS_MAKE_SYM |
  LANDLOCK_ACCESS_FS_REFER;
const NOBODYS = LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK;

/** What the lock of a legacy iptables is called (its XTABLES_LOCKFILE); it makes the file itself where it may. */
const XTABLES_LOCK = "/run/xtables.lock";

/**
 * Returns in the domain, or where the kernel has none. The first call of a netd ends in an execve of itself: nothing may be
 * open yet that is to be kept, but what it was started with; and nothing should be loaded that the second life loads again.
 */
export function enterDomain(environment: Environment): void {
  prctl(PR_SET_NO_NEW_PRIVS, 1);
  umask(0o077);
  const opener = environment[OPENER];
  if (opener !== undefined) {
    const fd = Number(opener);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    openThrough(fd);
    return;
  }
  const version = landlockVersion();
  // Before the second version nothing could be renamed into another directory.
  if (version < 2) return;
  const directories = netdDirectories(environment);
  try {
    mkdirAll(directories.root, 0o710);
    mkdirAll(directories.state, 0o711);
  } catch {
    return; // where it cannot keep anything netd ends, and says why itself
  }
  const [ours, theirs] = socketpair(SOCK_SEQPACKET);
  startOpener(theirs);
  const rules = [
    { path: directories.root, allowed: OWN },
    { path: directories.state, allowed: OWN },
    { path: "/proc/sys/net", allowed: IN_A_FILE },
    { path: "/dev/null", allowed: IN_A_FILE },
    { path: XTABLES_LOCK, allowed: IN_A_FILE },
  ].flatMap(({ path, allowed }) => openRule(path, allowed));
  const files = OWN | NOBODYS;
  restrictSelf(
    {
      files: version >= 3 ? files : files & ~LANDLOCK_ACCESS_FS_TRUNCATE,
      scopes: version >= 6 ? LANDLOCK_SCOPE_SIGNAL : 0n,
    },
    rules,
  );
  // A rule is about the directory as it is now: one that stays open is found again by its path (procfs makes them anew).
  for (const fd of [...rules.map(({ fd }) => fd), ours.number, ...handedOver(environment)]) fcntl(fd, F_SETFD, 0);
  const kept = Object.entries({ ...environment, [OPENER]: String(ours.number) }).map(
    ([name, value]) => `${name}=${value ?? ""}`,
  );
  // systemd started it without them. The first of a name is the one that counts.
  execve("/proc/self/exe", ["ctr", ...process.argv.slice(2)], [...interpreterSettings("netd"), ...kept]);
}

const FD_CLOEXEC = 1;
/** sd_listen_fds(3) */
const SD_LISTEN_FDS_START = 3;

/** The sockets it was started with: Bun has made what it found open close-on-exec. */
function handedOver({ LISTEN_PID, LISTEN_FDS = "", CTR_LISTEN_FD }: Environment): readonly number[] {
  if (CTR_LISTEN_FD !== undefined) return [Number(CTR_LISTEN_FD)];
  if (LISTEN_PID !== String(process.pid) || !/^\d{1,5}$/.test(LISTEN_FDS)) return [];
  return Array.from({ length: Number(LISTEN_FDS) }, (_, at) => SD_LISTEN_FDS_START + at);
}

function openRule(path: string, allowed: bigint): PathRule[] {
  try {
    // Whoever is first makes the lock, as iptables does.
    if (path === XTABLES_LOCK) open(path, O_RDWR | O_CREAT, 0o600).close();
    return [{ fd: open(path, O_PATH).take(), allowed }];
  } catch (error) {
    // Not there, or systemd lets this service make none: there is nothing to be allowed.
    if (isErrno(error, ENOENT, EROFS, EACCES)) return [];
    throw error;
  }
}

/** It lives as long as the other end of its socket. */
function startOpener(socket: Fd): void {
  using program = sealedProgram("ctr-opener", openerBase64);
  const child = spawnExecutable(program.number, ["ctr-opener"], [], { fds: [socket.number], newSession: true });
  child.pidfd.close();
  socket.close();
}
