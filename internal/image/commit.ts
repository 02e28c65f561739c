/** `commit`: what a container changed becomes a layer on top of its image's. */
import { readTarEvents } from "../archive/tar-reader.ts";
import { writeTar } from "../archive/tar-writer.ts";
import { BlobWriter } from "../content/blob-store.ts";
import { chainIds } from "../content/digest.ts";
import { openWorkspace, type Workspace } from "../content/workspace.ts";
import type { Engine } from "../db/engine.ts";
import { CtrError, withContext } from "../errors/error.ts";
import { diffUpper } from "../snapshot/diff.ts";
import { prepareLayer } from "../snapshot/layers.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { S_IFDIR, S_IFMT, S_IFREG, type Stat } from "../sys/file.ts";
import { applyChanges } from "./changes.ts";
import { prepareStore } from "./collect.ts";
import { type ImageConfig, parseImageConfig, parseRunConfig } from "./config.ts";
import { LAYER_TYPES } from "./media-types.ts";
import { hostPlatform } from "./platform.ts";
import { installedLayers, type PreparedLayer, prepareImage, publishImages } from "./publish.ts";
import { parseTarget } from "./reference.ts";

export interface CommitOptions {
  /** The image the container was made from; it may be gone, its layers may not. */
  readonly imageId: string;
  /** Chain ids of the container's root file system, lowest first. */
  readonly layers: readonly string[];
  /** Docker's Config of the container, as the `config` column holds it. */
  readonly config: unknown;
  /** The upper directory of its writable layer. */
  readonly upper: string;
  /** As the user typed it. */
  readonly reference: string | undefined;
  readonly author: string | undefined;
  readonly message: string | undefined;
  /** Dockerfile instructions, see changes.ts. */
  readonly changes: readonly string[];
  /** Called in the transaction that makes the image. */
  readonly onPublish?: (id: string) => void;
  /** Runs the reading of the files with the container held still. */
  readonly paused: <T>(work: () => Promise<T>) => Promise<T>;
}

/** Commits and returns the new image's id. The container is held still only while its files are read. */
export async function commitContainer(engine: Engine, options: CommitOptions): Promise<string> {
  const references = options.reference === undefined ? [] : [parseTarget(options.reference)];
  const config = applyChanges(parseRunConfig(options.config), options.changes);
  const lower = lowerDirectories(engine, options.layers);
  const below = installedLayers(engine, options.layers);
  prepareStore(engine);
  using workspace = openWorkspace(engine.root);
  try {
    const top = await makeLayer(workspace, options, lower, below);
    const configText = JSON.stringify(newConfig(engine, options, config, [...below, top]));
    const isParentThere = engine.db.query("SELECT 1 FROM image WHERE id = ?").get(options.imageId) !== null;
    const parent = isParentThere ? options.imageId : undefined;
    const image = prepareImage(workspace, { configText, layers: [...below, top], parent, references });
    const [id = ""] = publishImages(engine, workspace, [image], ({ config }) => options.onPublish?.(config.digest));
    return id;
  } catch (error) {
    throw withContext("commit", error);
  }
}

async function makeLayer(
  workspace: Workspace,
  options: CommitOptions,
  lower: readonly string[],
  below: readonly PreparedLayer[],
): Promise<PreparedLayer> {
  using writer = new BlobWriter(workspace, "layer");
  // The layer is unpacked from what is stored, as it is written, so that it is the same here as wherever it is loaded.
  const unpacked = await options.paused(async () => {
    const archive = writeTar(diffUpper(options.upper, lower, isPlaceholder), { inTurns: true });
    return await prepareLayer(workspace.path, readTarEvents(writer.tee(archive)), lower);
  });
  const blob = writer.finish();
  const chainId = chainIds([...below.map((layer) => layer.diffId), blob.digest]).at(-1);
  if (chainId === undefined) throw new CtrError("internal", "a layer without a chain id");
  return { chainId, diffId: blob.digest, blob: { ...blob, path: writer.path }, mediaType: LAYER_TYPES.none, unpacked };
}

/** Files and directories the engine makes in every container as places to mount on. */
const PLACEHOLDER_FILES = new Set([".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "dev/console"]);
const PLACEHOLDER_DIRECTORIES = new Set([
  "dev",
  "dev/pts",
  "dev/shm",
  "dev/mqueue",
  "proc",
  "sys",
  "etc",
  "sys/fs",
  "sys/fs/cgroup",
]);

/** True for what the engine put there and nobody filled: an empty file or a directory of these names. */
export function isPlaceholder(path: string, stat: Stat): boolean {
  const kind = stat.mode & S_IFMT;
  if (kind === S_IFREG) return stat.size === 0 && PLACEHOLDER_FILES.has(path);
  // Only a directory that nothing is left in is dropped, see diffUpper; `etc` itself may be the user's.
  return kind === S_IFDIR && path !== "etc" && PLACEHOLDER_DIRECTORIES.has(path);
}

function newConfig(
  engine: Engine,
  options: CommitOptions,
  config: ImageConfig["config"],
  layers: readonly PreparedLayer[],
): ImageConfig {
  const row = engine.db
    .query<{ config: string }, [string]>("SELECT config FROM image WHERE id = ?")
    .get(options.imageId);
  const base = row === null ? undefined : parseImageConfig(row.config);
  const created = new Date().toISOString();
  const command = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])].join(" ");
  return {
    created,
    ...(options.author === undefined ? {} : { author: options.author }),
    ...(options.message === undefined ? {} : { comment: options.message }),
    architecture: base?.architecture ?? hostPlatform().architecture,
    ...(base?.variant === undefined ? {} : { variant: base.variant }),
    os: "linux",
    config,
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
    history: [
      ...completeHistory(base, layers.length - 1),
      {
        created,
        ...(options.author === undefined ? {} : { author: options.author }),
        ...(command === "" ? {} : { created_by: command }),
        ...(options.message === undefined ? {} : { comment: options.message }),
      },
    ],
  };
}

/** One entry per layer is what readers count on; a base without history gets nameless ones. */
function completeHistory(base: ImageConfig | undefined, layers: number): ImageConfig["history"] {
  const known = base?.history ?? [];
  const counted = known.filter((entry) => entry.empty_layer !== true).length;
  return counted >= layers ? known : [...known, ...Array.from({ length: layers - counted }, () => ({}))];
}
