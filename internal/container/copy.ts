/** `cp`: files between a container and the host, in either direction, or as an archive. Docker's rules are in copy-path.ts. */
import { decompress } from "../archive/decompress.ts";
import { readTar } from "../archive/tar-reader.ts";
import { writeTar } from "../archive/tar-writer.ts";
import type { Engine } from "../db/engine.ts";
import { CtrError, ELOOP, ENOENT, ENOTDIR, isErrno } from "../errors/error.ts";
import { resolveUser } from "../rootfs/users.ts";
import { type Fd, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, open } from "../sys/fd.ts";
import { openat2, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS } from "../sys/file.ts";
import { prlimit, umask } from "../sys/process.ts";
import { asOwner, inside, outside } from "../sys/user-namespace.ts";
import { checkOutput, localDestination, localSource, specialKind } from "./copy-local.ts";
import {
  absoluteKeepingEnd,
  assertsDirectory,
  baseName,
  type CopyDestination,
  endsInDot,
  followed,
  planCopy,
  splitEntry,
} from "./copy-path.ts";
import { ArchiveSize, type CopyEntry, readTree } from "./copy-source.ts";
import { type Ownership, type PlaceFinder, writeTree } from "./copy-target.ts";
import {
  type ContainerView,
  canonical,
  InsideContainer,
  isDirectory,
  kernelsOwn,
  look,
  openInside,
  openView,
} from "./copy-view.ts";
import { recordContainerEvent } from "./event.ts";

export interface CopyFromOptions {
  readonly container: string;
  readonly path: string;
  /** `-L`: a link as the source is followed. */
  readonly follow: boolean;
}

export interface CopyToOptions {
  readonly container: string;
  readonly path: string;
  /** `-a`: what is copied belongs to the container's user, if it has one. */
  readonly archive: boolean;
}

/** What was copied: the bytes of an archive of it, and where it went. */
export interface Copied {
  readonly bytes: number;
  readonly destination: string;
}

/** The archive of a path in a container. It is made as it is read. */
export async function* archiveFromContainer(
  engine: Engine,
  options: CopyFromOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  using view = await openView(engine, options.container, false);
  const source = locate(view, options);
  recordContainerEvent(engine, view.record, "archive-path");
  prepareProcess();
  yield* writeTar(source.read(source.ownName));
}

/** Copies a path of a container to a path of the host. `directory` is where relative paths start. */
export async function copyFromContainer(
  engine: Engine,
  options: CopyFromOptions,
  localPath: string,
  directory: string,
): Promise<Copied> {
  const destination = absoluteKeepingEnd(localPath, directory);
  checkOutput(destination);
  using view = await openView(engine, options.container, false);
  const source = locate(view, options);
  const plan = planCopy(source.name, source.isDirectory, localDestination(destination));
  using target = open(plan.directory, O_RDONLY | O_DIRECTORY);
  recordContainerEvent(engine, view.record, "archive-path");
  const size = new ArchiveSize();
  prepareProcess();
  await writeTree(size.count(source.read(entryName(plan.name))), {
    place: below(target),
    ownership: "own",
    shown: plan.directory,
  });
  return { bytes: size.bytes, destination };
}

/** Copies a path of the host into a container. */
export async function copyToContainer(
  engine: Engine,
  localPath: string,
  directory: string,
  follow: boolean,
  options: CopyToOptions,
): Promise<Copied> {
  const source = localSource(absoluteKeepingEnd(localPath, directory), follow);
  using view = await openView(engine, options.container, true);
  const destination = containerDestination(view, options);
  const plan = planCopy(source.name, source.isDirectory, destination);
  using parent = source.parent;
  const entries = readTree(parent, source.entry, encode(entryName(plan.name)));
  const size = new ArchiveSize();
  await extract(view, options, plan.directory, size.count(entries));
  recordContainerEvent(engine, view.record, "extract-to-dir");
  return { bytes: size.bytes, destination: destination.path };
}

