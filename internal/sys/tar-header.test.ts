import { expect, test } from "bun:test";
import { checksum } from "../archive/block.ts";
import { signedNumber } from "../archive/tar-reader.ts";
import { readTarHeader, tarFields } from "./tar-header.ts";

const NUMBERS: readonly (readonly [at: number, length: number])[] = [
  [124, 12],
  [100, 8],
  [108, 8],
  [116, 8],
  [136, 12],
];
const TEXTS: readonly (readonly [at: number, length: number])[] = [
  [0, 100],
  [157, 100],
  [345, 155],
];

/** What the tar reader's own parser makes of a field. */
function expected(block: Uint8Array, at: number, length: number): number {
  try {
    return signedNumber(block, at, length, "x");
  } catch {
    return Number.NaN;
  }
}

test("any bytes are read as the interpreter reads them", () => {
  const seed = Number(process.env["CTR_FUZZ_SEED"] ?? Date.now() % 1e9);
  let state = seed;
  const below = (most: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % most;
  };
  // What numbers are written with, and what they are not.
  const usual = [0, 0x20, 0x30, 0x31, 0x37, 0x30, 0x35, 0x36, 0x38, 0x80, 0xff, 0x2d];
  const fields = tarFields();
  for (let round = 0; round < 5000; round++) {
    const block = new Uint8Array(512).map(() => (below(40) === 0 ? below(256) : (usual[below(9)] ?? 0)));
    for (const [at] of NUMBERS) if (below(2) === 0) block[at] = [0x80, 0xff, 0xc0, 0x30][below(4)] ?? 0;
    if (below(2) === 0) block.set(new TextEncoder().encode("ustar\0"), 257);
    block.set(new TextEncoder().encode(`${checksum(block).toString(8).padStart(6, "0")}\0 `), 148);
    expect(readTarHeader(block, fields), `seed ${seed}`).toBe("header");
    for (const [index, [at, length]] of NUMBERS.entries())
      expect(fields[index], `seed ${seed}: ${block.subarray(at, at + length)}`).toBe(expected(block, at, length));
    const isUstar = new TextDecoder("latin1").decode(block.subarray(257, 263)) === "ustar\0";
    for (const [index, [at, length]] of TEXTS.entries()) {
      const nul = block.subarray(at, at + length).indexOf(0);
      const textLength = nul < 0 ? length : nul;
      expect(fields[5 + index], `seed ${seed}`).toBe(index === 2 && !isUstar ? 0 : textLength);
    }
    const at = below(148);
    block[at] = ((block[at] ?? 0) + 1 + below(255)) % 256;
    expect(readTarHeader(block, fields), `seed ${seed}`).toBe("damaged");
  }
});

test("zeros are the end; a sum of signed bytes is a sum too", () => {
  const fields = tarFields();
  expect(readTarHeader(new Uint8Array(512), fields)).toBe("end");
  const block = new Uint8Array(512).fill(0xe4, 0, 4);
  const signed = checksum(block) - 4 * 256;
  block.set(new TextEncoder().encode(`${signed.toString(8).padStart(6, "0")}\0 `), 148);
  expect(readTarHeader(block, fields)).toBe("header");
});
