/** Which file a command's name means, as execvp(3) has it. Runs inside the container's root. */
import { CtrError } from "../../internal/errors/error.ts";
import { AT_FDCWD } from "../../internal/sys/fd.ts";
import { S_IFMT, S_IFREG, statx } from "../../internal/sys/file.ts";

/** The first candidate that is an executable file. Throws with status 127 when none is there, 126 when none may be run. */
export function findProgram(candidates: readonly string[], cwd: string): string {
  let isThere = false;
  for (const candidate of candidates) {
    const path = candidate.startsWith("/") ? candidate : `${cwd}/${candidate}`;
    try {
      const { mode } = statx(AT_FDCWD, path, 0);
      isThere = true;
      if ((mode & S_IFMT) === S_IFREG && (mode & 0o111) !== 0) return path;
    } catch {
      // Not there, or not to be seen: the next directory may have it.
    }
  }
  const name = JSON.stringify(candidates.length === 1 ? candidates[0] : (candidates[0]?.split("/").pop() ?? ""));
  if (isThere) throw new CtrError("denied", `exec: ${name}: permission denied`, { exitStatus: 126 });
  const why = candidates.length === 1 ? "no such file or directory" : "executable file not found in $PATH";
  throw new CtrError("not-found", `exec: ${name}: ${why}`, { exitStatus: 127 });
}
