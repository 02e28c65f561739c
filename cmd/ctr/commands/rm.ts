/** `ctr rm`: removes containers, running ones too with `-f`. */
import { collectStarts } from "../../../internal/container/collect.ts";
import { removeContainer } from "../../../internal/container/remove.ts";
import { findContainer } from "../../../internal/container/store.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { defineCommand } from "../command.ts";
import { forEachTarget } from "../each.ts";
import { printFailure } from "../fail.ts";

export const command = defineCommand({
  meta: { name: "rm", description: "Remove one or more containers" },
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {
    force: { type: "boolean", alias: "f", description: "Force the removal of a running container (uses SIGKILL)" },
    link: { type: "boolean", alias: "l", description: "Remove the specified link" },
    volumes: { type: "boolean", alias: "v", description: "Remove anonymous volumes associated with the container" },
  },
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    // Problems with others are none of this command's: they are met again by the next one.
    collectStarts(engine);
    if (flags.link) {
      const { removeLink } = await import("../../../internal/container/links.ts");
      return await forEachTarget(operands, async (target) => {
        removeLink(engine, target);
        return target;
      });
    }
    return await forEachTarget(operands, async (target) => {
      try {
        await removeContainer(engine, findContainer(engine, target), flags);
      } catch (error) {
        // What is not there is what was wanted: said, but no failure.
        if (!flags.force || !(error instanceof CtrError) || error.kind !== "not-found") throw error;
        printFailure(error);
        return undefined;
      }
      return target;
    });
  },
});
