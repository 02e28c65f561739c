/**
 * What every container's root file system has beside its image: `/.dockerenv`, `/etc/mtab`, and places for the engine
 * to mount on (moby daemon/initlayer). It is one directory for all
 * containers, mounted as the lowest layer: what the image has itself covers it, and nothing of it is a change.
 */
import { EEXIST, isErrno } from "../errors/error.ts";
import { AT_FDCWD, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, open } from "../sys/fd.ts";
import { exists, fchmodat, mkdirAll, mkdirat, symlinkat } from "../sys/file.ts";

const DIRECTORIES = ["", "/dev", "/dev/pts", "/dev/shm", "/etc", "/proc", "/sys"];
const FILES = ["/dev/console", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
const MTAB = "/proc/mounts";
/** Made last: with it, everything before is there, also if somebody was killed in here once. */
const LAST = "/.dockerenv";
const MODE = 0o755;

/**
 * The directory, made when missing. On the path of every start: one system call. Two processes may make it at once, since
 * neither takes anything away.
 */
export function placeholderLayer(root: string): string {
  const layer = `${root}/placeholders`;
  if (!exists(AT_FDCWD, layer + LAST)) make(layer);
  return layer;
}

function make(layer: string): void {
  mkdirAll(layer, MODE);
  for (const name of DIRECTORIES) {
    unlessThere(() => mkdirat(AT_FDCWD, layer + name, MODE));
    fchmodat(AT_FDCWD, layer + name, MODE); // whatever the caller's umask was
  }
  unlessThere(() => symlinkat(MTAB, AT_FDCWD, `${layer}/etc/mtab`));
  for (const name of [...FILES, LAST]) {
    unlessThere(() => open(layer + name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, MODE).close());
    fchmodat(AT_FDCWD, layer + name, MODE);
  }
}

function unlessThere(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!isErrno(error, EEXIST)) throw error;
  }
}
