/** What a bind's propagation asks of its source (moby daemon/oci_linux.go, mount_namespaces(7)). */
import { CtrError } from "../errors/error.ts";
import { AT_FDCWD, O_PATH, open } from "../sys/fd.ts";
import { readlinkat, readText } from "../sys/file.ts";
import type { MountPoint } from "./mount-point.ts";

/** Throws `invalid`, in Docker's words, where a source could not be shared with its container as asked. */
export function checkPropagation(mounts: readonly MountPoint[]): void {
  for (const { Source, Propagation } of mounts) {
    const isShared = Propagation.endsWith("shared");
    if (!isShared && !Propagation.endsWith("slave")) continue;
    const { place, optional } = mountOf(Source);
    const isSourceShared = optional.some((field) => field.startsWith("shared:"));
    if (isSourceShared || (!isShared && optional.some((field) => field.startsWith("master:")))) continue;
    const kind = isShared ? "shared" : "shared or slave";
    throw new CtrError("invalid", `path ${Source} is mounted on ${place} but it is not a ${kind} mount.`);
  }
}

/** The mount that holds a path: where it is, and the optional fields of its line in mountinfo (proc_pid_mountinfo(5)). */
function mountOf(path: string): { readonly place: string; readonly optional: readonly string[] } {
  const real = realPath(path);
  let found = { place: "", optional: [] as readonly string[] };
  for (const line of readText("/proc/self/mountinfo", 16 << 20).split("\n")) {
    const fields = line.split(" ");
    const place = octalDecoded(fields[4] ?? "");
    const holds = place === "/" || real === place || real.startsWith(`${place}/`);
    // The last of several on one place is the one that is seen.
    if (place !== "" && holds && place.length >= found.place.length) {
      found = { place, optional: fields.slice(6, fields.indexOf("-")) };
    }
  }
  return found;
}

function realPath(path: string): string {
  using place = open(path, O_PATH);
  return new TextDecoder().decode(readlinkat(AT_FDCWD, `/proc/self/fd/${place.number}`));
}

/** Blanks and backslashes are octal there: `\040`. */
function octalDecoded(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
