/**
 * Blobs on their way into the store: `<root>/downloads/<hex>`, one file per blob. Whoever holds its flock(2) writes it;
 * everybody else who wants the blob reads along while it grows, and goes on with it when the writer dies. What a killed
 * writer has got stays, and is continued.
 */
import { CtrError, EAGAIN, EEXIST, ENOENT, isErrno, SyscallError } from "../errors/error.ts";
import { type Digest, hexOf, isDigest } from "../spec/digest.ts";
import {
  AT_FDCWD,
  AT_SYMLINK_FOLLOW,
  Fd,
  flock,
  ftruncate,
  LOCK_EX,
  LOCK_NB,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  open,
  openat,
  pread,
  pwrite,
} from "../sys/fd.ts";
import { exists, fstat, getdents64, linkat, mkdirAll, statx, unlinkat } from "../sys/file.ts";
import { sweep } from "../sys/sweep.ts";
import { IN_CLOSE_WRITE, IN_MODIFY, inotifyAddWatch, inotifyInit } from "../sys/watch.ts";
import { type Blob, blobPath, verified } from "./blob-store.ts";
import type { Workspace } from "./workspace.ts";

/** The rest of a blob; `offset` is 0 where the other side cannot start in the middle. */
export interface BlobRest {
  readonly offset: number;
  readonly body: AsyncIterable<Uint8Array>;
}

export interface DownloadOptions {
  /** Asks for the blob from `offset` on. */
  readonly fetch: (offset: number) => Promise<BlobRest>;
  /** Told how many of the blob's bytes are here. */
  readonly onProgress: (bytes: number) => void;
  /** Told before each wait for another attempt. */
  readonly onRetry: (waitMs: number) => void;
  readonly signal: AbortSignal;
}

/** How often in a row a transfer may break without a single new byte. */
const MAX_ATTEMPTS = 5;
const FIRST_WAIT_MS = 500;
const READ_BYTES = 256 * 1024;

export class Download implements Disposable {
  readonly #root: string;
  readonly #blob: Blob;
  readonly #options: DownloadOptions;
  #file: Fd;
  #isWriter = false;
  /** Bytes that were here before we were: another process answers for them. */
  #foreign = 0;

  constructor(root: string, blob: Blob, options: DownloadOptions) {
    this.#root = root;
    this.#blob = blob;
    this.#options = options;
    mkdirAll(`${root}/downloads`, 0o700);
    this.#file = this.#open();
  }

  /** True if some of the bytes come from an earlier process, which may have been cut short by a power failure. */
  get isContinued(): boolean {
    return this.#foreign > 0;
  }

  get #path(): string {
    return downloadPath(this.#root, this.#blob.digest);
  }

