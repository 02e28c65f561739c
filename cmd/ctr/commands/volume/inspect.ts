/** `ctr volume inspect`: volumes as JSON. */
import { openEngine } from "../../../../internal/db/engine.ts";
import { CtrError } from "../../../../internal/errors/error.ts";
import { inspectVolume } from "../../../../internal/volume/inspect.ts";
import { findVolume } from "../../../../internal/volume/store.ts";
import { defineCommand, INSPECT_HELP } from "../../command.ts";
import { printFailure } from "../../fail.ts";
import { safeJson } from "../../format/safe.ts";
import { print } from "../../output.ts";

export const command = defineCommand({
  meta: { name: "inspect", description: "Display detailed information on one or more volumes" },
  usage: "[OPTIONS] VOLUME [VOLUME...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {
    format: {
      type: "string",
      alias: "f",
      description: INSPECT_HELP,
    },
  },
  async run({ flags, operands, directories }) {
    const show =
      flags.format === undefined || flags.format === ""
        ? undefined
        : (await import("../../format/object.ts")).compileObjectFormat(flags.format);
    using engine = openEngine(directories);
    const found: object[] = [];
    const missing: string[] = [];
    for (const name of operands) {
      const volume = findVolume(engine, name);
      if (volume === undefined) missing.push(name);
      else found.push(inspectVolume(engine, volume));
    }
    if (show === undefined) print(`${safeJson(found, 4)}\n`);
    else if (found.length === 0)
      print("\n"); // as Docker
    else for (const object of found) print(`${show(object)}\n`);
    // After what was found, as Docker does.
    for (const name of missing) printFailure(new CtrError("not-found", `get ${name}: no such volume`));
    return missing.length === 0 ? 0 : 1;
  },
});
