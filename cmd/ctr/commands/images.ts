/** `ctr images`: the images, newest first. */
import { openEngine, openEngineToRead } from "../../../internal/db/engine.ts";
import { listImages } from "../../../internal/image/list.ts";
import { defineCommand, FORMAT_HELP } from "../command.ts";
import { humanSize, knownAgo } from "../format/duration.ts";
import { print, printTable } from "../output.ts";
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
    using engine = openEngineToRead(directories) ?? openEngine(directories);
    const filter =
      flags.filter.length === 0
        ? undefined
        : (await import("../../../internal/image/filter.ts")).parseImageFilters(engine, flags.filter);
    const images = listImages(engine, {
      all: flags.all,
      pattern: operands[0],
      filter,
      withDigests: flags.digests || /\.Digest\b/.test(flags.format ?? ""),
    });
    const isShort = !flags["no-trunc"];
    const shownId = (id: string) => (isShort ? id.slice("sha256:".length, "sha256:".length + 12) : id);
    const given = flags.format?.trim() ?? "";
    const format = given === "" && !flags.quiet && !flags.tree ? (userSetting("imagesFormat") ?? "") : given;
    const isTable = format === "" || format === "table";
    if (flags.tree) {
      const { printImageTree } = await import("../format/image-tree.ts");
      printImageTree(engine, images, { quiet: flags.quiet, "no-trunc": !isShort, digests: flags.digests, format });
      return 0;
    }
    if (flags.quiet && isTable) {
      print(images.map((image) => `${shownId(image.id)}\n`).join(""));
      return 0;
    }
    if (!isTable) {
      const { formatImages } = await import("../format/images.ts");
      print(formatImages(images, { format, isShort, withDigests: flags.digests, isQuiet: flags.quiet }));
      return 0;
    }
    const nowMs = Date.now();
    printTable(
      ["REPOSITORY", "TAG", ...(flags.digests ? ["DIGEST"] : []), "IMAGE ID", "CREATED", "SIZE"],
      images.map((image) => [
        image.repository,
        image.tag,
        ...(flags.digests ? [image.digest] : []),
        shownId(image.id),
        knownAgo(image.createdMs, nowMs),
        humanSize(image.size),
      ]),
    );
    return 0;
  },
});
