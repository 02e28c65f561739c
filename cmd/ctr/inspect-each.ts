/** What the commands that inspect have in common: every target is looked at, what is missing is told at the end. */
import type { Engine } from "../../internal/db/engine.ts";
import { CtrError, type ErrorKind } from "../../internal/errors/error.ts";
import { harmless } from "./fail.ts";
import { safeJson } from "./format/safe.ts";
import { print, printError } from "./output.ts";

export type Inspected = { readonly [field: string]: unknown };

/**
 * Prints what `look` gives for each target: one JSON list, or the format for each. Undefined, or `not-found` with no
 * more to say than that, is a missing `what`. Returns the exit status.
 */
export async function inspectEach(
  what: string,
  format: string | undefined,
  targets: readonly string[],
  look: (target: string) => Promise<Inspected | undefined>,
): Promise<number> {
  const { compileObjectFormat, sortedMaps } = await import("./format/object.ts");
  const show = format === undefined || format === "" ? undefined : compileObjectFormat(format);
  const found: Inspected[] = [];
  const missing: string[] = [];
  for (const target of targets) {
    try {
      const object = await look(target);
      if (object === undefined) missing.push(`Error: No such ${what}: ${target}`);
      else found.push(object);
    } catch (error) {
      if (!(error instanceof CtrError) || (error.kind !== "not-found" && error.kind !== "invalid")) throw error;
      missing.push(`Error: ${error.message}`);
    }
  }
  if (show === undefined) print(`${safeJson(sortedMaps(found), 4)}\n`);
  else if (found.length === 0)
    print("\n"); // as Docker
  else for (const object of found) print(`${show(object)}\n`);
  // After what was found, as Docker does.
  for (const line of missing) printError(harmless(line));
  return missing.length === 0 ? 0 : 1;
}

/** One container; with its sizes if they are asked for. */
export async function inspectOneContainer(engine: Engine, target: string, withSize: boolean): Promise<Inspected> {
  const [{ currentContainer, execIds }, { inspectContainer }] = await Promise.all([
    import("../../internal/container/control.ts"),
    import("../../internal/container/inspect.ts"),
  ]);
  const record = currentContainer(engine, target);
  const object = inspectContainer(engine, record, await execIds(engine, record));
  if (!withSize) return object;
  const { containerSizes } = await import("../../internal/container/sizes.ts");
  const { writable, total } = containerSizes(engine, record);
  return { ...object, SizeRw: writable, SizeRootFs: total };
}

/** Undefined where `look` fails with one of these kinds. */
export async function unless(
  kinds: readonly ErrorKind[],
  look: () => Promise<Inspected>,
): Promise<Inspected | undefined> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof CtrError && kinds.includes(error.kind)) return undefined;
    throw error;
  }
}
