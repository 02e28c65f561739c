/** Compressing a stream as it flows; the same bytes give the same output (no time, no name in the header). */

/** The stream, compressed. */
export async function* compress(
  source: AsyncIterable<Uint8Array>,
  kind: "gzip",
): AsyncGenerator<Uint8Array, void, undefined> {
  const stream = new CompressionStream(kind);
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();
  const pump = feed(source, writer);
  // It is awaited at the end; a failure reaches the reader too.
  pump.catch(() => {});
  try {
    for (;;) {
      const next = await reader.read();
      if (next.done) break;
      yield next.value;
    }
    await pump;
  } finally {
    await reader.cancel().catch(() => {}); // fails only if the stream has failed, which has been told
  }
}

async function feed(
  source: AsyncIterable<Uint8Array>,
  writer: ReturnType<CompressionStream["writable"]["getWriter"]>,
): Promise<void> {
  try {
    for await (const chunk of source) await writer.write(chunk as Uint8Array<ArrayBuffer>); // never shared memory
    await writer.close();
  } catch (error) {
    await writer.abort(error).catch(() => {}); // already broken: the reader has the reason
    throw error;
  }
}
