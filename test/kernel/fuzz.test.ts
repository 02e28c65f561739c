/**
 * Everything that reads bytes of others, fuzzed for a moment, and the cases that were found before: scripts/fuzz has more time.
 *
 *   CTR_FUZZ_SECONDS=60 CTR_FUZZ_SEED=7 bun test test/kernel/fuzz.test.ts -t "fuzz tar"
 */
import { afterAll, describe, expect, test } from "bun:test";
import { fuzz, keepCase, keptCases, tryCase } from "../lib/fuzz.ts";
import { TARGETS } from "../lib/fuzz-targets.ts";

const SECONDS = Number(process.env["CTR_FUZZ_SECONDS"] ?? 0.3);
const SEED = Number(process.env["CTR_FUZZ_SEED"] ?? 1);
const counts: string[] = [];
afterAll(() => console.error(`seed ${SEED}: ${counts.join(", ")}`));

for (const [topic, target] of Object.entries(TARGETS)) {
  describe(`fuzz ${topic}`, () => {
    test("the seeds are read without an error", async () => {
      for (const seed of target.seeds) {
        await target.read(typeof seed === "string" ? new TextEncoder().encode(seed) : seed.slice());
      }
    });

    for (const { name, bytes } of keptCases(topic)) {
      test(`kept case ${name}`, async () => expect(await tryCase(target, bytes)).toBeUndefined());
    }

    test(
      `is read, or refused in words, and in no time (seed ${SEED})`,
      async () => {
        const { cases, finding } = await fuzz(target, SEED, SECONDS * 1000);
        counts.push(`${topic} ${cases}`);
        if (finding !== undefined) throw new Error(`${keepCase(topic, finding)}: ${finding.why}`);
        expect(cases).toBeGreaterThan(0);
      },
      SECONDS * 1000 + 30_000,
    );
  });
}
