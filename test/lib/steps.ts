/**
 * Processes that are killed before one of their calls, by strace. The calls are recorded first, so that none is left to
 * chance. To kill before each of them takes minutes: of those that a file finds, some are drawn, another lot each time
 * (`CTR_TEST_SEED` gives the same lot, `CTR_TEST_STEPS=all` every one).
 */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { randomFractions } from "./random.ts";

/** A call and its number, from 1, among those of its name. */
export type Step<Call extends string = string> = readonly [call: Call, number: number];

const { CTR_TEST_SEED: SEED = String(Date.now() % 100_000), CTR_TEST_STEPS } = process.env;
const next = randomFractions(Number(SEED));

/** True if every step is to be tried. */
export const isEveryStep = CTR_TEST_STEPS === "all";

/** Some of the steps, at most `most`; prints the seed that gives the same again. */
export function drawn<Call extends string>(steps: readonly Step<Call>[], most: number): readonly Step<Call>[] {
  const all = steps.map((step) => ({ step, at: next() })).toSorted((one, other) => one.at - other.at);
  const some = all.slice(0, isEveryStep ? all.length : most).map(({ step }) => step);
  console.error(`CTR_TEST_SEED=${SEED}: ${some.length} of ${steps.length} calls`);
  return some;
}

/** Of strace: writes down the calls of a process, or of each of those that it starts too, in `<log>.<name>`. */
export function recording(log: string, calls: readonly string[], follow: boolean): readonly string[] {
  return [...(follow ? ["-ff", "-o", log] : ["-o", `${log}.one`]), "-e", `trace=${calls.join(",")}`];
}

/** What was recorded at `log`: every step of the process that makes most of each call. The recording is removed. */
export function recordedSteps<Call extends string>(log: string, calls: readonly Call[]): readonly Step<Call>[] {
  const directory = log.slice(0, log.lastIndexOf("/"));
  const most = new Map(calls.map((call) => [call, 0]));
  for (const name of readdirSync(directory)) {
    const path = `${directory}/${name}`;
    if (!path.startsWith(`${log}.`)) continue;
    const lines = readFileSync(path, "utf8").split("\n");
    for (const call of calls) {
      const count = lines.filter((line) => line.startsWith(`${call}(`)).length;
      most.set(call, Math.max(count, most.get(call) ?? 0));
    }
    rmSync(path);
  }
  return [...most].flatMap(([call, count]) =>
    Array.from({ length: count }, (_, index): Step<Call> => [call, index + 1]),
  );
}

/** Of strace: kills whatever is traced before this call of its. */
export function killedBefore([call, number]: Step): readonly string[] {
  return ["-o", "/dev/null", "-e", `trace=${call}`, "-e", `inject=${call}:signal=SIGKILL:when=${number}`];
}
