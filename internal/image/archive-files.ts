/**
 * The files of an image archive. Of an archive that lies on disk uncompressed it is enough to know where they are; any
 * other is spooled into a workspace in one pass, because which of its files are layers is only known at the end.
 */
import { type Compression, decompress, detectCompression } from "../archive/decompress.ts";
import { indexTar } from "../archive/tar-index.ts";
import { readTar } from "../archive/tar-reader.ts";
import { type Blob, BlobWriter, readInTurns } from "../content/blob-store.ts";
import type { Workspace } from "../content/workspace.ts";
import { CtrError } from "../errors/error.ts";
import { DEFAULT_LIMITS, type EntryHeader } from "../spec/layer-entry.ts";
import { type Fd, O_RDONLY, open, pread } from "../sys/fd.ts";
import { fstat, S_IFMT, S_IFREG } from "../sys/file.ts";
import { isPlain, readSource } from "./source.ts";

export interface ArchiveFile {
  readonly size: number;
  /** Where it was spooled: a file of the workspace with this digest. */
  readonly spooled: (Blob & { readonly path: string }) | undefined;
  /** Its bytes, in chunks whose memory is used again (`readInTurns`). */
  chunks(): AsyncIterable<Uint8Array>;
  /** Its first bytes, at most as many as there are. */
  head(size: number): Uint8Array;
}

export interface ArchiveFiles extends Disposable {
  /** The regular file of that name, links of the archive followed; undefined if there is none. */
  find(name: string): ArchiveFile | undefined;
}

/** An archive of images has a few files per layer. */
const LIMITS = { ...DEFAULT_LIMITS, entries: 20_000 };
const MAX_LINKS = 8;
/** Enough to tell a compression by. */
const HEAD_BYTES = 6;

/** The files of the archive at `source`: a path, or `-` for standard input. */
export async function openArchive(source: string, workspace: Workspace): Promise<ArchiveFiles> {
  const indexed = source === "-" ? undefined : indexFile(source);
  return indexed ?? (await spoolArchive(readSource(source), workspace));
}

/** The files of an uncompressed archive that can be read at any place; undefined for any other. */
function indexFile(path: string): ArchiveFiles | undefined {
  using stack = new DisposableStack();
  const archive = stack.use(open(path, O_RDONLY));
  const stat = fstat(archive.number);
  if ((stat.mode & S_IFMT) !== S_IFREG) return undefined;
  const read = (offset: number, buffer: Uint8Array) => pread(archive.number, buffer, offset);
  const head = new Uint8Array(HEAD_BYTES);
  if (!isPlain(head.subarray(0, read(0, head)))) return undefined;
  const catalog = new Catalog();
  try {
    for (const { header, offset } of indexTar(stat.size, read, LIMITS)) {
      catalog.add(header, () => partOf(archive, offset, header.size));
    }
  } catch (error) {
    if (error instanceof CtrError && error.kind === "unsupported") return undefined; // it lies there in pieces
    throw error;
  }
  const owned = stack.move();
  return { find: (name) => catalog.find(name), [Symbol.dispose]: () => owned.dispose() };
}

function partOf(archive: Fd, offset: number, size: number): ArchiveFile {
  return {
    size,
    spooled: undefined,
    chunks: () => readInTurns(archive.number, { offset, size }),
    head(most) {
      const head = new Uint8Array(Math.min(most, size));
      return head.subarray(0, pread(archive.number, head, offset));
    },
  };
}

/** Reads a whole archive, whatever its compression. */
async function spoolArchive(source: AsyncIterable<Uint8Array>, workspace: Workspace): Promise<ArchiveFiles> {
  const catalog = new Catalog();
  let count = 0;
  for await (const entry of readTar(decompress(source), LIMITS)) {
    if (entry.kind !== "file") {
      catalog.add(entry, undefined);
      continue;
    }
    using writer = new BlobWriter(workspace, `file-${count++}`);
    for await (const chunk of entry.content) writer.write(chunk);
    const spooled = { ...writer.finish(), path: writer.path };
    catalog.add(entry, () => spooledFile(spooled));
  }
  return { find: (name) => catalog.find(name), [Symbol.dispose]: () => {} };
}

function spooledFile(spooled: Blob & { readonly path: string }): ArchiveFile {
  return {
    size: spooled.size,
    spooled,
    async *chunks() {
      using fd = open(spooled.path, O_RDONLY);
      yield* readInTurns(fd.number);
    },
    head(most) {
      using fd = open(spooled.path, O_RDONLY);
      const head = new Uint8Array(most);
      return head.subarray(0, pread(fd.number, head, 0));
    },
  };
}

/** Names and what they stand for. */
class Catalog {
  readonly #files = new Map<string, ArchiveFile>();
  /** Older docker-archives name one layer twice by a link (`../<id>/layer.tar`). */
  readonly #links = new Map<string, string>();

  /** `file` makes the file of an entry of that kind. */
  add(header: EntryHeader, file: (() => ArchiveFile) | undefined): void {
    if (header.kind === "directory") return;
    const name = normal(new TextDecoder().decode(header.name));
    if (name === undefined) throw new CtrError("invalid", "the archive names a file outside of itself");
    if (header.kind === "file" && file !== undefined) this.#files.set(name, file());
    else if (header.kind === "symlink" || header.kind === "link") {
      const target = new TextDecoder().decode(header.linkname);
      const base = header.kind === "link" ? "" : name.split("/").slice(0, -1).join("/");
      this.#links.set(name, normal(`${base}/${target}`) ?? "");
    } else throw new CtrError("invalid", `${name}: not a regular file`);
  }

  find(name: string): ArchiveFile | undefined {
    let at = normal(name);
    for (let followed = 0; at !== undefined && followed <= MAX_LINKS; followed++) {
      const file = this.#files.get(at);
      if (file !== undefined) return file;
      at = this.#links.get(at);
    }
    return undefined;
  }
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

/** How a file of the archive is compressed. */
export function compressionOf(file: ArchiveFile): Compression {
  return detectCompression(file.head(HEAD_BYTES));
}

/** A small file's bytes. Throws `invalid` when it is missing or larger than a document may be. */
export function bytesOf(files: ArchiveFiles, name: string, maxBytes: number): Uint8Array {
  const file = files.find(name);
  if (file === undefined) throw new CtrError("invalid", `the archive has no ${name}`);
  if (file.size > maxBytes) throw new CtrError("invalid", `${name} is larger than ${maxBytes} bytes`);
  return file.head(file.size);
}

export function textOf(files: ArchiveFiles, name: string, maxBytes: number): string {
  return new TextDecoder().decode(bytesOf(files, name, maxBytes));
}
