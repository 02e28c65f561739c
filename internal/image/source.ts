/** Where the bytes of an import or load come from: a file, standard input, or an http(s) URL. */
import { detectCompression, detectForeign } from "../archive/decompress.ts";
import { withoutForeign } from "../archive/foreign.ts";
import { readChunks, readInTurns } from "../content/blob-store.ts";
import { CtrError, EAGAIN, isErrno } from "../errors/error.ts";
import { O_RDONLY, open, POLLIN, poll, pread } from "../sys/fd.ts";
import { fstat, S_IFMT, S_IFREG } from "../sys/file.ts";
import { sweep } from "../sys/sweep.ts";

const STDIN = 0;

/** The stream of `source`; `-` is standard input. Throws when it cannot be opened, at the first read. */
export function readSource(source: string): AsyncIterable<Uint8Array> {
  if (source === "-") return withoutForeign(readStdin());
  return withoutForeign(/^https?:\/\//.test(source) ? download(source) : readPath(source));
}

/** True for the first bytes of an archive that is not compressed. */
export function isPlain(head: Uint8Array): boolean {
  return detectForeign(head) === undefined && detectCompression(head) === "none";
}

/** An uncompressed file comes in chunks whose memory is used again (`readInTurns`); a decompressor may keep it longer. */
export async function* readPath(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  using fd = open(path, O_RDONLY);
  const isFile = (fstat(fd.number).mode & S_IFMT) === S_IFREG;
  const head = new Uint8Array(6);
  const isInTurns = isFile && isPlain(head.subarray(0, pread(fd.number, head, 0)));
  yield* isInTurns ? readInTurns(fd.number) : readChunks(fd.number);
}

export async function* readStdin(): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    try {
      yield* readChunks(STDIN);
      return;
    } catch (error) {
      if (!isErrno(error, EAGAIN)) throw error;
      // Whoever gave us this pipe left it non-blocking: open(2), O_NONBLOCK is shared.
      poll(STDIN, POLLIN, -1);
    }
  }
}

/** How long a server may be silent before the download is given up. */
const SILENCE_MS = 60_000;

async function* download(url: string): AsyncGenerator<Uint8Array, void, undefined> {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(), SILENCE_MS);
  try {
    const response = await ask(url, abort.signal);
    if (!response.ok) throw new CtrError("not-found", `the server answered ${response.status} ${response.statusText}`);
    if (response.body === null) throw new CtrError("invalid", "the server sent nothing");
    for await (const chunk of response.body) {
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(), SILENCE_MS);
      sweep(chunk.length);
      yield chunk;
    }
  } catch (error) {
    if (abort.signal.aborted)
      throw new CtrError("unavailable", `the server sent nothing for ${SILENCE_MS / 1000} seconds`, { cause: error });
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function ask(url: string, signal: AbortSignal): Promise<Response> {
  try {
    return await fetch(url, { signal });
  } catch (error) {
    if (signal.aborted) throw error;
    // Only where it failed: what registries need is not loaded for an import.
    const { fetchFailure } = await import("../registry/fetch-errors.ts");
    throw fetchFailure("get", error);
  }
}
