/** `ctr manifest inspect`: a manifest or a list of them, as the registry has it. */
import { CtrError } from "../../../../internal/errors/error.ts";
import { formatReference, parseReference, withDefaultTag } from "../../../../internal/image/reference.ts";
import { manifestView, verboseView } from "../../../../internal/registry/inspect-manifest.ts";
import { openRepository } from "../../../../internal/registry/repository.ts";
import { loadRegistrySettings, withInsecure } from "../../../../internal/registry/settings.ts";
import { defineCommand } from "../../command.ts";
import { safeJson } from "../../format/safe.ts";
import { printLine } from "../../output.ts";

export const command = defineCommand({
  meta: { name: "inspect", description: "Display an image manifest, or manifest list" },
  usage: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
  operands: [1, 2],
  flags: {
    insecure: { type: "boolean", description: "Allow communication with an insecure registry" },
    verbose: {
      type: "boolean",
      alias: "v",
      description: "Output additional info including layers and platform",
    },
  },
  async run({ flags, operands }) {
    // A local list (`docker manifest create`) is not among what ctr keeps: the manifest is the registry's either way.
    const typed = operands.at(-1) ?? "";
    const reference = withDefaultTag(parseReference(typed));
    const loaded = loadRegistrySettings(process.env);
    const settings = flags.insecure ? withInsecure(loaded, reference.domain) : loaded;
    await using repository = await openRepository(reference, { settings, actions: "pull" });
    const found = await repository.manifest(reference.digest ?? reference.tag ?? "latest").catch((error) => {
      const isMissing = error instanceof CtrError && error.kind === "not-found";
      throw isMissing ? new CtrError("not-found", `no such manifest: ${typed}`, { cause: error }) : error;
    });
    if (flags.verbose) {
      printLine(safeJson(await verboseView(repository, formatReference(reference), found), "\t"));
    } else {
      const { isList, view } = manifestView(found);
      printLine(safeJson(view, isList ? "   " : "\t"));
    }
    return 0;
  },
});
