/**
 * Compares random bundles under several runtimes and prints what differs. Ends with status 1 if anything is not explained.
 *
 *   bun test/oci/diff.ts COUNT SEED RUNTIME...
 */
import { compareRuntimes, type Seen } from "./differ.ts";
import { runtime } from "./harness.ts";

const [count = "20", seed = "1", ...names] = process.argv.slice(2);
console.log(`${count} bundles from seed ${seed}: ${names.join(", ")}`);
const { explained, unexplained } = compareRuntimes(Number(count), Number(seed), names.map(runtime));
print("explained", explained);
print("not explained", unexplained);
console.log(`\n${explained.size} kinds of differences explained, ${unexplained.size} not`);
process.exit(unexplained.size === 0 ? 0 : 1);

function print(title: string, all: ReadonlyMap<string, Seen>): void {
  if (all.size > 0) console.log(`\n${title}:`);
  for (const [key, { times, example }] of [...all].sort(([, a], [, b]) => b.times - a.times)) {
    console.log(`${String(times).padStart(5)} ${key}\n      ${example}`);
  }
}
