/**
 * Storage drivers: how layers are kept, and what a container writes on. Layers are always unpacked in overlayfs' form
 * first (unpack.ts); a driver says what becomes of them, and of the topmost one when a container starts.
 *
 *   overlay   layers stay as they are and are mounted over each other; a container writes into a directory of its own
 *   vfs       every layer is a whole tree, a copy of the one below with its changes; a container gets a copy
 *   btrfs     as vfs, but the copies are snapshots of subvolumes and cost nothing
 */
import type { StorageDriver } from "../db/storage-driver.ts";
import { btrfs } from "./btrfs.ts";
import { overlay } from "./overlay-driver.ts";
import { vfs } from "./vfs.ts";

export interface Snapshotter {
  readonly name: StorageDriver;
  /** Throws `unsupported`, with the reason, where this driver cannot work; `scratch` is a directory it may use. */
  check(scratch: string): void;
  /**
   * Makes of an unpacked layer in a workspace what is installed, in the same workspace, and returns where it is.
   * `below` is the installed form of the layer below it, undefined for the lowest.
   */
  finishLayer(unpacked: string, below: string | undefined): string;
  /**
   * Makes the root file system of a container in its directory, which exists; `top` is the topmost layer as installed,
   * undefined for an image without layers. Nothing of it is there yet but what a killed command left. Only for drivers
   * whose trees are whole: the others' is made by `makeWritableSnapshot`.
   */
  makeRoot(directory: string, top: string | undefined, placeholders: string): void;
  /** Removes a layer or a container's directory. Succeeds when it is gone. */
  remove(path: string): void;
}

const SNAPSHOTTERS: { readonly [Name in StorageDriver]: Snapshotter } = { overlay, vfs, btrfs };

export function snapshotterOf(driver: StorageDriver): Snapshotter {
  return SNAPSHOTTERS[driver];
}
