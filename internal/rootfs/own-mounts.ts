/** A look at other mounts than everybody's. */
import { O_DIRECTORY, O_PATH, O_RDONLY, open } from "../sys/fd.ts";
import { fchdir, joinMounts, unshare } from "../sys/process.ts";
import { CLONE_NEWNS } from "../sys/spawn.ts";
import { isolateMounts } from "./mounts.ts";

/**
 * A mount namespace for this thread, which is the one that makes the system calls; left again when disposed, and the mounts
 * end with it, as they do with the process.
 */
export function ownMounts(): Disposable {
  const before = open("/proc/self/ns/mnt", O_RDONLY);
  const directory = open(".", O_PATH | O_DIRECTORY);
  unshare(CLONE_NEWNS);
  isolateMounts(undefined);
  return {
    [Symbol.dispose]: () => {
      using namespace = before;
      using here = directory;
      joinMounts(namespace.number);
      // setns(2) leaves the thread in the namespace's root.
      fchdir(here.number);
    },
  };
}
