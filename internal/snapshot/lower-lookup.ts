/** Looking a path up in layers below, as overlayfs would merge them, without following any link. */
import { ELOOP, ENOENT, ENOTDIR, isErrno } from "../errors/error.ts";
import { type Fd, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, open, openat } from "../sys/fd.ts";
import { fstat, S_IFDIR, S_IFMT, type Stat } from "../sys/file.ts";
import { downToFlat } from "./flat.ts";
import { isOpaque, isWhiteout } from "./overlay.ts";

/** Open layer directories, topmost first; below one that is a whole tree (flat.ts) nothing counts. */
export class LowerLayers implements Disposable {
  readonly #roots: readonly Fd[];

  constructor(directories: readonly string[]) {
    using stack = new DisposableStack();
    this.#roots = downToFlat(directories).map((path) => stack.use(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)));
    stack.move();
  }

  get isEmpty(): boolean {
    return this.#roots.length === 0;
  }

  /** The layers' root directories, topmost first; they stay this object's. */
  rootFds(): readonly Fd[] {
    return this.#roots;
  }

  /** The descriptors of the layers' root directories, topmost first. */
  roots(): readonly number[] {
    return this.#roots.map((root) => root.number);
  }

  /** What the path (its names from the root down) is in the merged layers: an `O_PATH` descriptor, or undefined. */
  find(names: readonly Uint8Array[]): { readonly fd: Fd; readonly stat: Stat } | undefined {
    for (const root of this.#roots) {
      const found = findInLayer(root, names);
      if (found === "hidden") return undefined;
      if (found !== "absent") return found;
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    for (const root of this.#roots) root.close();
  }
}

function findInLayer(
  root: Fd,
  names: readonly Uint8Array[],
): { readonly fd: Fd; readonly stat: Stat } | "absent" | "hidden" {
  let isHidingLower = false;
  let directory: Fd | undefined;
  try {
    for (const [index, name] of names.entries()) {
      const parent = directory ?? root;
      const next = openPath(parent.number, name);
      if (next === undefined) return isHidingLower ? "hidden" : "absent";
      const stat = fstat(next.number);
      const isLast = index === names.length - 1;
      const isDirectory = (stat.mode & S_IFMT) === S_IFDIR;
      if (isWhiteout(stat) || (!isLast && !isDirectory)) {
        next.close();
        return "hidden";
      }
      if (isLast) return { fd: next, stat };
      next.close();
      const opened = openat(parent.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      directory?.close();
      directory = opened;
      isHidingLower ||= isOpaque(directory.number);
    }
    return { fd: openat(root.number, ".", O_PATH | O_DIRECTORY), stat: fstat(root.number) };
  } finally {
    directory?.close();
  }
}

function openPath(dirfd: number, name: Uint8Array): Fd | undefined {
  try {
    return openat(dirfd, name, O_PATH | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR, ELOOP)) return undefined;
    throw error;
  }
}
