/** `ctr images`: the images, newest first. */
import { openEngine } from "../../../internal/db/engine.ts";
import { listImages } from "../../../internal/image/list.ts";
import { defineCommand } from "../command.ts";
import { humanAgo, humanSize } from "../format/duration.ts";
import { print, printTable } from "../output.ts";

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
    format: {
      type: "string",
      description:
        "Format output using a custom template:\n'table':            Print output in table format with column headers (default)\n" +
        "'table TEMPLATE':   Print output in table format using the given Go template\n'json':             Print in JSON format\n" +
        "'TEMPLATE':         Print output using the given Go template.",
    },
    "no-trunc": { type: "boolean", description: "Don't truncate output" },
    quiet: { type: "boolean", alias: "q", description: "Only show image IDs" },
  },
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    const withDigests = flags.digests || /\.Digest\b/.test(flags.format ?? "");
    const images = listImages(engine, { all: flags.all, pattern: operands[0], filters: flags.filter, withDigests });
    const shownId = (id: string) => (flags["no-trunc"] ? id : id.slice("sha256:".length, "sha256:".length + 12));
    const format = flags.format?.trim();
    if (flags.quiet && (format === undefined || format === "table")) {
      print(images.map((image) => `${shownId(image.id)}\n`).join(""));
      return 0;
    }
    if (format !== undefined && format !== "") {
      const { formatImages } = await import("../format/images.ts");
      print(formatImages(images, { format, isShort: !flags["no-trunc"], withDigests: flags.digests }));
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
        humanAgo(image.createdMs, nowMs),
        humanSize(image.size),
      ]),
    );
    return 0;
  },
});
