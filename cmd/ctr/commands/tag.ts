/** `ctr tag`: another name for an image. */
import { openEngine } from "../../../internal/db/engine.ts";
import { tagImage } from "../../../internal/image/tags.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  meta: { name: "tag", description: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE" },
  usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
  operands: [2, 2],
  flags: {},
  async run({ operands, directories }) {
    using engine = openEngine(directories);
    const [source = "", target = ""] = operands;
    tagImage(engine, source, target);
    return 0;
  },
});
