/** `ctr pull`: an image from a registry. */
import { openEngine } from "../../../internal/db/engine.ts";
import { pullImages } from "../../../internal/image/pull.ts";
import { parseReference } from "../../../internal/image/reference.ts";
import { loadRegistrySettings } from "../../../internal/registry/settings.ts";
import { defineCommand } from "../command.ts";
import { countFlag } from "../count-flag.ts";
import { printLine, STDOUT } from "../output.ts";
import { openProgress, PROGRESS_FLAG, progressMode } from "../progress.ts";

export const command = defineCommand({
  meta: { name: "pull", description: "Download an image from a registry" },
  usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
  operands: [1, 1],
  flags: {
    "all-tags": { type: "boolean", alias: "a", description: "Download all tagged images in the repository" },
    "disable-content-trust": { type: "boolean", default: true, description: "Skip image verification" },
    "max-concurrent-downloads": {
      type: "string",
      valueHint: "uint",
      description: "Set the max concurrent downloads (default 3)",
    },
    platform: { type: "string", description: "Set platform if server is multi-platform capable" },
    progress: PROGRESS_FLAG,
    quiet: { type: "boolean", alias: "q", description: "Suppress verbose output" },
  },
  async run({ flags, operands, directories }) {
    const [reference = ""] = operands;
    const mode = progressMode(flags, STDOUT);
    const maxDownloads = countFlag(flags["max-concurrent-downloads"], "max concurrent downloads");
    using engine = openEngine(directories);
    let name: string;
    {
      using progress = openProgress(mode, STDOUT);
      const { tag, digest } = parseReference(reference);
      if (!flags["all-tags"] && tag === undefined && digest === undefined) {
        progress.event({ status: "Using default tag: latest" });
      }
      name = await pullImages(engine, {
        reference,
        allTags: flags["all-tags"],
        platform: flags.platform || undefined,
        settings: loadRegistrySettings(process.env),
        ...(maxDownloads === undefined ? {} : { maxDownloads }),
        onEvent: (event) => progress.event(event),
      });
    }
    if (mode !== "json") printLine(name);
    return 0;
  },
});
