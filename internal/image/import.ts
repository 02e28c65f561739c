/** `import`: a root file system in a tar becomes an image of one layer. */
import { BlobWriter } from "../content/blob-store.ts";
import { openWorkspace } from "../content/workspace.ts";
import type { Engine } from "../db/engine.ts";
import { loadEngineConfig } from "../db/engine-config.ts";
import { withContext } from "../errors/error.ts";
import { applyChanges } from "./changes.ts";
import { prepareStore } from "./collect.ts";
import { recordImageEvent } from "./event.ts";
import { LAYER_TYPES } from "./media-types.ts";
import { hostPlatform, parsePlatform } from "./platform.ts";
import { prepareImage, publishImages } from "./publish.ts";
import { parseTarget } from "./reference.ts";
import { readSource } from "./source.ts";
import { unpackBlob } from "./unpack-blob.ts";

export interface ImportOptions {
  /** A path, `-` for standard input, or an http(s) URL. */
  readonly source: string;
  /** As the user typed it. */
  readonly reference: string | undefined;
  /** Dockerfile instructions, see changes.ts. */
  readonly changes: readonly string[];
  readonly message: string | undefined;
  readonly platform: string | undefined;
}

/** Imports and returns the image's id. The blob is stored as it came: plain, gzip or zstd. */
export async function importImage(engine: Engine, options: ImportOptions): Promise<string> {
  const references = options.reference === undefined ? [] : [parseTarget(options.reference)];
  const config = applyChanges({}, options.changes);
  const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform);
  const limits = loadEngineConfig({ CTR_CONFIG: engine.config }).layerLimits;
  prepareStore(engine);
  using workspace = openWorkspace(engine.root);
  using blob = new BlobWriter(workspace, "layer");
  try {
    const { layer, diffId, compression } = await unpackBlob(readSource(options.source), workspace, [], {
      keep: blob,
      limits,
    });
    const written = blob.finish();
    const created = new Date().toISOString();
    const isUrl = /^https?:\/\//.test(options.source);
    const comment = options.message ?? `Imported from ${isUrl ? options.source : "-"}`;
    const configText = JSON.stringify({
      created,
      comment,
      architecture: platform.architecture,
      ...(platform.variant === undefined ? {} : { variant: platform.variant }),
      os: platform.os,
      config,
      rootfs: { type: "layers", diff_ids: [diffId] },
      history: [{ created, comment }],
    });
    const only = {
      chainId: diffId,
      diffId,
      blob: { ...written, path: blob.path },
      mediaType: LAYER_TYPES[compression],
      unpacked: layer,
    };
    const image = prepareImage(workspace, { configText, layers: [only], parent: undefined, references });
    const [id = ""] = publishImages(engine, workspace, [image], ({ config }) =>
      recordImageEvent(engine, "import", config.digest, config.digest),
    );
    return id;
  } catch (error) {
    throw withContext(`import ${options.source}`, error);
  }
}
