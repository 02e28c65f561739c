/** The images that `images` is asked about in any way but the usual one, read from the store. */
import type { Engine } from "../../internal/db/engine.ts";
import { humanSize } from "../../internal/image/human-size.ts";
import { type ListedImage, listImages } from "../../internal/image/list.ts";
import { knownAgo } from "./format/duration.ts";
import { print, printTable } from "./output.ts";

export interface ImagesAsked {
  readonly all: boolean;
  readonly pattern: string | undefined;
  readonly filters: readonly string[];
  readonly digests: boolean;
  readonly isShort: boolean;
  readonly isQuiet: boolean;
  readonly isTree: boolean;
  /** Empty or `table` for the usual columns. */
  readonly format: string;
}

/** Prints them as asked. */
export async function printChosenImages(engine: Engine, asked: ImagesAsked): Promise<void> {
  const { isShort, isQuiet, digests, format } = asked;
  const images = await chosenImages(engine, asked);
  if (asked.isTree) {
    const { printImageTree } = await import("./format/image-tree.ts");
    printImageTree(engine, images, { quiet: isQuiet, "no-trunc": !isShort, digests, format });
    return;
  }
  const isTable = format === "" || format === "table";
  if (!isTable) {
    const { formatImages } = await import("./format/images.ts");
    print(formatImages(images, { format, isShort, withDigests: digests, isQuiet }));
    return;
  }
  const shownId = (id: string) => (isShort ? id.slice("sha256:".length, "sha256:".length + 12) : id);
  if (isQuiet) {
    print(images.map(({ id }) => `${shownId(id)}\n`).join(""));
    return;
  }
  const nowMs = Date.now();
  printTable(
    ["REPOSITORY", "TAG", ...(digests ? ["DIGEST"] : []), "IMAGE ID", "CREATED", "SIZE"],
    images.map((image) => [
      image.repository,
      image.tag,
      ...(digests ? [image.digest] : []),
      shownId(image.id),
      knownAgo(image.createdMs, nowMs),
      humanSize(image.size),
    ]),
  );
}

async function chosenImages(engine: Engine, asked: ImagesAsked): Promise<readonly ListedImage[]> {
  const { all, pattern, filters, digests, format } = asked;
  const filter =
    filters.length === 0
      ? undefined
      : (await import("../../internal/image/filter.ts")).parseImageFilters(engine, filters);
  return listImages(engine, { all, pattern, filter, withDigests: digests || /\.Digest\b/.test(format) });
}
