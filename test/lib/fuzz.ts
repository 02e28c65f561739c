/**
 * A small mutation fuzzer: seeds are changed, as bytes or as the tree of a JSON document, and given to what reads them. It may
 * only return or throw an error meant for a user, and may not take long. The same seed number makes the same cases.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { CtrError } from "../../internal/errors/error.ts";
import { damaged } from "./hostile-tar.ts";
import { randomNumbers } from "./random.ts";

export type Mutation = "bytes" | "json" | "tar";

export interface FuzzTarget {
  readonly mutations: readonly Mutation[];
  readonly seeds: readonly (Uint8Array | string)[];
  /** Words of the format, put in here and there. */
  readonly words?: readonly string[];
  /** Reads the bytes. A wrong answer it can tell by itself is an Error. */
  readonly read: (bytes: Uint8Array) => void | Promise<void>;
  /** What one case may take; 250 ms unless told otherwise. */
  readonly limitMs?: number;
}

export interface Finding {
  readonly bytes: Uint8Array;
  readonly why: string;
}

const KEPT = `${import.meta.dir}/../fuzz`;
const encoder = new TextEncoder();

/** The cases of a topic that are kept in test/fuzz/<topic>: found once, read for ever. */
export function keptCases(topic: string): readonly { readonly name: string; readonly bytes: Uint8Array }[] {
  const directory = `${KEPT}/${topic}`;
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .toSorted()
    .map((name) => ({ name, bytes: readFileSync(`${directory}/${name}`) }));
}

/** Writes a found case down and gives its path. */
export function keepCase(topic: string, { bytes }: Finding): string {
  mkdirSync(`${KEPT}/${topic}`, { recursive: true });
  const path = `${KEPT}/${topic}/${new Bun.CryptoHasher("sha256").update(bytes).digest("hex").slice(0, 12)}`;
  writeFileSync(path, bytes);
  return path;
}

/** What is wrong with how these bytes are read, if anything. */
export async function tryCase(target: FuzzTarget, bytes: Uint8Array): Promise<string | undefined> {
  const start = performance.now();
  try {
    // A copy: whoever reads may keep or change it.
    await target.read(bytes.slice());
  } catch (error) {
    if (!(error instanceof CtrError)) return error instanceof Error ? `${error.stack}` : String(error);
  }
  const tookMs = performance.now() - start;
  return tookMs > (target.limitMs ?? 250) ? `took ${Math.round(tookMs)} ms` : undefined;
}

/** Runs cases until the time is over; gives their number, and the first that is wrong. */
export async function fuzz(
  target: FuzzTarget,
  seed: number,
  budgetMs: number,
): Promise<{ readonly cases: number; readonly finding?: Finding }> {
  const next = randomNumbers(seed);
  const seeds = target.seeds.map((text) => (typeof text === "string" ? encoder.encode(text) : text));
  const corpus = [...seeds];
  const end = performance.now() + budgetMs;
  for (let cases = 0; ; cases++) {
    if (performance.now() > end) return { cases };
    const bytes = mutate(target, corpus, next);
    const why = await tryCase(target, bytes);
    // Slow once may be the machine.
    const stays = why?.startsWith("took") === true ? await tryCase(target, bytes) : why;
    if (stays !== undefined) return { cases, finding: { bytes, why: stays } };
    // A changed case is where the next change may start from, with a few of them at a time.
    if (bytes.length < 1 << 16 && next(8) === 0) corpus[seeds.length + next(32)] = bytes;
  }
}

type Next = (limit: number) => number;

function pick<T>(list: readonly T[], next: Next): T | undefined {
  const known = list.filter((item) => item !== undefined);
  return known[next(known.length)];
}

function mutate(target: FuzzTarget, corpus: readonly Uint8Array[], next: Next): Uint8Array {
  const base = pick(corpus, next) ?? new Uint8Array();
  switch (pick(target.mutations, next)) {
    case "json":
      return mutateJson(base, target, next) ?? mutateBytes(base, corpus, target, next);
    case "tar":
      return base.length >= 512 ? damaged(base, next) : base;
    default:
      return mutateBytes(base, corpus, target, next);
  }
}

const BYTES = [0, 1, 0x7f, 0x80, 0xc0, 0xdc, 0xff, 0x0a, 0x22, 0x2f, 0x3a, 0x5c, 0x7b];
const WORDS = [
  "",
  "\0",
  "\n",
  "../",
  "/",
  ":",
  "-1",
  "99999999999999999999",
  "é",
  "\ud800",
  "\u202e",
  "\x1b[2J",
  "__proto__",
];

