/** `ctr images`: the images, newest first. */
import { openEngine, openEngineToRead } from "../../../internal/db/engine.ts";
import { readShownImages } from "../../../internal/image/shown.ts";
import { defineCommand, FORMAT_HELP } from "../command.ts";
import { shownImageIds, shownImagesTable } from "../format/shown-images.ts";
import { print } from "../output.ts";
import { userSetting } from "../user-config.ts";

export const command = defineCommand({
  meta: { name: "images", description: "List images" },
  usage: "[OPTIONS] [REPOSITORY[:TAG]]",
  operands: [0, 1],
  flags: {
    all: { type: "boolean", alias: "a", description: "Show all images (default hides intermediate images)" },
    digests: { type: "boolean", description: "Show digests" },
    filter: {
      type: "string",
      alias: "f",
      repeatable: true,
      valueHint: "filter",
      description: "Filter output based on conditions provided",
    },
    format: { type: "string", description: FORMAT_HELP },
    "no-trunc": { type: "boolean", description: "Don't truncate output" },
    quiet: { type: "boolean", alias: "q", description: "Only show image IDs" },
    tree: { type: "boolean", description: "List each image with what it is made of as a tree" },
  },
  async run({ flags, operands, directories }) {
    const given = flags.format?.trim() ?? "";
    const format = given === "" && !flags.quiet && !flags.tree ? (userSetting("imagesFormat") ?? "") : given;
    using engine = openEngineToRead(directories) ?? openEngine(directories);
    const asksForOthers = operands.length > 0 || flags.all || flags.filter.length > 0;
    const asksForMore = flags.digests || flags["no-trunc"] || flags.tree;
    const isUsual = !asksForOthers && !asksForMore && (format === "" || format === "table");
    const shown = isUsual ? readShownImages(engine) : undefined;
    if (shown !== undefined) {
      print(flags.quiet ? shownImageIds(shown) : shownImagesTable(shown, Date.now()));
      return 0;
    }
    const { printChosenImages } = await import("../chosen-images.ts");
    await printChosenImages(engine, {
      all: flags.all,
      pattern: operands[0],
      filters: flags.filter,
      digests: flags.digests,
      isShort: !flags["no-trunc"],
      isQuiet: flags.quiet,
      isTree: flags.tree,
      format,
    });
    return 0;
  },
});
