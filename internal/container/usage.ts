/** `system df`: what images, containers and volumes take. */
import type { Engine } from "../db/engine.ts";
import { type ImagesUsage, imagesUsage } from "../image/usage.ts";
import { type VolumeUsage, volumeUsages } from "../volume/usage.ts";
import { collect } from "./collect.ts";
import { imageNames } from "./image-name.ts";
import type { ContainerRecord } from "./record.ts";
import { containerSizes } from "./sizes.ts";
import { listContainers } from "./store.ts";

export interface ContainerUsage {
  readonly record: ContainerRecord;
  /** As a list shows it. */
  readonly image: string;
  /** Bytes of the files it wrote. */
  readonly size: number;
}

export interface StoreUsage {
  readonly images: ImagesUsage;
  /** Newest first. */
  readonly containers: readonly ContainerUsage[];
  readonly volumes: readonly VolumeUsage[];
}

/** Walks the store. */
export function storeUsage(engine: Engine): StoreUsage {
  // What cannot be put right now is found again by the next command; it is none of the figures'.
  collect(engine);
  const imageOf = imageNames(engine);
  return {
    images: imagesUsage(engine),
    containers: listContainers(engine).map((record) => ({
      record,
      image: imageOf(record),
      size: containerSizes(engine, record).writable,
    })),
    volumes: volumeUsages(engine),
  };
}
