/** How overlayfs marks what is hidden (kernel Documentation/filesystems/overlayfs.rst "whiteouts and opaque directories"). */
import { EOPNOTSUPP, EPERM, isErrno } from "../errors/error.ts";
import { fgetxattr, fremovexattr, fsetxattr, mknodat, S_IFCHR, S_IFMT, type Stat } from "../sys/file.ts";
import type { PathBytes } from "../sys/lib.ts";

const OPAQUE = "trusted.overlay.opaque";
/** Where overlayfs itself is what lies below, its own marks cannot be set: these say the same to us, and nothing to it. */
const OPAQUE_ON_OVERLAY = "trusted.ctr.opaque";
const WHITEOUT_ON_OVERLAY = { major: 4095, minor: 1048575 }; // the last there is, which no driver has
const YES = new Uint8Array([0x79]);

/** A whiteout: a character device 0/0. */
export function isWhiteout(stat: Stat): boolean {
  return (stat.mode & S_IFMT) === S_IFCHR && isWhiteoutDevice(stat.rdevMajor, stat.rdevMinor);
}

/** The numbers of a whiteout: no archive may bring a device with them. */
export function isWhiteoutDevice(major: number, minor: number): boolean {
  const other = WHITEOUT_ON_OVERLAY;
  return (major === 0 && minor === 0) || (major === other.major && minor === other.minor);
}

export function makeWhiteout(dirfd: number, name: PathBytes): void {
  try {
    mknodat(dirfd, name, S_IFCHR, 0, 0);
  } catch (error) {
    if (!isErrno(error, EPERM)) throw error;
    mknodat(dirfd, name, S_IFCHR, WHITEOUT_ON_OVERLAY.major, WHITEOUT_ON_OVERLAY.minor);
  }
}

/** True if the directory hides what lies below it. */
export function isOpaque(fd: number): boolean {
  return fgetxattr(fd, OPAQUE)?.[0] === YES[0] || fgetxattr(fd, OPAQUE_ON_OVERLAY)?.[0] === YES[0];
}

export function setOpaque(fd: number): void {
  try {
    fsetxattr(fd, OPAQUE, YES);
  } catch (error) {
    if (!isErrno(error, EPERM, EOPNOTSUPP)) throw error;
    fsetxattr(fd, OPAQUE_ON_OVERLAY, YES);
  }
}

/** Takes the mark off a directory that hides nothing any more. */
export function clearOpaque(fd: number): void {
  for (const name of [OPAQUE, OPAQUE_ON_OVERLAY]) if (fgetxattr(fd, name) !== undefined) fremovexattr(fd, name);
}

/** Attributes that are overlayfs' own or only root's to make: they neither enter nor leave a layer. */
export function isPrivateXattr(name: string): boolean {
  return name.startsWith("trusted.") || name.startsWith("user.overlay.");
}
