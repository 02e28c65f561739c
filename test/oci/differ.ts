/** The differential test: random bundles, one by one under several runtimes, and what is not the same for the program. */
import { differences, type Facts, factsOf } from "./compare.ts";
import { explanation } from "./explained.ts";
import { generate } from "./generate.ts";
import { Bundle, Driver, type Json, type Runtime, worldOf } from "./harness.ts";

/** How often a difference was seen, and once in full. */
export interface Seen {
  readonly times: number;
  readonly example: string;
}

/** Explained differences by their explanation, the others by their fact's path. */
export interface Compared {
  readonly explained: ReadonlyMap<string, Seen>;
  readonly unexplained: ReadonlyMap<string, Seen>;
}

/** Compares `count` bundles, the first of seed `seed`. */
export function compareRuntimes(count: number, seed: number, runtimes: readonly Runtime[]): Compared {
  const names = runtimes.map(({ name }) => name);
  const explained = new Map<string, Seen>();
  const unexplained = new Map<string, Seen>();
  for (let at = seed; at < seed + count; at++) {
    let config: Json = {};
    const all = runtimes.map((which) => {
      const ran = runOnce(which, at);
      config = ran.config;
      return ran.facts;
    });
    for (const { path, values } of found(all)) {
      const byName = Object.fromEntries(names.map((name, index) => [name, values[index] ?? ""]));
      const why = explanation(path, byName, config);
      const into = why === undefined ? unexplained : explained;
      const before = into.get(why ?? path);
      const words = names.map((name) => `${name} ${byName[name]}`).join(" | ");
      const example = before?.example ?? `seed ${at}: ${path}: ${words}`;
      into.set(why ?? path, { times: (before?.times ?? 0) + 1, example });
    }
  }
  return { explained, unexplained };
}

const FAILED = "failed";

/** A start that failed hides everything else. */
function found(all: readonly Facts[]) {
  if (!all.some((facts) => facts.has(FAILED))) return differences(all);
  return [{ path: FAILED, values: all.map((facts) => facts.get(FAILED) ?? "runs") }];
}

function runOnce(which: Runtime, seed: number): { readonly facts: Facts; readonly config: Json } {
  using bundle = new Bundle();
  using driver = new Driver(which);
  bundle.configure(generate(seed, bundle));
  const config: Json = JSON.parse(bundle.file("config.json"));
  const outcome = driver.run(bundle);
  try {
    return { facts: factsOf(worldOf(outcome), bundle), config };
  } catch (error) {
    const words = String(error).replaceAll(bundle.path, "<bundle>").replaceAll(bundle.id, "<id>");
    return { facts: new Map([[FAILED, words.replace(/time="[^"]*"/g, "").slice(0, 300)]]), config };
  }
}
