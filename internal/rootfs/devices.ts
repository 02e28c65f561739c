/** /dev of a container: nodes made by us on the container's own tmpfs, links, the terminal. */
import { CtrError, EEXIST, EPERM, isErrno } from "../errors/error.ts";
import type { Device } from "../spec/runtime.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  type Fd,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOCTTY,
  O_NOFOLLOW,
  O_PATH,
  O_RDWR,
  O_WRONLY,
  openat,
} from "../sys/fd.ts";
import {
  fchownat,
  fstat,
  fstatfsType,
  mknodat,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFMT,
  type Stat,
  statx,
  symlinkat,
} from "../sys/file.ts";
import { OPEN_TREE_CLONE, openTree } from "../sys/mount.ts";
import { openTerminalPeer, unlockTerminal } from "../sys/pty.ts";
import { attachInRoot } from "./attach.ts";
import { makeDirectoryInRoot, openInRoot, tryOpenInRoot } from "./resolve.ts";

const KIND = { c: S_IFCHR, u: S_IFCHR, b: S_IFBLK, p: S_IFIFO } as const;

/** Makes the nodes, then the links (path, target) that go with them. The umask must be 0. */
export function makeDevices(
  root: number,
  devices: readonly Device[],
  links: readonly (readonly [path: string, target: string])[],
): void {
  using opened = new DisposableStack();
  // Most are in one directory.
  const directories = new Map<string, Fd>();
  const place = (path: string): readonly [directory: number, name: string] => {
    const slash = path.lastIndexOf("/");
    const parent = path.slice(0, slash) || "/";
    let directory = directories.get(parent);
    if (directory === undefined) {
      directory = opened.use(makeDirectoryInRoot(root, parent));
      directories.set(parent, directory);
    }
    return [directory.number, path.slice(slash + 1)];
  };
  for (const device of devices) makeDevice(root, device, ...place(device.path));
  for (const [path, target] of links) linkUnlessThere(target, ...place(path));
}

function linkUnlessThere(target: string, directory: number, name: string): void {
  try {
    symlinkat(target, directory, name);
  } catch (error) {
    // An image without a /dev of its own mount may bring them.
    if (!isErrno(error, EEXIST)) throw error;
  }
}

function makeDevice(root: number, device: Device, directory: number, name: string): void {
  try {
    mknodat(
      directory,
      name,
      // Go's programs put the kind's bits there too.
      KIND[device.type] | ((device.fileMode ?? 0o666) & 0o7777),
      device.major ?? 0,
      device.minor ?? 0,
    );
    fchownat(directory, name, device.uid ?? 0, device.gid ?? 0);
  } catch (error) {
    if (isErrno(error, EEXIST)) {
      checkDevice(statx(directory, name), device);
      return;
    }
    // Without CAP_MKNOD over the host's devices (a user namespace) the host's node is bound instead.
    if (!isErrno(error, EPERM)) throw error;
    using node = openTree(AT_FDCWD, device.path, OPEN_TREE_CLONE);
    checkDevice(fstat(node.number), device);
    openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644).close();
    using place = openat(directory, name, O_PATH | O_NOFOLLOW);
    attachInRoot(root, node.number, place.number, device.path);
  }
}

/** config-linux.md#devices: what is there already must be the same device. */
function checkDevice({ mode, rdevMajor, rdevMinor }: Stat, { path, type, major, minor }: Device): void {
  const hasNumbers = type === "p" || (rdevMajor === major && rdevMinor === minor);
  if ((mode & S_IFMT) === KIND[type] && hasNumbers) return;
  throw new CtrError("conflict", `${path}: there is a file already that is not this device`);
}

/** The container's null device, checked to be it. */
export function openNullDevice(root: number): Fd {
  const device = tryOpenInRoot(root, "/dev/null");
  if (device === undefined) throw new CtrError("invalid", "/dev/null of the container: no such file or directory");
  const { mode, rdevMajor, rdevMinor } = fstat(device.number);
  if ((mode & S_IFMT) === S_IFCHR && rdevMajor === 1 && rdevMinor === 3) return device;
  device.close();
  throw new CtrError("invalid", "/dev/null of the container is not the null device");
}

const DEVPTS_SUPER_MAGIC = 0x1cd1;

/** A new terminal of the container's own devpts: both ends, the slave already open. */
export function openTerminal(root: number): { readonly master: Fd; readonly slave: Fd } {
  // Looked at before it is opened: opening what a container has put there may already do something.
  using directory = openInRoot(root, "/dev/pts", O_PATH | O_DIRECTORY);
  using place = openat(directory.number, "ptmx", O_PATH | O_NOFOLLOW);
  const { mode, rdevMajor, rdevMinor } = fstat(place.number);
  const isPtmx = (mode & S_IFMT) === S_IFCHR && rdevMajor === 5 && rdevMinor === 2;
  if (!isPtmx || fstatfsType(place.number) !== DEVPTS_SUPER_MAGIC) {
    throw new CtrError("invalid", "/dev/pts/ptmx of the container is no terminal multiplexer");
  }
  // Nobody can put anything else under this name of a devpts.
  const master = openat(directory.number, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW);
  unlockTerminal(master.number);
  return { master, slave: openTerminalPeer(master.number) };
}

/** /dev/console: the terminal bound on a file of the container's /dev. */
export function bindConsole(root: number, slave: number): void {
  using dev = openInRoot(root, "/dev", O_PATH | O_DIRECTORY);
  try {
    openat(dev.number, "console", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600).close();
  } catch (error) {
    if (!isErrno(error, EEXIST)) throw error;
  }
  using place = openat(dev.number, "console", O_PATH | O_NOFOLLOW);
  using tree = openTree(slave, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  attachInRoot(root, tree.number, place.number, "/dev/console");
}