/** Unpacks an archive, compressed or not, into a directory of a container. */
export async function unpackToContainer(
  engine: Engine,
  archive: AsyncIterable<Uint8Array>,
  options: CopyToOptions,
): Promise<Copied> {
  using view = await openView(engine, options.container, true);
  const destination = containerDestination(view, options);
  if (destination.kind !== "directory") {
    throw new CtrError("invalid", `destination "${options.container}:${options.path}" must be a directory`);
  }
  const size = new ArchiveSize();
  await extract(view, options, destination.path, size.count(entriesOf(archive)));
  recordContainerEvent(engine, view.record, "extract-to-dir");
  return { bytes: size.bytes, destination: destination.path };
}

const RLIMIT_NOFILE = 7;

/** Modes as the entries say; and as many descriptors as a tree may have levels. */
function prepareProcess(): void {
  umask(0);
  const { hard } = prlimit(0, RLIMIT_NOFILE);
  prlimit(0, RLIMIT_NOFILE, { soft: hard, hard });
}

/** The entries of an archive; of nothing at all there are none. */
async function* entriesOf(archive: AsyncIterable<Uint8Array>): AsyncGenerator<CopyEntry, void, undefined> {
  const iterator = archive[Symbol.asyncIterator]();
  let first = await iterator.next();
  while (first.done !== true && first.value.length === 0) first = await iterator.next();
  if (first.done === true) return;
  yield* readTar(decompress(withFirst(first.value, iterator)));
}

async function* withFirst(
  first: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

async function extract(
  view: ContainerView,
  { container, archive }: CopyToOptions,
  directory: string,
  entries: AsyncIterable<CopyEntry>,
): Promise<void> {
  const place = canonical(view.root, directory);
  const tree = new InsideContainer(view.root, place);
  try {
    tree.open([]).close();
  } catch (error) {
    if (isErrno(error, ENOTDIR)) throw new CtrError("invalid", "extraction point is not a directory", { cause: error });
    if (isErrno(error, ENOENT)) throw notFound(directory, container, error);
    throw error;
  }
  checkWritable(view, place);
  prepareProcess();
  const { ids } = view;
  const ownership = archive ? ownerOf(view) : "kept";
  using _ = ids === undefined ? undefined : asOwner(outside(ids.uids, 0) ?? 0, outside(ids.gids, 0) ?? 0);
  await writeTree(entries, { place: tree, ownership, ids, shown: directory });
}

/** `-a`: the container's own user, if it is not root anyway. */
function ownerOf({ root, record }: ContainerView): Ownership {
  if (record.config.User === "") return "kept";
  const { uid, gid } = resolveUser(root.number, record.config.User);
  return { uid, gid };
}

/** Throws, in Docker's words, where the container may not write either. */
function checkWritable({ record, isLive }: ContainerView, path: string): void {
  const covers = (destination: string) => path === destination || path.startsWith(`${destination}/`);
  const mount = record.runtime.mounts
    .filter(({ Destination, Type }) => covers(Destination) && (isLive || Type !== "tmpfs"))
    .reduce<{ readonly Destination: string; readonly RW: boolean } | undefined>(
      (nearest, one) => (nearest === undefined || one.Destination.length > nearest.Destination.length ? one : nearest),
      undefined,
    );
  if (mount !== undefined && !mount.RW) throw new CtrError("denied", "mounted volume is marked read-only");
  const isInMemory = isLive && Object.keys(record.hostConfig.Tmpfs ?? {}).some(covers);
  if (mount === undefined && !isInMemory && record.hostConfig.ReadonlyRootfs) {
    throw new CtrError("denied", "container rootfs is marked read-only");
  }
}

/** A source in a container; in an archive of the root every name begins with the slash that is its name. */
interface Located {
  /** What it is called where it is copied to, and what it is called itself if a link was followed. */
  readonly name: string;
  readonly ownName: string;
  readonly isDirectory: boolean;
  read(name: string): Iterable<CopyEntry>;
}

/** Finds the source in the container. Throws `not-found` in Docker's words. */
function locate(view: ContainerView, { container, path, follow }: CopyFromOptions): Located {
  let wanted = absoluteKeepingEnd(path);
  let rename: string | undefined;
  try {
    let found = look(view.root, wanted);
    if (follow && found.target !== undefined) {
      const target = followed(wanted, found.target);
      wanted = target.path;
      rename = target.rename;
      found = look(view.root, wanted);
    }
    const isTree = isDirectory(found.stat);
    const ownName = endsInDot(wanted) ? "." : baseName(wanted);
    return {
      name: rename ?? ownName,
      ownName,
      isDirectory: isTree,
      read: (shown) => withIds(view, readInside(view, wanted, isTree, shown)),
    };
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR, ELOOP)) throw notFound(path, container, error);
    throw error;
  }
}

