/** `ctr push`: an image to a registry. */
import { parseSize } from "../../../internal/container/units.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { pushImages } from "../../../internal/image/push.ts";
import { parseReference } from "../../../internal/image/reference.ts";
import { loadRegistrySettings } from "../../../internal/registry/settings.ts";
import { defineCommand, type FlagDefinitions } from "../command.ts";
import { countFlag } from "../count-flag.ts";
import { asUsageError } from "../option-errors.ts";
import { printLine, STDOUT } from "../output.ts";
import { openProgress, PROGRESS_FLAG, progressMode } from "../progress.ts";

const PUSH_FLAGS = {
  "all-tags": { type: "boolean", alias: "a", description: "Push all tags of an image to the repository" },
  "chunk-size": { type: "string", valueHint: "bytes", description: "Upload layers in pieces of this size" },
  "disable-content-trust": { type: "boolean", default: true, description: "Skip image signing" },
  "max-concurrent-uploads": {
    type: "string",
    valueHint: "uint",
    description: "Set the max concurrent uploads (default 5)",
  },
  platform: { type: "string", description: "Push only an image of this platform. Formatted as os[/arch[/variant]]" },
  progress: PROGRESS_FLAG,
  quiet: { type: "boolean", alias: "q", description: "Suppress verbose output" },
} as const satisfies FlagDefinitions;

export const command = defineCommand({
  meta: { name: "push", description: "Upload an image to a registry" },
  usage: "[OPTIONS] NAME[:TAG]",
  operands: [1, 1],
  flags: PUSH_FLAGS,
  async run({ flags, operands, directories }) {
    const [reference = ""] = operands;
    const mode = progressMode(flags, STDOUT);
    const maxUploads = countFlag(flags["max-concurrent-uploads"], "max concurrent uploads");
    const chunk = flags["chunk-size"];
    const chunkSize =
      chunk === undefined ? undefined : asUsageError("push", PUSH_FLAGS, () => parseSize("chunk-size", chunk));
    using engine = openEngine(directories);
    let name: string;
    {
      using progress = openProgress(mode, STDOUT);
      const { tag, digest } = parseReference(reference);
      if (!flags["all-tags"] && tag === undefined && digest === undefined) {
        progress.event({ status: "Using default tag: latest" });
      }
      name = await pushImages(engine, {
        reference,
        allTags: flags["all-tags"],
        platform: flags.platform,
        settings: loadRegistrySettings(process.env),
        ...(maxUploads === undefined ? {} : { maxUploads }),
        ...(chunkSize === undefined ? {} : { chunkSize }),
        onEvent: (event) => progress.event(event),
      });
    }
    if (mode === "quiet") printLine(name);
    return 0;
  },
});
