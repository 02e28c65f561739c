import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Digester } from "./digester.ts";
import { O_CREAT, O_WRONLY, open } from "./fd.ts";

const of = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

test("every length around a block has the interpreter's digest", () => {
  const bytes = crypto.getRandomValues(new Uint8Array(300));
  for (let length = 0; length <= bytes.length; length++) {
    using digester = new Digester();
    digester.update(bytes.subarray(0, length));
    expect(digester.hex()).toBe(of(bytes.subarray(0, length)));
  }
});

test("pieces of any size are hashed and written in order, on a thread once there are many", () => {
  const home = mkdtempSync("/tmp/ctr-digester-");
  try {
    const seed = Number(process.env["CTR_FUZZ_SEED"] ?? Date.now() % 1e9);
    let state = seed;
    const below = (most: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state % most;
    };
    const bytes = new Uint8Array(3_000_000).map(() => below(256));
    for (let round = 0; round < 20; round++) {
      using fd = open(`${home}/${round}`, O_WRONLY | O_CREAT, 0o600);
      using digester = new Digester(fd.number);
      const end = below(bytes.length);
      for (let at = 0; at < end; ) {
        const size = Math.min(end - at, below([10, 1000, 100_000, 1_000_000][below(4)] ?? 1));
        digester.update(bytes.subarray(at, at + size));
        at += size;
      }
      const whole = bytes.subarray(0, end);
      expect(digester.hex(), `seed ${seed}`).toBe(of(whole));
      expect(readFileSync(`${home}/${round}`).equals(whole), `seed ${seed}`).toBe(true);
    }
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("a write that fails is told, with the file's name, at the latest at the end", () => {
  for (const size of [100, 200_000]) {
    using fd = open("/dev/full", O_WRONLY);
    using digester = new Digester(fd.number, "blob");
    expect(() => {
      digester.update(new Uint8Array(size));
      digester.settle();
    }).toThrow("blob: no space left on device");
  }
});

test("one that is given up with pieces on their way ends", () => {
  const digester = new Digester();
  const piece = new Uint8Array(1 << 20);
  for (let count = 0; count < 8; count++) digester.update(piece);
  digester[Symbol.dispose]();
  digester[Symbol.dispose]();
});