function mutateBytes(
  base: Uint8Array,
  corpus: readonly Uint8Array[],
  { words = [] }: FuzzTarget,
  next: Next,
): Uint8Array {
  let bytes: Uint8Array = base.slice();
  const put = (at: number, gone: number, what: Uint8Array) => {
    bytes = Buffer.concat([bytes.subarray(0, at), what, bytes.subarray(at + gone)]);
  };
  for (let times = 1 + next(6); times > 0; times--) {
    const at = next(bytes.length + 1);
    switch (next(9)) {
      case 0:
        if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8));
        break;
      case 1:
        if (at < bytes.length) bytes[at] = BYTES[next(BYTES.length)] ?? 0;
        break;
      case 2:
        put(at, next(16), new Uint8Array());
        break;
      case 3:
        put(at, 0, bytes.slice(at, at + next(64)));
        break;
      case 4:
        put(at, next(4), encoder.encode(pick([...WORDS, ...words], next) ?? ""));
        break;
      case 5:
        bytes = bytes.slice(0, at);
        break;
      case 6: {
        const other = pick(corpus, next) ?? bytes;
        const from = next(other.length + 1);
        put(at, next(32), other.slice(from, from + next(128)));
        break;
      }
      case 7:
        put(at, 0, new Uint8Array(next(300)).fill(bytes[at] ?? 0x61));
        break;
      default: {
        const view = new DataView(new ArrayBuffer(4));
        view.setUint32(0, pick([0, 1, 4, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff], next) ?? 0, next(2) === 0);
        if (at + 4 <= bytes.length) put(at, 4, new Uint8Array(view.buffer).slice(0, 1 + next(4)));
      }
    }
  }
  return bytes.length > 1 << 17 ? bytes.slice(0, 1 << 17) : bytes;
}

const VALUES: readonly unknown[] = [
  ...[
    null,
    true,
    false,
    0,
    -1,
    1,
    0.5,
    1e308,
    -1e308,
    2 ** 31,
    2 ** 32,
    2 ** 53,
    2 ** 64,
    "",
    " ",
    "x",
    "\0",
    "../..",
    "/",
  ],
  ...["a".repeat(300), "é", "\ud800", "\u202e", "\n", [], {}, [[]], [{}], { "": "" }, ["", 0, null], { __proto__x: 1 }],
  ...["sha256:", `sha256:${"0".repeat(64)}`, "0", "-1", "1e9", "NaN"],
];

/** One to three places of the document changed: another value, gone, doubled, moved, deeper. */
function mutateJson(base: Uint8Array, { words = [] }: FuzzTarget, next: Next): Uint8Array | undefined {
  let root: { value: unknown };
  try {
    root = { value: JSON.parse(new TextDecoder().decode(base)) };
  } catch {
    return undefined; // changed as bytes before
  }
  for (let times = 1 + next(3); times > 0; times--) {
    const places = placesOf(root);
    const place = pick(places, next);
    if (place === undefined) break;
    const [holder, key] = place;
    const other = pick(places, next);
    switch (next(6)) {
      case 0:
        Reflect.deleteProperty(holder, key);
        break;
      case 1:
        if (other !== undefined) Reflect.set(holder, key, structuredClone(Reflect.get(other[0], other[1])));
        break;
      case 2:
        Reflect.set(holder, key, [Reflect.get(holder, key)]);
        break;
      case 3:
        Reflect.set(holder, `${key}${pick(["", " ", "x", "X"], next)}`, Reflect.get(holder, key));
        break;
      default:
        Reflect.set(holder, key, structuredClone(pick([...VALUES, ...words], next)));
    }
    if (placesOf(root).length > 3000) break;
  }
  const text = JSON.stringify(root.value) ?? "";
  // As no JSON.stringify would write it: a key twice, and one that is special here.
  return encoder.encode(next(10) === 0 ? text.replace("{", '{"__proto__":{"a":1},"__proto__":[],') : text);
}

function placesOf(root: object): (readonly [holder: object, key: string])[] {
  const places: (readonly [object, string])[] = [];
  const visit = (holder: object) => {
    for (const [key, value] of Object.entries(holder)) {
      places.push([holder, key]);
      if (typeof value === "object" && value !== null) visit(value);
    }
  };
  visit(root);
  return places;
}
