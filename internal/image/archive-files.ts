/**
 * The files of an image archive, spooled into a workspace in one pass: which of them are layers is only known at the
 * end. Each is hashed on the way, so that a blob needs no second reading to be verified.
 */
import { decompress } from "../archive/decompress.ts";
import { readTar } from "../archive/tar-reader.ts";
import { type Blob, BlobWriter } from "../content/blob-store.ts";
import type { Workspace } from "../content/workspace.ts";
import { CtrError } from "../errors/error.ts";
import { DEFAULT_LIMITS } from "../spec/layer-entry.ts";
import { readFile } from "../sys/file.ts";

export interface ArchiveFile extends Blob {
  /** Its copy in the workspace. */
  readonly path: string;
}

export interface ArchiveFiles {
  /** The regular file of that name, links of the archive followed; undefined if there is none. */
  find(name: string): ArchiveFile | undefined;
}

/** An archive of images has a few files per layer. */
const LIMITS = { ...DEFAULT_LIMITS, entries: 20_000 };
const MAX_LINKS = 8;

/** Reads the whole archive, whatever its compression. */
export async function spoolArchive(source: AsyncIterable<Uint8Array>, workspace: Workspace): Promise<ArchiveFiles> {
  const files = new Map<string, ArchiveFile>();
  /** Older docker-archives name one layer twice by a link (`../<id>/layer.tar`). */
  const links = new Map<string, string>();
  let count = 0;
  for await (const entry of readTar(decompress(source), LIMITS)) {
    const name = normal(new TextDecoder().decode(entry.name));
    if (entry.kind === "directory") continue;
    if (name === undefined) throw new CtrError("invalid", "the archive names a file outside of itself");
    if (entry.kind === "file") {
      using writer = new BlobWriter(workspace, `file-${count++}`);
      for await (const chunk of entry.content) writer.write(chunk);
      files.set(name, { ...writer.finish(), path: writer.path });
    } else if (entry.kind === "symlink" || entry.kind === "link") {
      const target = new TextDecoder().decode(entry.linkname);
      const base = entry.kind === "link" ? "" : name.split("/").slice(0, -1).join("/");
      links.set(name, normal(`${base}/${target}`) ?? "");
    } else throw new CtrError("invalid", `${name}: not a regular file`);
  }
  return { find: (name) => find(files, links, name) };
}

function find(
  files: ReadonlyMap<string, ArchiveFile>,
  links: ReadonlyMap<string, string>,
  name: string,
): ArchiveFile | undefined {
  let at = normal(name);
  for (let followed = 0; at !== undefined && followed <= MAX_LINKS; followed++) {
    const file = files.get(at);
    if (file !== undefined) return file;
    at = links.get(at);
  }
  return undefined;
}

/** The path without `.` and `..`, by its names alone; undefined if it leads out. */
function normal(path: string): string | undefined {
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "..") {
      if (names.pop() === undefined) return undefined;
    } else if (name !== "" && name !== ".") names.push(name);
  }
  return names.join("/");
}

/** A small file's text. Throws `invalid` when it is missing or larger than a document may be. */
export function textOf(files: ArchiveFiles, name: string, maxBytes: number): string {
  const file = files.find(name);
  if (file === undefined) throw new CtrError("invalid", `the archive has no ${name}`);
  if (file.size > maxBytes) throw new CtrError("invalid", `${name} is larger than ${maxBytes} bytes`);
  return new TextDecoder().decode(readFile(file.path, maxBytes));
}
