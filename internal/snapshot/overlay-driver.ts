/** The overlay driver: layers as they were unpacked, put over each other by the kernel (overlayfs.rst). */
import { CtrError, SyscallError } from "../errors/error.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { mkdirat, removeTree } from "../sys/file.ts";
import { fsconfigCreate, fsconfigSet, fsopen } from "../sys/mount.ts";
import type { Snapshotter } from "./snapshotter.ts";

export const overlay: Snapshotter = {
  name: "overlay",

  /** Makes an overlay that is mounted nowhere: whatever the kernel or the file system below has against it, it says. */
  check(scratch) {
    const [lower, upper, work] = ["lower", "upper", "work"].map((name) => `${scratch}/${name}`);
    for (const path of [lower, upper, work]) mkdirat(AT_FDCWD, path ?? "", 0o700);
    try {
      using fs = fsopen("overlay");
      // By the string that every kernel takes.
      fsconfigSet(fs.number, "lowerdir", lower);
      fsconfigSet(fs.number, "upperdir", upper);
      fsconfigSet(fs.number, "workdir", work);
      fsconfigCreate(fs.number, "overlay");
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      throw new CtrError("unsupported", `storage driver overlay2 does not work here: ${error.message}`, {
        cause: error,
      });
    } finally {
      for (const path of [lower, upper, work]) removeTree(AT_FDCWD, path ?? "");
    }
  },

  finishLayer: (unpacked) => unpacked,

  makeRoot() {
    throw new CtrError("internal", "an overlay's root file system is mounted, not made");
  },

  remove: (path) => removeTree(AT_FDCWD, path),
};
