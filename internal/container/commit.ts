/** `commit` of a container: what the image store needs of it, and holding it still meanwhile. */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { type CommitOptions, commitContainer } from "../image/commit.ts";
import type { Exclude } from "../snapshot/diff.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { LowerLayers } from "../snapshot/lower-lookup.ts";
import { readlinkat, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../sys/file.ts";
import { currentContainer, pauseContainer, unpauseContainer } from "./control.ts";
import { recordContainerEvent } from "./event.ts";
import { anySnapshot } from "./flat-root.ts";
import type { ContainerRecord } from "./record.ts";

export type ContainerCommit = Pick<CommitOptions, "reference" | "author" | "message" | "changes"> & {
  /** A running container is frozen while its files are read. */
  readonly pause: boolean;
};

/** As internal/rootfs makes a missing directory. */
const MADE_DIRECTORY = S_IFDIR | 0o755;

/** Makes an image of a container's changes and returns its id. */
export async function commit(engine: Engine, nameOrId: string, options: ContainerCommit): Promise<string> {
  const record = currentContainer(engine, nameOrId);
  if (record.state === "removing" || record.state === "dead") {
    throw new CtrError(
      "conflict",
      `You cannot commit container ${record.id} which is ${record.state === "dead" ? "Dead" : "being removed"}`,
    );
  }
  const { pause, ...rest } = options;
  const lower = lowerDirectories(engine, record.layers);
  // One that never ran has none yet.
  const { upper } = anySnapshot(engine, record);
  return await commitContainer(engine, {
    ...rest,
    imageId: record.imageId,
    layers: record.layers,
    config: record.config,
    upper,
    exclude: mountPoints(record, [upper, ...lower]),
    onPublish: (id) => {
      const ref = options.reference === undefined ? {} : { imageRef: options.reference };
      recordContainerEvent(engine, record, "commit", { comment: options.message ?? "", imageID: id, ...ref });
    },
    paused: (work) => (pause && record.state === "running" ? heldStill(engine, record.id, work) : work()),
  });
}

/**
 * The places that were made to mount volumes, binds and tmpfs on, and the directories made on the way there; `layers`,
 * topmost first, say where a way through a link led.
 */
function mountPoints(record: ContainerRecord, layers: readonly string[]): Exclude {
  using merged = new LowerLayers(layers);
  const places = [
    ...record.runtime.mounts.map((mount) => mount.Destination),
    ...Object.keys(record.hostConfig.Tmpfs ?? {}),
  ].map((path) => withoutLinks(merged, path));
  const ends = new Set(places.map((names) => names.join("/")));
  const ways = new Set(places.flatMap((names) => names.map((_, length) => names.slice(0, length).join("/"))));
  return (path, { mode, uid, gid, size }) => {
    const kind = mode & S_IFMT;
    if (ends.has(path)) return kind === S_IFDIR || (kind === S_IFREG && size === 0);
    return ways.has(path) && mode === MADE_DIRECTORY && uid === 0 && gid === 0;
  };
}

const MAX_LINKS = 40;

/** The names from the root down to where `path` leads, with every link on the way followed as inside the container. */
function withoutLinks(layers: LowerLayers, path: string): string[] {
  const namesOf = (text: string) => text.split("/").filter((name) => name !== "" && name !== ".");
  const pending = namesOf(path);
  let done: string[] = [];
  let links = 0;
  for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
    if (name === "..") {
      done.pop();
      continue;
    }
    const found = layers.find([...done, name].map((part) => new TextEncoder().encode(part)));
    using place = found?.fd;
    if (place === undefined || found === undefined || (found.stat.mode & S_IFMT) !== S_IFLNK || ++links > MAX_LINKS) {
      done.push(name);
      continue;
    }
    const target = new TextDecoder().decode(readlinkat(place.number, ""));
    if (target.startsWith("/")) done = [];
    pending.unshift(...namesOf(target));
  }
  return done;
}

/** Freezes the container around `work`. One that ended by itself meanwhile is as still as can be. */
async function heldStill<T>(engine: Engine, id: string, work: () => Promise<T>): Promise<T> {
  if (!(await isFrozen(engine, id))) return await work();
  try {
    return await work();
  } finally {
    // Killed or removed while frozen: then there is nothing to let go.
    if (currentContainer(engine, id).state === "paused") await unpauseContainer(engine, id);
  }
}

async function isFrozen(engine: Engine, id: string): Promise<boolean> {
  try {
    await pauseContainer(engine, id);
    return true;
  } catch (error) {
    if (currentContainer(engine, id).state !== "running") return false;
    throw error;
  }
}
