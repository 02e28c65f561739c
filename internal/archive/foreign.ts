/**
 * Archives in compressions that no layer has: xz and bzip2. They are undone by the machine's own programs, as Docker does
 * it with xz, and only for what a user imports or loads.
 */
import { CtrError } from "../errors/error.ts";
import { detectForeign, prefixed, readHead } from "./decompress.ts";

const PROGRAMS = { xz: "xz-utils", bzip2: "bzip2" } as const;

/** The stream as it is, or what xz(1) or bzip2(1) makes of it. Throws `unsupported` when the program is not there. */
export async function* withoutForeign(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    const head = await readHead(iterator);
    const foreign = detectForeign(head);
    const whole = prefixed(head, iterator);
    yield* foreign === undefined ? whole : through(foreign, whole);
  } finally {
    await iterator.return?.();
  }
}

async function* through(
  program: keyof typeof PROGRAMS,
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const path = Bun.which(program, { PATH: "/usr/local/bin:/usr/bin:/bin" });
  if (path === null)
    throw new CtrError("unsupported", `${program} archives need the program ${program} (package ${PROGRAMS[program]})`);
  const child = Bun.spawn([path, "-dc"], { env: {}, cwd: "/", stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  const words = child.stderr.text();
  const sourceFailure: { error?: unknown } = {};
  const fed = feed(source, child.stdin, sourceFailure);
  try {
    for await (const chunk of child.stdout) yield chunk;
    await fed;
    if (sourceFailure.error !== undefined) throw sourceFailure.error;
    if ((await child.exited) === 0) return;
    const [why = ""] = (await words).split("\n");
    throw new CtrError("invalid", `not valid ${program} data: ${why.replace(/^\S+: /, "")}`);
  } finally {
    // The consumer may stop early.
    child.kill();
    await child.exited;
  }
}

/** Never rejects: what goes wrong in reading is told by the reader, and a program that ends early by its status. */
async function feed(
  source: AsyncIterable<Uint8Array>,
  sink: Bun.FileSink,
  sourceFailure: { error?: unknown },
): Promise<void> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await iterator.next().catch((error: unknown) => {
        sourceFailure.error = error;
        throw error;
      });
      if (next.done === true) break;
      // A copy: its memory may be used again for the next chunk.
      sink.write(new Uint8Array(next.value));
      await sink.flush();
    }
  } catch {
    // Told by whoever waits for the program.
  } finally {
    await iterator.return?.();
    await Promise.resolve(sink.end()).catch(() => {}); // it has ended already
  }
}
