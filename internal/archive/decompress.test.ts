import { expect, test } from "bun:test";
import { type Compression, decompress, detectCompression } from "./decompress.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

async function* pieces(whole: Uint8Array, size: number): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < whole.length; at += size) yield whole.slice(at, at + size);
}

async function read(source: AsyncIterable<Uint8Array>, onDetect?: (compression: Compression) => void): Promise<string> {
  return Buffer.concat(await Array.fromAsync(decompress(source, onDetect))).toString();
}

const TEXT = "some text that repeats, ".repeat(5000);
const GZIP = Bun.gzipSync(TEXT);
const ZSTD = new Uint8Array(Bun.zstdCompressSync(TEXT));

test.each<[Compression, Uint8Array]>([
  ["none", bytes(TEXT)],
  ["gzip", GZIP],
  ["zstd", ZSTD],
])("%s comes out as it went in, whatever the chunks", async (compression, stored) => {
  for (const size of [1, 7, 1000, stored.length]) {
    let detected: Compression | undefined;
    const text = await read(pieces(stored, size), (found) => {
      detected = found;
    });
    expect(detected).toBe(compression);
    expect(text === TEXT).toBe(true);
  }
});

test("several members in a row are one stream", async () => {
  const source = pieces(Buffer.concat([Bun.gzipSync("a"), Bun.gzipSync("b")]), 5);
  expect(await read(source)).toBe("ab");
});

test.each([
  ["gzip", GZIP.slice(0, -6)],
  ["zstd", ZSTD.slice(0, -6)],
  ["gzip", Buffer.concat([GZIP.slice(0, 40), bytes("rubbish"), GZIP.slice(47)])],
])("damaged %s is refused", async (kind, stored) => {
  await expect(read(pieces(stored, 100))).rejects.toThrow(`not valid ${kind} data`);
});

test("an error of the source comes through as it is", async () => {
  async function* failing() {
    yield GZIP.slice(0, 50);
    throw new Error("the disk is full");
  }
  await expect(read(failing())).rejects.toThrow("the disk is full");
});

test("a reader that stops early ends the source", async () => {
  let isClosed = false;
  async function* watched() {
    try {
      for (;;) yield GZIP;
    } finally {
      isClosed = true;
    }
  }
  for await (const _ of decompress(watched())) break;
  expect(isClosed).toBe(true);
});

test("what is short is passed through", async () => {
  expect(await read(pieces(bytes("abc"), 1))).toBe("abc");
  expect(await read(pieces(new Uint8Array(0), 1))).toBe("");
});

test.each([
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
  ["bzip2", [0x42, 0x5a, 0x68, 0x39, 0, 0]],
])("%s is named as not supported", (name, head) => {
  expect(() => detectCompression(new Uint8Array(head))).toThrow(`${name} compression is not supported`);
});
