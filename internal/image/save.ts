/** `save`: images in a tar that is both an OCI layout and a docker-archive, as Docker 25 and later write it. */
import { type WritableEntry, writeTar } from "../archive/tar-writer.ts";
import { openBlob, readInTurns } from "../content/blob-store.ts";
import { type Digest, hexOf, parseDigest } from "../content/digest.ts";
import type { Engine } from "../db/engine.ts";
import { CtrError, ENOENT, isErrno } from "../errors/error.ts";
import type { Fd } from "../sys/fd.ts";
import { recordImageEvent } from "./event.ts";
import { IMAGE_NAME, INDEX_TYPE, REF_NAME } from "./media-types.ts";
import { familiarName, familiarReference, formatReference, parseReference } from "./reference.ts";
import { resolveImageId } from "./resolve.ts";

interface SavedImage {
  readonly id: Digest;
  readonly manifest: { readonly digest: Digest; readonly mediaType: string; readonly size: number };
  readonly layers: readonly Digest[];
  /** Full references to write. */
  readonly references: Set<string>;
}

/**
 * The archive of the named images as a stream. A name with a tag brings that tag, a name without one all tags of its
 * repository, an id none. Every blob is opened before the first byte, so what is removed meanwhile does not matter.
 */
export async function* saveImages(
  engine: Engine,
  names: readonly string[],
): AsyncGenerator<Uint8Array, void, undefined> {
  const images = chooseImages(engine, names);
  using stack = new DisposableStack();
  const blobs = new Map<Digest, { readonly fd: Fd; readonly size: number }>();
  for (const image of images) {
    for (const digest of [image.id, image.manifest.digest, ...image.layers]) {
      if (blobs.has(digest)) continue;
      const blob = openChecked(engine, digest);
      stack.use(blob.fd);
      blobs.set(digest, blob);
    }
  }
  yield* writeTar(entriesOf(images, blobs));
  for (const { id } of images) recordImageEvent(engine, "save", id, id);
}

/** The images to save, each once, in the order they were first named. Throws `not-found`. */
function chooseImages(engine: Engine, names: readonly string[]): SavedImage[] {
  const images = new Map<string, SavedImage>();
  for (const name of names) {
    for (const { id, reference } of imagesOf(engine, name)) {
      const image = images.get(id) ?? readSaved(engine, id);
      if (reference !== undefined) image.references.add(reference);
      images.set(id, image);
    }
  }
  return [...images.values()];
}

function imagesOf(engine: Engine, name: string): { readonly id: string; readonly reference: string | undefined }[] {
  const repository = repositoryOf(name);
  if (repository !== undefined) {
    const tagged = engine.db
      .query<{ image_id: string; reference: string }, [string]>(
        "SELECT image_id, reference FROM tag WHERE substr(reference, 1, length(?1)) = ?1 ORDER BY reference",
      )
      .all(`${repository}:`)
      .filter((row) => !row.reference.slice(repository.length + 1).includes("/"));
    if (tagged.length > 0) return tagged.map((row) => ({ id: row.image_id, reference: row.reference }));
  }
  const found = resolveImageId(engine, name);
  // By its digest an image is saved without a name, as by its id.
  return [{ id: found.id, reference: found.reference?.includes("@") === true ? undefined : found.reference }];
}

/** The full name of a repository that is named without a tag; undefined for anything else. */
function repositoryOf(name: string): string | undefined {
  try {
    const reference = parseReference(name);
    return reference.tag === undefined && reference.digest === undefined ? formatReference(reference) : undefined;
  } catch (error) {
    if (error instanceof CtrError) return undefined; // perhaps an id: resolving it says what is wrong
    throw error;
  }
}

