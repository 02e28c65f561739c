/** What tells a flat directory (a whole tree: vfs, btrfs) from one of overlayfs' layers: its name, wherever it is. */

/** The root file system of a container, in its directory. */
export const FLAT_ROOT = "flat";
/** Made when the root file system was whole: what has changed since has a later ctime than this file. */
export const FLAT_MADE = "flat-made";
const PREFIX = "flat-";

/** The name of a flat layer's directory. */
export function flatName(id: string): string {
  return PREFIX + id;
}

/** True for a directory that holds a whole tree: whatever lies below it does not count. */
export function isFlat(path: string): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return name === FLAT_ROOT || name.startsWith(PREFIX);
}

/** Layers (topmost first) as far down as they count. */
export function downToFlat(layers: readonly string[]): readonly string[] {
  const at = layers.findIndex(isFlat);
  return at < 0 ? layers : layers.slice(0, at + 1);
}