  /**
   * The whole blob from its first byte, downloading what is missing. Throws `invalid` at the end if the digest is wrong.
   * May be called again, which reads what is here.
   */
  bytes(): AsyncGenerator<Uint8Array, void, undefined> {
    return verified(this.#read(), this.#blob);
  }

  /** Gives the whole blob a name in a workspace, from where it is published. */
  linkInto(workspace: Workspace): string {
    const name = `blob-${hexOf(this.#blob.digest)}`;
    try {
      linkat(AT_FDCWD, `/proc/self/fd/${this.#file.number}`, workspace.fd, name, AT_SYMLINK_FOLLOW);
    } catch (error) {
      if (isErrno(error, ENOENT)) throw new CtrError("conflict", `download ${this.#blob.digest} was removed meanwhile`);
      // The same layer twice in one image: the bytes are the same.
      if (!isErrno(error, EEXIST)) throw error;
    }
    return `${workspace.path}/${name}`;
  }

  /** Throws away what was downloaded: it is wrong, or the disk is full. Only the writer may. */
  discard(): void {
    if (!this.#mayWrite()) return;
    ftruncate(this.#file.number, 0);
    this.#foreign = 0;
    this.#unlink();
  }

  /** Lets go of the file; it stays for whoever goes on with it, or until `collectDownloads` finds it in the store. */
  [Symbol.dispose](): void {
    this.#file.close();
  }

  /** Opens the file under its name now, and takes the lock if it is free. */
  #open(): Fd {
    for (;;) {
      using file = open(this.#path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
      this.#isWriter = tryLock(file);
      // Between open and flock it may have been published or collected: then it has no name any more.
      if (this.#isWriter && fstat(file.number).nlink === 0) continue;
      const { size } = fstat(file.number);
      if (this.#isWriter && size > this.#blob.size) ftruncate(file.number, 0);
      this.#foreign = Math.min(size, this.#blob.size);
      return new Fd(file.take());
    }
  }

  #mayWrite(): boolean {
    this.#isWriter ||= tryLock(this.#file);
    return this.#isWriter;
  }

  #unlink(): void {
    if (!exists(AT_FDCWD, this.#path)) return;
    if (statx(AT_FDCWD, this.#path).ino === fstat(this.#file.number).ino) unlinkat(AT_FDCWD, this.#path);
  }

  async *#read(): AsyncGenerator<Uint8Array, void, undefined> {
    const { size } = this.#blob;
    let at = 0;
    for (;;) {
      for (;;) {
        this.#options.signal.throwIfAborted();
        const buffer = new Uint8Array(Math.min(READ_BYTES, size - at));
        const got = buffer.length === 0 ? 0 : pread(this.#file.number, buffer, at);
        if (got === 0) break;
        at += got;
        sweep(buffer.length);
        this.#options.onProgress(at);
        yield buffer.subarray(0, got);
      }
      if (at === size) return;
      if (this.#mayWrite()) {
        // Whoever wrote before may have written more between our reading and the lock.
        if (fstat(this.#file.number).size > at) continue;
        yield* this.#download(at);
        return;
      }
      await this.#grown(at);
    }
  }

  async *#download(from: number): AsyncGenerator<Uint8Array, void, undefined> {
    const { size } = this.#blob;
    let at = from;
    let failures = 0;
    while (at < size) {
      try {
        const { offset, body } = await this.#options.fetch(at);
        let passed = offset;
        for await (const chunk of body) {
          const start = Math.max(0, at - passed);
          passed += chunk.length;
          const fresh = chunk.subarray(start, start + size - at);
          sweep(chunk.length);
          if (fresh.length === 0) continue;
          for (let done = 0; done < fresh.length; ) done += pwrite(this.#file.number, fresh.subarray(done), at + done);
          at += fresh.length;
          failures = 0;
          this.#options.onProgress(at);
          yield fresh;
          if (at === size) break;
        }
        if (at < size) throw new CtrError("unavailable", "unexpected EOF");
      } catch (error) {
        // A full disk is "unavailable" too, but waiting does not help.
        const isWorthTrying =
          error instanceof CtrError && error.kind === "unavailable" && !(error instanceof SyscallError);
        if (!isWorthTrying || ++failures >= MAX_ATTEMPTS || this.#options.signal.aborted) throw error;
        const waitMs = FIRST_WAIT_MS * 2 ** (failures - 1);
        this.#options.onRetry(waitMs);
        await waitOrAbort(waitMs, this.#options.signal);
      }
    }
  }

  /** Waits until the file is longer than `size` or nobody writes it any more (inotify(7)). */
  async #grown(size: number): Promise<void> {
    using inotify = inotifyInit();
    inotifyAddWatch(inotify.number, `/proc/self/fd/${this.#file.number}`, IN_MODIFY | IN_CLOSE_WRITE);
    const reader = Bun.file(inotify.number).stream().getReader();
    const abort = Promise.withResolvers<never>();
    const onAbort = () => abort.reject(this.#options.signal.reason);
    this.#options.signal.addEventListener("abort", onAbort);
    try {
      // What happened before the watch was there.
      if (fstat(this.#file.number).size > size || this.#mayWrite()) return;
      await Promise.race([reader.read(), abort.promise]);
      if (fstat(this.#file.number).size > size) return;
      // Closed, perhaps by the writer's death: the kernel tells that just before it releases the lock.
      for (let tries = 0; tries < 20 && !this.#mayWrite(); tries++) await Bun.sleep(1);
    } finally {
      this.#options.signal.removeEventListener("abort", onAbort);
      await reader.cancel();
    }
  }
}

function downloadPath(root: string, digest: Digest): string {
  return `${root}/downloads/${hexOf(digest)}`;
}

function tryLock(file: Fd): boolean {
  try {
    flock(file.number, LOCK_EX | LOCK_NB);
    return true;
  } catch (error) {
    if (!isErrno(error, EAGAIN)) throw error;
    return false;
  }
}

/** Sleeps; throws the signal's reason as soon as it is aborted. */
async function waitOrAbort(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const woken = Promise.withResolvers<void>();
  const timer = setTimeout(woken.resolve, ms);
  const onAbort = () => woken.reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    await woken.promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

/** How long a broken-off download is kept for whoever tries again. */
const KEPT_MS = 24 * 3600 * 1000;

/**
 * Removes downloads that nobody is writing: those older than a day, and those the store has; with `all` every one.
 * Returns the bytes that were freed.
 */
export function collectDownloads(root: string, all = false): number {
  let opened: Fd;
  try {
    opened = open(`${root}/downloads`, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, ENOENT)) return 0;
    throw error;
  }
  using directory = opened;
  let freed = 0;
  for (const { name } of getdents64(directory.number)) {
    try {
      using file = openat(directory.number, name, O_RDONLY | O_NOFOLLOW);
      if (!tryLock(file)) continue;
      const stat = fstat(file.number);
      const digest = `sha256:${new TextDecoder().decode(name)}`;
      const isStored = isDigest(digest) && exists(AT_FDCWD, blobPath(root, digest));
      const isOld = Date.now() - Number(stat.mtimeNs / 1_000_000n) > KEPT_MS;
      if (!all && !isStored && !isOld) continue;
      unlinkat(directory.number, name);
      if (stat.nlink === 1) freed += stat.blocks * 512;
    } catch (error) {
      if (!isErrno(error, ENOENT)) throw error; // somebody else removed it
    }
  }
  return freed;
}
