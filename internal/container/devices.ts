/** The host's device nodes in a container: all of them for `--privileged`, those of `--device`, and rules for others. */
import { CtrError, ENOENT, isErrno } from "../errors/error.ts";
import type { Device, DeviceRule } from "../spec/runtime.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, open } from "../sys/fd.ts";
import { getdents64, S_IFBLK, S_IFCHR, S_IFDIR, S_IFMT, type Stat, statx } from "../sys/file.ts";
import { OptionError } from "./option-error.ts";
import type { MappedDevice } from "./record.ts";

/** What a container has of its own below /dev (moby's HostDevices passes over the same). */
const OWN = new Set(["pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev", "ptmx", "hugepages"]);
/** /dev is flat: what lies deeper is no device of the kernel's. */
const MAX_DEPTH = 4;

/** Every node below /dev with its numbers, mode and owner. */
export function hostDevices(): Device[] {
  return devicesBelow("/dev", "/dev", OWN);
}

/** The nodes below a directory of the host's, as nodes below `shown`; `without` are names in it that are passed over. */
function devicesBelow(path: string, shown: string, without: ReadonlySet<string>, depth = 0): Device[] {
  const found: Device[] = [];
  // What a user names may be a link; what is found on the way may not.
  using directory = open(path, O_RDONLY | O_DIRECTORY | (depth === 0 ? 0 : O_NOFOLLOW));
  for (const entry of getdents64(directory.number)) {
    const name = new TextDecoder().decode(entry.name);
    if (without.has(name)) continue;
    const inside = `${shown}/${name}`;
    if (entry.kind === S_IFDIR && depth < MAX_DEPTH) {
      found.push(...devicesBelow(`${path}/${name}`, inside, NONE, depth + 1));
    }
    if (entry.kind !== S_IFCHR && entry.kind !== S_IFBLK) continue;
    try {
      found.push(deviceOf(inside, statx(directory.number, entry.name)));
    } catch (error) {
      // Unplugged meanwhile.
      if (!isErrno(error, ENOENT)) throw error;
    }
  }
  return found;
}

const NONE: ReadonlySet<string> = new Set();

function deviceOf(path: string, stat: Stat): Device {
  return {
    path,
    type: (stat.mode & S_IFMT) === S_IFBLK ? "b" : "c",
    major: stat.rdevMajor,
    minor: stat.rdevMinor,
    fileMode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
  };
}

const DEFAULT_ACCESS = "rwm";

/** `--device HOST[:CONTAINER][:rwm]`. Throws OptionError. */
export function parseDevice(text: string): MappedDevice {
  const [host = "", second, third, ...more] = text.split(":");
  const wrong = (why: string) => new OptionError(why, "device", text);
  if (host === "" || more.length > 0) throw wrong(`bad format for path: ${text}`);
  const isAccess = second !== undefined && third === undefined && isDeviceAccess(second);
  const inside = second === undefined || isAccess ? host : second;
  const access = (isAccess ? second : third) ?? DEFAULT_ACCESS;
  if (!isDeviceAccess(access)) throw wrong(`bad mode specified: ${access}`);
  if (!inside.startsWith("/")) throw wrong(`${inside} is not an absolute path`);
  return { PathOnHost: host, PathInContainer: inside, CgroupPermissions: access };
}

function isDeviceAccess(text: string): boolean {
  return /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length;
}

/** `--device-cgroup-rule "c 10:* rwm"`. Throws OptionError. */
export function parseDeviceRule(text: string): DeviceRule {
  const [, type, major, minor, access] = /^([acb]) (\d{1,7}|\*):(\d{1,7}|\*) ([rwm]{1,3})$/.exec(text) ?? [];
  if (type !== "a" && type !== "b" && type !== "c") {
    throw new OptionError(`invalid device cgroup format '${text}'`, "device-cgroup-rule", text);
  }
  return { allow: true, type, ...numberOf("major", major), ...numberOf("minor", minor), access: access ?? "rwm" };
}

function numberOf<Name extends "major" | "minor">(name: Name, text = "*"): { readonly [N in Name]?: number } {
  // `*` is every number, which the spec writes by leaving it out.
  const none: { readonly [N in Name]?: number } = {};
  return text === "*" ? none : { ...none, [name]: Number(text) };
}

/** What `--device` comes to: the nodes in the container, and what it may do with them. */
export function mappedDevices(mapped: readonly MappedDevice[]): {
  readonly devices: readonly Device[];
  readonly rules: readonly DeviceRule[];
} {
  const devices: Device[] = [];
  const rules: DeviceRule[] = [];
  for (const { PathOnHost, PathInContainer, CgroupPermissions } of mapped) {
    for (const device of nodesAt(PathOnHost, PathInContainer)) {
      devices.push(device);
      const { type, major = 0, minor = 0 } = device;
      rules.push({ allow: true, type: type === "b" ? "b" : "c", major, minor, access: CgroupPermissions });
    }
  }
  return { devices, rules };
}

/** One node, or all below a directory; a link on the host is followed. */
function nodesAt(path: string, shown: string): readonly Device[] {
  const gathering = (why: string) =>
    new CtrError(
      "invalid",
      `error gathering device information while adding custom device ${JSON.stringify(path)}: ${why}`,
    );
  const stat = hostStat(path);
  if (stat === undefined) throw gathering("no such file or directory");
  const kind = stat.mode & S_IFMT;
  if (kind === S_IFCHR || kind === S_IFBLK) return [deviceOf(shown, stat)];
  if (kind !== S_IFDIR) throw gathering("not a device node");
  const below = devicesBelow(path, shown.replace(/(?<=.)\/+$/, ""), NONE);
  if (below.length === 0) throw gathering("not a device node");
  return below;
}

function hostStat(path: string): Stat | undefined {
  try {
    return statx(AT_FDCWD, path, 0);
  } catch (error) {
    if (isErrno(error, ENOENT)) return undefined;
    throw error;
  }
}

/** The numbers of a block device of the host's. Throws `invalid` for what is none. */
export function blockDevice(path: string): { readonly major: number; readonly minor: number } {
  const stat = hostStat(path);
  if (stat === undefined) throw new CtrError("not-found", `${path}: no such file or directory`);
  if ((stat.mode & S_IFMT) !== S_IFBLK) throw new CtrError("invalid", `${path} is no block device`);
  return { major: stat.rdevMajor, minor: stat.rdevMinor };
}
