/** How overlayfs marks what is hidden (kernel Documentation/filesystems/overlayfs.rst "whiteouts and opaque directories"). */
import { fgetxattr, fsetxattr, mknodat, S_IFCHR, S_IFMT, type Stat } from "../sys/file.ts";
import type { PathBytes } from "../sys/lib.ts";

const OPAQUE = "trusted.overlay.opaque";
const YES = new Uint8Array([0x79]);

/** A whiteout: a character device 0/0. */
export function isWhiteout(stat: Stat): boolean {
  return (stat.mode & S_IFMT) === S_IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0;
}

export function makeWhiteout(dirfd: number, name: PathBytes): void {
  mknodat(dirfd, name, S_IFCHR, 0, 0);
}

/** True if the directory hides what lies below it. */
export function isOpaque(fd: number): boolean {
  return fgetxattr(fd, OPAQUE)?.[0] === YES[0];
}

export function setOpaque(fd: number): void {
  fsetxattr(fd, OPAQUE, YES);
}

/** Attributes that are overlayfs' own or only root's to make: they neither enter nor leave a layer. */
export function isPrivateXattr(name: string): boolean {
  return name.startsWith("trusted.") || name.startsWith("user.overlay.");
}