/** user_namespaces(7), "overflowuid": what ids look like that the container does not have. */
const NOBODY_INSIDE = 65534;

/** The owners as the container sees them. */
function* withIds({ ids }: ContainerView, entries: Iterable<CopyEntry>): Generator<CopyEntry, void, undefined> {
  for (const entry of entries) {
    if (ids === undefined) yield entry;
    else {
      const uid = inside(ids.uids, entry.uid) ?? NOBODY_INSIDE;
      const gid = inside(ids.gids, entry.gid) ?? NOBODY_INSIDE;
      yield { ...entry, uid, gid };
    }
  }
}

function* readInside(
  view: ContainerView,
  path: string,
  isTree: boolean,
  shown: string,
): Generator<CopyEntry, void, undefined> {
  const { root } = view;
  if (isTree) {
    using directory = openInside(root, path, O_RDONLY | O_DIRECTORY | (assertsDirectory(path) ? 0 : O_NOFOLLOW));
    yield* readTree(directory, NOTHING, encode(shown), kernelsOwn(view));
    return;
  }
  const { directory, base } = splitEntry(path);
  using parent = openInside(root, directory, O_PATH | O_DIRECTORY);
  yield* readTree(parent, encode(base), encode(shown));
}

const NOTHING = new Uint8Array(0);

function notFound(path: string, container: string, cause: unknown): CtrError {
  return new CtrError("not-found", `Could not find the file ${path} in container ${container}`, { cause });
}

/** As a prefix of names that are made in a directory: the contents of `.` and of the root go right into it. */
function entryName(name: string): string {
  return name === "." || name === "/" ? "" : name;
}

/** Where in the container a copy goes; a link there is followed. */
function containerDestination({ root }: ContainerView, { container, path }: CopyToOptions): CopyDestination {
  if (path === "") throw new CtrError("not-found", "no such directory");
  let wanted = absoluteKeepingEnd(path);
  let found = tryLook(root, wanted);
  if (found?.target !== undefined) {
    wanted = found.target;
    found = tryLook(root, wanted);
  }
  if (found === undefined) return { path: wanted, kind: "absent" };
  const special = specialKind(found.stat);
  if (special !== undefined) {
    throw new CtrError(
      "invalid",
      `destination "${container}:${path}" must be a directory or a regular file: got a ${special}`,
    );
  }
  return { path: wanted, kind: isDirectory(found.stat) ? "directory" : "other" };
}

function tryLook(root: Fd, path: string): ReturnType<typeof look> | undefined {
  try {
    return look(root, path);
  } catch (error) {
    // Docker goes on with what it cannot see: the parent may be there.
    if (error instanceof CtrError) return undefined;
    throw error;
  }
}

/** Directories below one of the host: the archive's names go through no link. */
function below(directory: Fd): PlaceFinder {
  const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  const openPlace = (names: readonly string[]) =>
    openat2(directory.number, names.length === 0 ? "." : Buffer.from(names.join("/"), "latin1"), {
      flags: O_RDONLY | O_DIRECTORY,
      resolve,
    });
  return {
    open: openPlace,
    // Every directory has an entry of its own, which came before.
    make: openPlace,
  };
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
