/** Where `save` and `export` put their archive: a file that appears whole or not at all, or standard output. */
import { CtrError } from "../../internal/errors/error.ts";
import { writeStreamAside } from "../../internal/image/write-aside.ts";
import { AT_FDCWD } from "../../internal/sys/fd.ts";
import { exists, S_IFDIR, S_IFMT, statx } from "../../internal/sys/file.ts";
import { isTerminal } from "../../internal/sys/terminal.ts";
import { STDOUT, writeOut } from "./output.ts";

/** Checks where an archive shall go (undefined: standard output) before any work is done. `what` is for messages. */
export function outputFile(what: string, given: string | undefined): string | undefined {
  if (given === undefined || given === "") {
    if (!isTerminal(STDOUT)) return undefined;
    throw new CtrError("invalid", "cowardly refusing to save to a terminal. Use the -o flag or redirect");
  }
  const parent = given.slice(0, given.lastIndexOf("/") + 1);
  if (parent !== "" && !exists(AT_FDCWD, parent)) {
    throw new CtrError(
      "not-found",
      `failed to ${what}: invalid output path: directory ${JSON.stringify(parent)} does not exist`,
    );
  }
  if (exists(AT_FDCWD, given) && (statx(AT_FDCWD, given, 0).mode & S_IFMT) === S_IFDIR) {
    throw new CtrError("invalid", `failed to ${what}: cannot write to a directory`);
  }
  return given;
}

/** Writes the archive there. */
export async function writeArchive(output: string | undefined, archive: AsyncIterable<Uint8Array>): Promise<void> {
  if (output !== undefined) await writeStreamAside(output, archive);
  else for await (const chunk of archive) writeOut(STDOUT, chunk);
}