function readSaved(engine: Engine, id: string): SavedImage {
  const row = engine.db
    .query<{ manifest: string; manifest_type: string; manifest_size: number }, [string]>(
      "SELECT manifest, manifest_type, manifest_size FROM image WHERE id = ?",
    )
    .get(id);
  if (row === null) throw new CtrError("not-found", `No such image: ${id}`);
  const layers = engine.db
    .query<{ digest: string }, [string]>("SELECT digest FROM image_blob WHERE image_id = ? ORDER BY position")
    .all(id);
  return {
    id: parseDigest(id, "image id"),
    manifest: { digest: parseDigest(row.manifest), mediaType: row.manifest_type, size: row.manifest_size },
    layers: layers.map((layer) => parseDigest(layer.digest)),
    references: new Set(),
  };
}

function openChecked(engine: Engine, digest: Digest): { readonly fd: Fd; readonly size: number } {
  try {
    return openBlob(engine.root, digest);
  } catch (error) {
    if (isErrno(error, ENOENT))
      throw new CtrError("conflict", `blob ${digest} was removed by another command`, { cause: error });
    throw error;
  }
}

async function* entriesOf(
  images: readonly SavedImage[],
  blobs: ReadonlyMap<Digest, { readonly fd: Fd; readonly size: number }>,
): AsyncGenerator<WritableEntry, void, undefined> {
  yield directory("blobs/");
  yield directory("blobs/sha256/");
  for (const [digest, { fd, size }] of [...blobs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    yield { ...file(`blobs/sha256/${hexOf(digest)}`, size), content: readInTurns(fd.number) };
  }
  yield document("index.json", indexOf(images));
  yield document("manifest.json", images.map(dockerImage));
  yield document("oci-layout", { imageLayoutVersion: "1.0.0" });
  const repositories = repositoriesOf(images);
  if (Object.keys(repositories).length > 0) yield document("repositories", repositories);
}

function indexOf(images: readonly SavedImage[]): object {
  const manifests = images.flatMap((image) => {
    const descriptor = {
      mediaType: image.manifest.mediaType,
      digest: image.manifest.digest,
      size: image.manifest.size,
    };
    if (image.references.size === 0) return [descriptor];
    return [...image.references].map((reference) => ({
      ...descriptor,
      annotations: { [IMAGE_NAME]: reference, [REF_NAME]: parseReference(reference).tag ?? "" },
    }));
  });
  return { schemaVersion: 2, mediaType: INDEX_TYPE, manifests };
}

function dockerImage(image: SavedImage): object {
  const references = [...image.references].map((reference) => familiarReference(parseReference(reference)));
  return {
    Config: `blobs/sha256/${hexOf(image.id)}`,
    RepoTags: references.length === 0 ? null : references,
    Layers: image.layers.map((digest) => `blobs/sha256/${hexOf(digest)}`),
  };
}

/** What Docker before 1.10 read: repository, tag, topmost layer. */
function repositoriesOf(images: readonly SavedImage[]): {
  readonly [repository: string]: { readonly [tag: string]: string };
} {
  const repositories: { [repository: string]: { [tag: string]: string } } = {};
  for (const image of images) {
    const top = image.layers.at(-1);
    if (top === undefined) continue;
    for (const reference of image.references) {
      const parsed = parseReference(reference);
      const name = familiarName(parsed);
      repositories[name] = { ...repositories[name], [parsed.tag ?? ""]: hexOf(top) };
    }
  }
  return repositories;
}

function directory(name: string): WritableEntry {
  return { ...file(name, 0), kind: "directory", mode: 0o755 };
}

function document(name: string, value: object): WritableEntry {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return { ...file(name, bytes.length), content: [bytes] };
}

/** The same images give the same archive: no time, no owner. */
function file(name: string, size: number): WritableEntry {
  const bytes = new TextEncoder().encode(name);
  const none = new Uint8Array(0);
  return {
    kind: "file",
    name: bytes,
    linkname: none,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size,
    mtimeNs: 0n,
    major: 0,
    minor: 0,
    xattrs: new Map(),
  };
}
