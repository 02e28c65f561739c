/** That the container has run out of memory is told when it happens, not when it ends. */
import { watchOom } from "../../internal/cgroups/oom-watch.ts";
import { attempt, ignore } from "./attempt.ts";

/** What a dozing process looks at: by descriptor, what is done once when it is readable. */
export type Descriptors = Map<number, () => void>;

/** Calls `tell` whenever it happens, until disposed of. */
export function tellOom(directory: string, descriptors: Descriptors, tell: () => void): Disposable {
  const watch = watchOom(directory);
  const look = () => {
    // A full disk: then it is told with the container's end.
    attempt(() => {
      if (watch.hasHappened()) tell();
    }, ignore);
    descriptors.set(watch.fd, look);
  };
  descriptors.set(watch.fd, look);
  return {
    [Symbol.dispose]() {
      descriptors.delete(watch.fd);
      watch[Symbol.dispose]();
    },
  };
}
