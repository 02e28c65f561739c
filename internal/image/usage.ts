/** How much of the disk the images take: unpacked layers and blobs, each once however many images have it. */

import { blobPath } from "../content/blob-store.ts";
import { parseDigest } from "../content/digest.ts";
import type { Engine } from "../db/engine.ts";
import { type LayerUsage, layerUsages } from "../snapshot/layers.ts";
import { treeUsage } from "../snapshot/usage.ts";
import { parseImageConfig } from "./config.ts";
import { familiarName, parseReference } from "./reference.ts";

export interface ImageUsage {
  readonly id: string;
  /** Of its first tag; `<none>` without one. */
  readonly repository: string;
  readonly tag: string;
  readonly createdMs: number;
  /** Bytes of all its layers and blobs, and of those that another image has too. */
  readonly size: number;
  readonly shared: number;
  /** How many containers were made from it. */
  readonly containers: number;
}

export interface ImagesUsage {
  /** Newest first; without those that have no name and only serve others. */
  readonly images: readonly ImageUsage[];
  readonly size: number;
  /** What would come free if every image went that no container uses. */
  readonly reclaimable: number;
}

interface Row {
  readonly id: string;
  readonly config: string;
  readonly reference: string | null;
  readonly containers: number;
  readonly has_children: number;
}

/** What one layer or blob takes, and which images have it. */
interface Part {
  readonly size: number;
  readonly images: Set<string>;
  /** A container has it, whatever became of its image. */
  readonly isUsed: boolean;
}

/** What the images of the store take. */
export function imagesUsage(engine: Engine): ImagesUsage {
  const rows = engine.db
    .query<Row, []>(
      `SELECT id, config,
         (SELECT min(reference) FROM tag WHERE image_id = image.id) AS reference,
         (SELECT count(*) FROM container WHERE container.image_id = image.id) AS containers,
         EXISTS (SELECT 1 FROM image AS child WHERE child.parent = image.id) AS has_children
       FROM image`,
    )
    .all();
  const parts = [...partsOf(engine)];
  const used = new Set(rows.filter(({ containers }) => containers > 0).map(({ id }) => id));
  const sum = (some: readonly Part[]) => some.reduce((bytes, { size }) => bytes + size, 0);
  const images = rows
    .filter(({ reference, has_children }) => reference !== null || has_children === 0)
    .map(({ id, config, reference, containers }): ImageUsage => {
      const own = parts.filter((part) => part.images.has(id));
      const name = reference === null ? undefined : parseReference(reference);
      return {
        id,
        repository: name === undefined ? "<none>" : familiarName(name),
        tag: name?.tag ?? "<none>",
        createdMs: Date.parse(parseImageConfig(config).created ?? NEVER),
        size: sum(own),
        shared: sum(own.filter((part) => part.images.size > 1)),
        containers,
      };
    })
    .sort((a, b) => b.createdMs - a.createdMs);
  // Unfinished downloads belong to no image, and a prune removes them.
  const size = sum(parts) + treeUsage(`${engine.root}/downloads`);
  const needed = parts.filter((part) => part.isUsed || !part.images.isDisjointFrom(used));
  return { images, size, reclaimable: size - sum(needed) };
}

const NEVER = "0001-01-01T00:00:00Z";

function* partsOf(engine: Engine): Generator<Part, void, undefined> {
  const owners = (query: string) =>
    Map.groupBy(engine.db.query<{ part: string; image_id: string }, []>(query).all(), ({ part }) => part);
  const idsOf = (found: readonly { readonly image_id: string }[] | undefined) =>
    new Set(found?.map(({ image_id }) => image_id));

  const layerOwners = owners("SELECT chain_id AS part, image_id FROM image_layer");
  const ofContainers = new Set(
    engine.db
      .query<{ chain_id: string }, []>(
        "SELECT DISTINCT json_each.value AS chain_id FROM container, json_each(container.layers)",
      )
      .all()
      .map(({ chain_id }) => chain_id),
  );
  const usages: readonly LayerUsage[] = layerUsages(engine);
  for (const { chainId, size } of usages)
    yield { size, images: idsOf(layerOwners.get(chainId)), isUsed: ofContainers.has(chainId) };

  const blobOwners = owners(
    `SELECT digest AS part, image_id FROM image_blob UNION SELECT id, id FROM image UNION SELECT manifest, id FROM image`,
  );
  const blobsOfLayers = engine.db
    .query<{ blob: string; chain_id: string }, []>("SELECT blob, chain_id FROM layer")
    .all()
    .filter(({ chain_id }) => ofContainers.has(chain_id))
    .map(({ blob }) => blob);
  const isNeeded = new Set(blobsOfLayers);
  for (const blob of new Set([...blobOwners.keys(), ...blobsOfLayers])) {
    const size = treeUsage(blobPath(engine.root, parseDigest(blob)));
    yield { size, images: idsOf(blobOwners.get(blob)), isUsed: isNeeded.has(blob) };
  }
}
