/** What a case of the conformance suite is: one container's life, and what must be true of it, each by its section. */
import { Bundle, Driver, type Json, type Outcome, type Runtime, worldOf } from "./harness.ts";
import type { World } from "./world.ts";

export type Level = "MUST" | "SHOULD" | "MAY";

/** One sentence of the specification. `holds` throws where it does not hold. */
export interface Check<Seen> {
  /** File and anchor: `config.md#root`. */
  readonly section: string;
  readonly level: Level;
  readonly says: string;
  readonly holds: (seen: Seen) => void;
}

/** A sentence and what came of it: undefined is that it holds. */
export interface Verdict {
  readonly section: string;
  readonly level: Level;
  readonly says: string;
  readonly problem: string | undefined;
}

/** A case, whatever it looks at. */
export interface Scene {
  readonly name: string;
  readonly checks: readonly Omit<Check<never>, "holds">[];
  play(which: Runtime): Promise<readonly Verdict[]>;
}

/** Where a case acts: its driver and its bundle. */
export interface Stage {
  readonly driver: Driver;
  readonly bundle: Bundle;
}

export function check<Seen>(section: string, level: Level, says: string, holds: (seen: Seen) => void): Check<Seen> {
  return { section, level, says, holds };
}

/** A case, to be called with its checks: `act` makes what they look at. If it fails, all of them do. */
export function scene<Seen>(
  name: string,
  act: (stage: Stage) => Seen | Promise<Seen>,
): (...checks: readonly Check<Seen>[]) => Scene {
  return (...checks) => ({
    name,
    checks,
    async play(which) {
      using bundle = new Bundle(which);
      using driver = new Driver(which);
      let seen: Seen;
      try {
        seen = await act({ driver, bundle });
      } catch (error) {
        return checks.map(({ section, level, says }) => ({ section, level, says, problem: messageOf(error) }));
      }
      return checks.map(({ section, level, says, holds }) => {
        try {
          holds(seen);
          return { section, level, says, problem: undefined };
        } catch (error) {
          return { section, level, says, problem: messageOf(error) };
        }
      });
    },
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What most cases look at: one container that has run `world` to its end. */
export interface Run {
  readonly world: World;
  /** Answers by their questions. */
  readonly answers: ReadonlyMap<string, unknown>;
  readonly outcome: Outcome;
  readonly bundle: Bundle;
}

type Patch = Json | ((bundle: Bundle) => Json);

/** A container of this configuration runs `world`, which is asked some questions more. */
export function runs(
  name: string,
  patch: Patch,
  questions: readonly string[],
  ...checks: readonly Check<Run>[]
): Scene {
  return scene(name, (stage) => runWorld(stage, patch, questions))(...checks);
}

export function runWorld({ driver, bundle }: Stage, patch: Patch, questions: readonly string[]): Run {
  const given = typeof patch === "function" ? patch(bundle) : patch;
  const own = given["process"];
  const program = typeof own === "object" && own !== null ? own : {};
  bundle.configure({ ...given, process: { args: ["/world", ...questions], ...program } });
  const outcome = driver.run(bundle);
  const world = worldOf(outcome);
  return { world, answers: new Map(questions.map((question, at) => [question, world.answers[at]])), outcome, bundle };
}

/** A configuration that the runtime must refuse, with no container left behind. */
export function refuses(
  name: string,
  patch: Patch,
  section: string,
  level: Level,
  says: string,
  words: RegExp = /./,
): Scene {
  return scene(name, ({ driver, bundle }) => {
    bundle.configure(typeof patch === "function" ? patch(bundle) : patch);
    const outcome = driver.create(bundle);
    return { outcome, after: driver.command("state", bundle.id) };
  })(
    check(section, level, says, ({ outcome, after }) => {
      if (outcome.status === 0) throw new Error("the container was created");
      if (!words.test(outcome.stderr)) throw new Error(`the error is ${outcome.stderr.trim()}`);
      if (after.status === 0) throw new Error("a container is left");
    }),
  );
}

/** Throws unless both are deeply equal. */
export function same(actual: unknown, expected: unknown): void {
  if (!Bun.deepEquals(actual, expected, true)) {
    throw new Error(`${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`);
  }
}

/** Throws `why` unless the claim holds. */
export function that(claim: boolean, why: string): void {
  if (!claim) throw new Error(why);
}

/** Throws unless every part is in the list. */
export function includes(list: readonly string[], ...parts: readonly string[]): void {
  for (const part of parts) that(list.includes(part), `${part} is not among ${list.join(",")}`);
}
