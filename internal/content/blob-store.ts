/** The blobs of the OCI image layout below `<root>/content` (image-spec image-layout.md). */
import { CtrError, ENOENT, isErrno } from "../errors/error.ts";
import { HELD_CHUNKS } from "../spec/layer-entry.ts";
import { Digester } from "../sys/digester.ts";
import {
  AT_FDCWD,
  type Fd,
  fsync,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  open,
  openat,
  pread,
  read,
} from "../sys/fd.ts";
import { exists, fstat, getdents64, mkdirAll, renameat2, replaceFile, unlinkat } from "../sys/file.ts";
import { sweep } from "../sys/sweep.ts";
import { type Digest, hexOf, isDigest, parseDigest } from "./digest.ts";
import type { Workspace } from "./workspace.ts";

/** A descriptor: what a blob is, which one, how long. */
export interface Blob {
  readonly digest: Digest;
  readonly size: number;
}

/** `<root>/content/blobs/sha256/<hex>`. */
export function blobPath(root: string, digest: Digest): string {
  return `${root}/content/blobs/sha256/${hexOf(digest)}`;
}

/** Makes the layout's directories and its `oci-layout` file when missing. */
export function ensureLayout(root: string): void {
  mkdirAll(`${root}/content/blobs/sha256`, 0o700);
  if (!exists(AT_FDCWD, `${root}/content/oci-layout`)) {
    replaceFile(`${root}/content/oci-layout`, OCI_LAYOUT, 0o644);
  }
}

/** image-spec image-layout.md#oci-layout-file. */
export const OCI_LAYOUT = '{"imageLayoutVersion":"1.0.0"}';

/** A file in a workspace that is being written and hashed, on a thread of its own; `finish` tells its digest. */
export class BlobWriter implements Disposable {
  readonly #fd: Fd;
  readonly #digester: Digester;
  readonly path: string;
  #size = 0;

  constructor(workspace: Workspace, name: string) {
    this.path = `${workspace.path}/${name}`;
    this.#fd = openat(workspace.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    this.#digester = new Digester(this.#fd.number, this.path);
  }

  /** The bytes must stay as they are for `HELD_CHUNKS` more writes, or until `digest` or `finish`. */
  write(bytes: Uint8Array): void {
    this.#digester.update(bytes);
    this.#size += bytes.length;
  }

  /** Passes a stream on unchanged while writing it. */
  async *tee(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of source) {
      this.write(chunk);
      yield chunk;
    }
  }

  /** The digest of all that was written; nothing may be written afterwards. */
  digest(): Digest {
    return parseDigest(`sha256:${this.#digester.hex()}`);
  }

  /** Syncs and closes the file. */
  finish(): Blob {
    const digest = this.digest();
    fsync(this.#fd.number);
    this[Symbol.dispose]();
    return { digest, size: this.#size };
  }

  [Symbol.dispose](): void {
    this.#digester[Symbol.dispose]();
    this.#fd.close();
  }
}

/** Puts a finished file of a workspace into the store. Call it inside the transaction that records who needs it. */
export function publishBlob(root: string, path: string, digest: Digest): void {
  renameat2(AT_FDCWD, path, AT_FDCWD, blobPath(root, digest));
}

/** An open blob with its size: the descriptor keeps it readable whatever is removed meanwhile. */
export function openBlob(root: string, digest: Digest): { readonly fd: Fd; readonly size: number } {
  const fd = open(blobPath(root, digest), O_RDONLY | O_NOFOLLOW);
  return { fd, size: fstat(fd.number).size };
}

const CHUNK = 512 * 1024;
const LEAST_READ = 64 * 1024;

/** The bytes of an open descriptor from where it stands to its end. The caller keeps the descriptor. */
export async function* readChunks(fd: number): AsyncGenerator<Uint8Array, void, undefined> {
  // A pipe gives little at a time: what a read left of the memory is for the next one.
  for (let buffer = new Uint8Array(CHUNK), at = 0; ; ) {
    const size = read(fd, buffer.subarray(at));
    if (size === 0) return;
    yield buffer.subarray(at, at + size);
    at += size;
    if (buffer.length - at >= LEAST_READ) continue;
    sweep(CHUNK);
    buffer = new Uint8Array(CHUNK);
    at = 0;
  }
}

/**
 * As `readChunks`, but the memory of a chunk is used again after `HELD_CHUNKS` others: for readers who are done with it
 * by then, as unpacking and writing are. Of a part of a file that can be read at any place, say which.
 */
export async function* readInTurns(
  fd: number,
  part?: { readonly offset: number; readonly size: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  const buffers: Uint8Array[] = [];
  for (let at = 0, turn = 0; part === undefined || at < part.size; turn = (turn + 1) % (HELD_CHUNKS + 2)) {
    const buffer = buffers[turn] ?? new Uint8Array(CHUNK);
    buffers[turn] = buffer;
    const count =
      part === undefined
        ? read(fd, buffer)
        : pread(fd, buffer.subarray(0, Math.min(CHUNK, part.size - at)), part.offset + at);
    if (count === 0) return;
    at += count;
    yield buffer.subarray(0, count);
  }
}

/**
 * A stream that must have exactly this digest and size: reading stops at the declared size. A chunk must stay as it is
 * while `HELD_CHUNKS` more are read.
 */
export async function* verified(
  source: AsyncIterable<Uint8Array>,
  expected: Blob,
): AsyncGenerator<Uint8Array, void, undefined> {
  using digester = new Digester();
  let size = 0;
  for await (const chunk of source) {
    size += chunk.length;
    if (size > expected.size)
      throw new CtrError("invalid", `${expected.digest} is longer than its ${expected.size} bytes`);
    digester.update(chunk);
    yield chunk;
  }
  if (size !== expected.size)
    throw new CtrError("invalid", `${expected.digest} has ${size} bytes instead of ${expected.size}`);
  const digest = `sha256:${digester.hex()}`;
  if (digest !== expected.digest)
    throw new CtrError("invalid", `content has digest ${digest} instead of ${expected.digest}`);
}

/**
 * Removes every blob that is not in `used`, and returns the sum of what `measure` says of them before. Call it inside a
 * transaction, so that nobody publishes one meanwhile.
 */
export function collectBlobs(
  root: string,
  used: ReadonlySet<string>,
  measure: (path: string) => number = () => 0,
): number {
  const bytes = removeNames(
    `${root}/content/blobs/sha256`,
    (name) => {
      const digest = `sha256:${name}`;
      return !isDigest(digest) || !used.has(digest);
    },
    measure,
  );
  // Half-written by somebody who was killed: `index.json` is only written inside a transaction.
  return bytes + removeNames(`${root}/content`, (name) => /^(index\.json|oci-layout)\..+\.tmp$/.test(name), measure);
}

function removeNames(path: string, isUnwanted: (name: string) => boolean, measure: (path: string) => number): number {
  let opened: Fd;
  try {
    opened = open(path, O_RDONLY | O_DIRECTORY);
  } catch (error) {
    if (isErrno(error, ENOENT)) return 0;
    throw error;
  }
  using directory = opened;
  let bytes = 0;
  for (const { name } of getdents64(directory.number)) {
    const text = new TextDecoder().decode(name);
    if (!isUnwanted(text)) continue;
    bytes += measure(`${path}/${text}`);
    unlinkat(directory.number, name);
  }
  return bytes;
}
