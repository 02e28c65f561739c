/** `ctr commit`: a new image from a container's changes. */
import { commit } from "../../../internal/container/commit.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { defineCommand } from "../command.ts";
import { printLine } from "../output.ts";

export const command = defineCommand({
  meta: { name: "commit", description: "Create a new image from a container's changes" },
  usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
  operands: [1, 2],
  flags: {
    author: { type: "string", alias: "a", description: 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")' },
    change: {
      type: "string",
      alias: "c",
      repeatable: true,
      valueHint: "list",
      description: "Apply Dockerfile instruction to the created image",
    },
    message: { type: "string", alias: "m", description: "Commit message" },
    pause: { type: "boolean", alias: "p", default: true, description: "Pause container during commit" },
  },
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    const [container = "", reference] = operands;
    const { author, change: changes, message, pause } = flags;
    printLine(await commit(engine, container, { reference, author, message, changes, pause }));
    return 0;
  },
});
