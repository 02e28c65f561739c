/** How much of the disk the volumes take. */
import type { Engine } from "../db/engine.ts";
import { treeUsage } from "../snapshot/usage.ts";
import { findVolume, usersOf, type Volume, volumeData } from "./store.ts";

export interface VolumeUsage {
  readonly volume: Volume;
  /** Bytes of its files. */
  readonly size: number;
  /** How many containers have it. */
  readonly links: number;
  /** Where its files are. */
  readonly mountpoint: string;
}

/** What the volumes take, by name. */
export function volumeUsages(engine: Engine): VolumeUsage[] {
  const names = engine.db.query<{ name: string }, []>("SELECT name FROM volume ORDER BY name").all();
  return names.flatMap(({ name }) => {
    const volume = findVolume(engine, name);
    if (volume === undefined) return []; // removed meanwhile
    const mountpoint = volumeData(engine, volume);
    return [{ volume, size: treeUsage(mountpoint), links: usersOf(engine, name).length, mountpoint }];
  });
}
