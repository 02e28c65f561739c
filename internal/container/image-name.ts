/** What a list shows as a container's image. */
import type { Engine } from "../db/engine.ts";
import type { ContainerRecord } from "./record.ts";

type Named = Pick<ContainerRecord, "image" | "imageId">;

/**
 * The name as the user gave it, as long as it still means the container's image; after that the image's id, as Docker
 * has it. Each name is looked up once.
 */
export function imageNames(engine: Engine): (record: Named) => string {
  const isTagged = engine.db.query<{ found: number }, string[]>(
    "SELECT 1 AS found FROM tag WHERE image_id = ? AND reference IN (?, ?, ?) LIMIT 1",
  );
  const known = new Map<string, string>();
  return ({ image, imageId }) => {
    const key = `${image} ${imageId}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    // The beginning of the id, and a digest, mean one image for good.
    const isFixed =
      image === "" || image.includes("@") || imageId.startsWith(image) || hexOf(imageId).startsWith(image);
    const shown = isFixed || isTagged.get(imageId, ...fullNames(image)) !== null ? image : imageId;
    known.set(key, shown);
    return shown;
  };
}

/**
 * What the name may be in full. Of these only one can be a tag that is there: to go through the parser of references
 * would cost `ps` more than all the rest of this.
 */
function fullNames(image: string): [string, string, string] {
  const tagged = image.includes(":", image.lastIndexOf("/") + 1) ? image : `${image}:latest`;
  return [tagged, `docker.io/${tagged}`, `docker.io/library/${tagged}`];
}

function hexOf(imageId: string): string {
  return imageId.slice("sha256:".length);
}
