/** `ctr diff`: what a container changed of its image's files. */
import { changesOf } from "../../../internal/container/changes.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { defineCommand } from "../command.ts";
import { harmless } from "../fail.ts";
import { print } from "../output.ts";

export const command = defineCommand({
  meta: { name: "diff", description: "Inspect changes to files or directories on a container's filesystem" },
  usage: "CONTAINER",
  operands: [1, 1],
  flags: {},
  async run({ operands, directories }) {
    using engine = openEngine(directories);
    const [container = ""] = operands;
    print(
      changesOf(engine, container)
        .map(({ kind, path }) => `${kind} ${harmless(path)}\n`)
        .join(""),
    );
    return 0;
  },
});
