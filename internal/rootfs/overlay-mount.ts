/**
 * Mounting an overlay before kernel 6.5: all layers in one string of options, which mount(2) copies from one page.
 * Since 6.5 fsconfig(2) takes them one by one (`lowerdir+`), see mounts.ts.
 */
import { CtrError } from "../errors/error.ts";
import { type Fd, O_DIRECTORY, O_PATH, O_RDONLY, open } from "../sys/fd.ts";
import { mount } from "../sys/mount.ts";
import { fchdir, prlimit } from "../sys/process.ts";

/** What of a page is left for the options, with the NUL at their end (mount(2): "data" is at most a page). */
const PAGE = 4096;
/** fs/overlayfs/params.h, OVL_MAX_STACK: kernels refuse more. */
const MAX_LAYERS = 500;
const RLIMIT_NOFILE = 7;
/** Descriptors that this process has besides the layers. */
const OTHER_DESCRIPTORS = 64n;

/**
 * Mounts an overlay on `path` in the old way. Where the names of the layers do not fit into the page (or hold what
 * separates options), each is named by an open descriptor from inside `/proc/self/fd`: three or four characters instead
 * of sixty, which is enough for the kernel's own limit of 500 layers. The current directory is the same afterwards.
 */
export function mountOverlayByString(path: string, data: readonly string[]): Fd {
  const whole = data.join(",");
  if (new TextEncoder().encode(whole).length < PAGE && !data.some((word) => word.includes(","))) {
    mount("overlay", path, "overlay", 0, whole);
    return open(path, O_PATH | O_DIRECTORY);
  }
  const count = data.reduce((sum, word) => sum + directoriesOf(word).length, 0);
  if (count > MAX_LAYERS) throw new CtrError("unsupported", `${count} layers: overlayfs takes at most ${MAX_LAYERS}`);
  using before = open(".", O_RDONLY | O_DIRECTORY);
  using place = open(path, O_PATH | O_DIRECTORY);
  return withDescriptors(BigInt(count), () => {
    using opened = new DisposableStack();
    const number = (directory: string) => opened.use(open(directory, O_PATH | O_DIRECTORY)).number;
    const options = data.map((word) => {
      const directories = directoriesOf(word);
      return directories.length === 0 ? word : `${keyOf(word)}=${directories.map(number).join(":")}`;
    });
    using descriptors = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
    fchdir(descriptors.number);
    try {
      mount("overlay", `${place.number}`, "overlay", 0, options.join(","));
    } finally {
      fchdir(before.number);
    }
    return open(path, O_PATH | O_DIRECTORY);
  });
}

function keyOf(word: string): string {
  return word.slice(0, word.indexOf("="));
}

/** The directories that an option names; none for those that name something else. */
function directoriesOf(word: string): readonly string[] {
  const value = word.slice(word.indexOf("=") + 1);
  if (word.startsWith("lowerdir=")) return splitLayers(value);
  return word.startsWith("upperdir=") || word.startsWith("workdir=") ? [value] : [];
}

/** The layers of a `lowerdir`: colons separate, a backslash takes the next character as it is (overlayfs.rst). */
export function splitLayers(value: string): string[] {
  return (value.match(/(?:\\.|[^:\\])+/g) ?? []).map((layer) => layer.replace(/\\(.)/g, "$1"));
}

/** Runs `action` with room for this many descriptors more: the container's own limit is set already. */
function withDescriptors<T>(count: bigint, action: () => T): T {
  const wanted = count + OTHER_DESCRIPTORS;
  const limit = prlimit(0, RLIMIT_NOFILE);
  if (limit.soft >= wanted) return action();
  prlimit(0, RLIMIT_NOFILE, { soft: wanted, hard: limit.hard > wanted ? limit.hard : wanted });
  try {
    return action();
  } finally {
    prlimit(0, RLIMIT_NOFILE, limit);
  }
}
