/** A volume as `docker volume inspect` shows it (Engine API, Volume). */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { findVolume, type Volume, volumeData } from "./store.ts";

/** The object of the volume of this name. Throws `not-found`. */
export function inspectVolumeNamed(engine: Engine, name: string): { readonly [field: string]: unknown } {
  const volume = findVolume(engine, name);
  if (volume === undefined) throw new CtrError("not-found", `get ${name}: no such volume`);
  return inspectVolume(engine, volume);
}

/** The object of one volume. */
export function inspectVolume(engine: Engine, volume: Volume): { readonly [field: string]: unknown } {
  return {
    CreatedAt: volume.createdAt,
    Driver: "local",
    Labels: nullIfEmpty(volume.labels),
    Mountpoint: volumeData(engine, volume),
    Name: volume.name,
    Options: nullIfEmpty(volume.options),
    Scope: "local",
  };
}

function nullIfEmpty(map: { readonly [name: string]: string }): { readonly [name: string]: string } | null {
  const names = Object.keys(map).sort();
  return names.length === 0 ? null : Object.fromEntries(names.map((name) => [name, map[name] ?? ""]));
}
