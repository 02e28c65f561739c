/** `volume ls`: the volumes that pass the filters. */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { listVolumes, usersOf, type Volume } from "./store.ts";

type Test = (volume: Volume) => boolean;

/** The volumes by name; values of one filter are alternatives, labels and different filters all apply. Throws `invalid`. */
export function filterVolumes(engine: Engine, filters: readonly string[]): Volume[] {
  const byKey = new Map<string, string[]>();
  for (const filter of filters) {
    const equals = filter.indexOf("=");
    if (equals < 0)
      throw new CtrError(
        "invalid",
        `invalid argument ${JSON.stringify(filter)}: bad format of filter (expected name=value)`,
      );
    const key = filter.slice(0, equals).trim().toLowerCase();
    byKey.set(key, [...(byKey.get(key) ?? []), filter.slice(equals + 1).trim()]);
  }
  const tests = [...byKey].map(([key, values]) => testOf(engine, key, values));
  return listVolumes(engine).filter((volume) => tests.every((passes) => passes(volume)));
}

function testOf(engine: Engine, key: string, values: readonly string[]): Test {
  switch (key) {
    case "dangling": {
      const isWanted = parseDangling(values);
      return (volume) => (usersOf(engine, volume.name).length === 0) === isWanted;
    }
    case "driver":
      return () => values.includes("local");
    case "name":
      return (volume) => values.some((value) => matches(volume.name, value));
    case "label":
      return ({ labels }) => values.every((value) => hasLabel(labels, value));
    default:
      throw new CtrError("invalid", `invalid filter '${key}'`);
  }
}

function parseDangling(values: readonly string[]): boolean {
  const answers = new Set(values.map((value) => ({ true: true, "1": true, false: false, "0": false })[value]));
  const [answer] = answers;
  if (answers.size !== 1 || answer === undefined) {
    throw new CtrError("invalid", `invalid filter 'dangling=[${values.join(" ")}]'`);
  }
  return answer;
}

/** As Docker: a regular expression; what is none is compared as text. */
function matches(name: string, pattern: string): boolean {
  if (name.includes(pattern)) return true;
  try {
    return new RegExp(pattern).test(name);
  } catch {
    // Not a regular expression, and the text was not found in the name.
    return false;
  }
}

function hasLabel(labels: Volume["labels"], wanted: string): boolean {
  const equals = wanted.indexOf("=");
  const name = equals < 0 ? wanted : wanted.slice(0, equals);
  return Object.hasOwn(labels, name) && (equals < 0 || labels[name] === wanted.slice(equals + 1));
}
