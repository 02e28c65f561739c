/** The host's device nodes, for `--privileged`. */
import { ENOENT, isErrno } from "../errors/error.ts";
import type { Device } from "../spec/runtime.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, open } from "../sys/fd.ts";
import { getdents64, S_IFBLK, S_IFCHR, S_IFDIR, S_IFMT, statx } from "../sys/file.ts";

/** What a container has of its own below /dev (moby's HostDevices passes over the same). */
const OWN = new Set(["pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev", "ptmx", "hugepages"]);
/** /dev is flat: what lies deeper is no device of the kernel's. */
const MAX_DEPTH = 4;

/** Every node below /dev with its numbers, mode and owner. */
export function hostDevices(path = "/dev", depth = 0): Device[] {
  const found: Device[] = [];
  using directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  for (const entry of getdents64(directory.number)) {
    const name = new TextDecoder().decode(entry.name);
    if (depth === 0 && OWN.has(name)) continue;
    if (entry.kind === S_IFDIR && depth < MAX_DEPTH) found.push(...hostDevices(`${path}/${name}`, depth + 1));
    if (entry.kind !== S_IFCHR && entry.kind !== S_IFBLK) continue;
    try {
      const stat = statx(directory.number, entry.name);
      found.push({
        path: `${path}/${name}`,
        type: (stat.mode & S_IFMT) === S_IFBLK ? "b" : "c",
        major: stat.rdevMajor,
        minor: stat.rdevMinor,
        fileMode: stat.mode & 0o7777,
        uid: stat.uid,
        gid: stat.gid,
      });
    } catch (error) {
      // Unplugged meanwhile.
      if (!isErrno(error, ENOENT)) throw error;
    }
  }
  return found;
}
