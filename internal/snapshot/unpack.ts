/**
 * Unpacking a layer for overlayfs (image-spec layer.md#applying-changesets). What an archive is mostly made of, files,
 * directories and links, is written down as steps for a thread of its own (sys/tree-writer.ts); the rest waits for the
 * thread and is done here (layer-root.ts, which also says why nothing outside the layer's directory is touched).
 */
import { CtrError, EEXIST, ELOOP, ENOENT, ENOTDIR, EOPNOTSUPP, EPERM, isErrno, SyscallError } from "../errors/error.ts";
import {
  DEFAULT_LIMITS,
  type EntryHeader,
  HELD_CHUNKS,
  type LayerEvent,
  type LayerLimits,
  OPAQUE_WHITEOUT,
  WHITEOUT_PREFIX,
} from "../spec/layer-entry.ts";
import { FILE_SLOT, FIRST_SLOT, ROOT_SLOT, SLOT_COUNT, type Step, TreeWriter } from "../sys/tree-writer.ts";
import {
  BENEATH,
  DEFAULT_ACL,
  DIRECTORY_FLAGS,
  LayerRoot,
  latin1,
  type Place,
  placeOf,
  setXattrs,
  shown,
} from "./layer-root.ts";
import { LowerLayers } from "./lower-lookup.ts";
import { isPrivateXattr, isWhiteoutDevice } from "./overlay.ts";

/**
 * Unpacks what comes out of an archive into `directory`, which exists and is empty. Returns the bytes of all regular
 * files. Throws CtrError `invalid` for an entry that is refused; the caller removes the directory.
 */
export async function unpackLayer(
  events: AsyncIterable<readonly LayerEvent[]>,
  directory: string,
  lower: Lower,
  limits: Pick<LayerLimits, "unpackedBytes"> = DEFAULT_LIMITS,
): Promise<number> {
  using unpacker = new Unpacker(directory, lower, limits.unpackedBytes);
  for await (const some of events) {
    for (const event of some) {
      const waiting = unpacker.add(event);
      if (waiting !== undefined) await waiting;
    }
    await unpacker.letGo();
  }
  await unpacker.finish();
  return unpacker.size;
}

/**
 * The directories of the layers below, topmost first. A promise of them, where there are some: several layers may be
 * unpacked at once, because what is below matters only at the end, and to a hard link that leads there.
 */
export type Lower = readonly string[] | Promise<readonly string[]>;

/** What a step was written down for. */
interface Tag {
  readonly place: Place;
  hasFailed: boolean;
}

interface OpenFile {
  readonly header: EntryHeader;
  readonly tag: Tag;
  readonly endsInHole: boolean;
}

class Unpacker implements Disposable {
  size = 0;
  readonly #root: LayerRoot;
  readonly #writer: TreeWriter<Tag>;
  readonly #lower: Lower;
  readonly #hasLower: boolean;
  readonly #maxBytes: number;
  #openLower: LowerLayers | undefined;
  /** Every directory of this layer, also those that are only written down. */
  readonly #known = new Set<string>([""]);
  /** Directories the thread holds open. */
  readonly #slots = new Map<string, number>();
  /** Which directory each slot was last taken for. */
  readonly #taken: string[] = [];
  #nextSlot = FIRST_SLOT;
  /** Set last, because whatever is made inside a directory changes them. */
  readonly #directoryTimes = new Map<string, bigint>();
  readonly #defaultAcls = new Map<string, Uint8Array>();
  /** The file whose content comes now. */
  #file: OpenFile | undefined;
  /** How far the writing was after each of the last chunks. */
  readonly #marks: number[] = [];
  #writtenBytes = 0;
  #isRootOpaque = false;

  constructor(directory: string, lower: Lower, maxBytes: number) {
    this.#lower = lower;
    this.#hasLower = !Array.isArray(lower) || lower.length > 0;
    this.#maxBytes = maxBytes;
    using stack = new DisposableStack();
    this.#root = stack.use(new LayerRoot(directory));
    const root = this.#root.openRoot();
    this.#writer = new TreeWriter<Tag>(root.take(), (step, error, tag) => this.#repair(step, error, tag));
    stack.move();
  }

  [Symbol.dispose](): void {
    this.#writer[Symbol.dispose]();
    this.#root[Symbol.dispose]();
    this.#openLower?.[Symbol.dispose]();
  }

  /** Called after each chunk of the archive: what lies too far back is not held any longer. */
  async letGo(): Promise<void> {
    this.#marks.push(this.#writer.mark());
    const [oldest = -1] = this.#marks;
    if (this.#marks.length < HELD_CHUNKS) return;
    this.#marks.shift();
    await this.#writer.reach(oldest);
  }

  /** Returns a promise only where there is something to wait for: seldom, and each costs as much as the rest. */
  add(event: LayerEvent): Promise<void> | undefined {
    if (this.#writer.isFull) return this.#addAfterFlush(event);
    switch (event.type) {
      case "entry":
        return this.#addUsual(event.header) ? undefined : this.#addEntry(event.header);
      case "data":
        this.#addContent(event.bytes);
        return undefined;
      case "hole":
        this.#addHole(event.size);
        return undefined;
      default:
        return event satisfies never;
    }
  }

  async #addAfterFlush(event: LayerEvent): Promise<void> {
    await this.#writer.flush();
    await this.add(event);
  }

  /** Sets what could only be set last. */
  async finish(): Promise<void> {
    if (this.#file !== undefined) await this.#endFile(this.#file);
    await this.#writer.drain();
    if (this.#hasLower) {
      const below = await this.#below();
      for (const key of this.#root.implied) {
        const mtimeNs = this.#root.likeBelow(key, below);
        if (mtimeNs !== undefined) this.#directoryTimes.set(key, mtimeNs);
      }
      if (this.#isRootOpaque) this.#root.hideRoot(below);
    }
    for (const [key, value] of this.#defaultAcls) {
      using fd = this.#root.openDirectory(key);
      setXattrs(fd.number, new Map([[DEFAULT_ACL, value]]));
    }
    for (const [key, mtimeNs] of this.#directoryTimes) {
      if (this.#writer.isFull) await this.#writer.flush();
      const tag = { place: placeOf(key), hasFailed: false };
      this.#writer.setTime(tag, this.#slotOf(key), mtimeNs);
    }
    await this.#writer.drain();
  }

  /** Adds what most entries are, a file or a link where no directory of this layer is; false for any other. */
  #addUsual(header: EntryHeader): boolean {
    if (this.#file !== undefined) {
      if (this.#file.header.xattrs.size > 0) return false;
      this.#finishFile(this.#file);
    }
    const isFile = header.kind === "file";
    const isLink = header.kind === "symlink" && header.xattrs.size === 0 && header.linkname.length > 0;
    if ((!isFile && !isLink) || header.uid > MAX_ID || header.gid > MAX_ID) return false;
    const key = keyOf(header.name);
    if (key === "" || hasWhiteout(key) || this.#isKnownDirectory(key)) return false;
    const place = placeOf(key);
    if (isFile) this.#addFile(header, place);
    else this.#addSymlink(header, place);
    return true;
  }

  #addFile(header: EntryHeader, place: Place): void {
    const tag = this.#tagOf(place);
    this.#writer.makeFile(tag, this.#slotOf(place.directory), place.name, header.mode);
    this.#file = { header, tag, endsInHole: false };
    this.size += header.size;
  }

  #addSymlink(header: EntryHeader, place: Place): void {
    const target = latin1(header.linkname);
    const tag = this.#tagOf(place);
    this.#writer.makeSymlink(tag, this.#slotOf(place.directory), place.name, target, header, header.mtimeNs);
  }

  /** The tag of an entry that takes the place of whatever has its name. */
  #tagOf(place: Place): Tag {
    const { whiteouts } = this.#root;
    if (whiteouts.size > 0) whiteouts.delete(place.key); // it is replaced when its name is taken
    return { place, hasFailed: false };
  }

  async #addEntry(header: EntryHeader): Promise<void> {
    if (this.#file !== undefined) await this.#endFile(this.#file);
    const key = keyOf(header.name);
    if (header.uid > MAX_ID || header.gid > MAX_ID)
      throw new CtrError("invalid", `${shown(key)}: no such owner: ${header.uid}:${header.gid}`);
    if (key === "") {
      if (header.kind === "directory") await this.#setDirectory(header, key);
      return;
    }
    const place = placeOf(key);
    try {
      if (hasWhiteout(key)) await this.#addWhiteout(key);
      else if (header.kind === "directory") await this.#addDirectory(header, place);
      else await this.#addOther(header, place);
    } catch (error) {
      throw refusedLink(error, key);
    }
  }

  /** Anything but a directory. */
  async #addOther(header: EntryHeader, place: Place): Promise<void> {
    if (this.#isKnownDirectory(place.key)) await this.#removeDirectory(place);
    switch (header.kind) {
      case "file":
        this.#addFile(header, place);
        return;
      case "symlink":
        if (header.linkname.length === 0) throw new CtrError("invalid", `${shown(place.key)}: a link to nowhere`);
        if (header.xattrs.size === 0) this.#addSymlink(header, place);
        else await this.#slowly(() => this.#root.makeSymlink(header, place));
        return;
      case "link":
        await this.#addLink(header, place, this.#tagOf(place));
        return;
      case "char":
      case "block":
      case "fifo":
        // A whiteout is said with a name of its own; overlayfs' form of it in an archive is nobody's file.
        if (header.kind === "char" && isWhiteoutDevice(header.major, header.minor)) return;
        await this.#slowly(() => this.#root.makeNode(header, place));
        return;
      case "directory":
        throw new CtrError("internal", "a directory is not anything else");
      default:
        header.kind satisfies never;
    }
  }

  async #addLink(header: EntryHeader, place: Place, tag: Tag): Promise<void> {
    const target = placeOf(keyOf(header.linkname));
    if (target.key === place.key) return; // a link to itself is already there
    if (target.key === "") throw new CtrError("invalid", `${shown(place.key)}: hard link to /: is a directory`);
    if (this.#isKnownDirectory(target.directory) && !this.#isKnownDirectory(target.key) && this.#hasNoWhiteouts()) {
      const from = this.#slotOf(target.directory);
      const to = this.#slotOf(place.directory);
      // With few slots the second may have taken the place of the first, so it is looked up again.
      if (this.#slots.get(target.directory) === from || from === ROOT_SLOT) {
        this.#writer.makeLink(tag, to, place.name, from, target.name);
        this.#linkTargets.set(tag, target);
        return;
      }
    }
    await this.#writer.drain();
    this.size += await this.#root.makeLink(place, target, () => this.#below());
  }

  /** Where a link that was written down leads to, for when the step fails. */
  readonly #linkTargets = new WeakMap<Tag, Place>();

  #hasNoWhiteouts(): boolean {
    return this.#root.whiteouts.size === 0;
  }

  async #addDirectory(header: EntryHeader, place: Place): Promise<void> {
    const { key } = place;
    if (this.#isKnownDirectory(key)) {
      await this.#setDirectory(header, key);
      return;
    }
    if (this.#root.whiteouts.has(key)) {
      await this.#writer.drain();
      using parent = this.#root.openDirectory(place.directory);
      this.#root.makeDirectory(parent.number, place).close();
      this.#known.add(key);
      await this.#setDirectory(header, key);
      return;
    }
    const tag = { place, hasFailed: false };
    const parent = this.#slotOf(place.directory);
    const slot = this.#takeSlot(key);
    this.#known.add(key);
    this.#writer.makeDirectory(tag, parent, slot, place.name, header);
    for (const [name, value] of header.xattrs) {
      if (name === DEFAULT_ACL) this.#defaultAcls.set(key, value);
      else if (!isPrivateXattr(name)) this.#writer.setXattr(tag, slot, name, value);
      if (this.#writer.isFull) await this.#writer.flush();
    }
    this.#directoryTimes.set(key, header.mtimeNs);
  }

  /** What an entry says about a directory that is there already. */
  async #setDirectory(header: EntryHeader, key: string): Promise<void> {
    await this.#writer.drain();
    this.#root.implied.delete(key);
    using fd = this.#root.openDirectory(key);
    this.#root.setOwner(fd, header);
    setXattrs(fd.number, new Map([...header.xattrs].filter(([name]) => name !== DEFAULT_ACL)));
    const acl = header.xattrs.get(DEFAULT_ACL);
    if (acl !== undefined) this.#defaultAcls.set(key, acl);
    this.#directoryTimes.set(key, header.mtimeNs);
  }

  #addContent(content: Uint8Array): void {
    const file = this.#file;
    if (file === undefined) return; // of a whiteout, or of what names the root: nobody's
    this.#writtenBytes += content.length;
    if (this.#writtenBytes > this.#maxBytes)
      throw new CtrError("invalid", `the layer holds more than ${this.#maxBytes} bytes`);
    this.#writer.write(file.tag, content);
    if (file.endsInHole) this.#file = { ...file, endsInHole: false };
  }

  #addHole(size: number): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#writer.hole(file.tag, size);
    this.#file = { ...file, endsInHole: true };
  }

  /** Owner before mode before attributes: chown clears setuid and file capabilities (chown(2), capabilities(7)). */
  async #endFile(file: OpenFile): Promise<void> {
    const { header, tag, endsInHole } = file;
    if (header.xattrs.size === 0) {
      this.#finishFile(file);
      return;
    }
    this.#file = undefined;
    if (endsInHole) this.#writer.truncate(tag, header.size);
    this.#writer.endFile(tag, header);
    for (const [name, value] of header.xattrs) {
      if (this.#writer.isFull) await this.#writer.flush();
      if (!isPrivateXattr(name)) this.#writer.setXattr(tag, FILE_SLOT, name, value);
    }
    this.#writer.closeFile(tag, header.mtimeNs);
  }

  /** Ends a file that has no attributes. */
  #finishFile({ header, tag, endsInHole }: OpenFile): void {
    this.#file = undefined;
    if (endsInHole) this.#writer.truncate(tag, header.size);
    this.#writer.finishFile(tag, header, header.mtimeNs);
  }

  async #addWhiteout(key: string): Promise<void> {
    const names = key.split("/");
    const index = names.findIndex((name) => name.startsWith(WHITEOUT_PREFIX));
    const name = names[index] ?? "";
    const directory = names.slice(0, index).join("/");
    if (name === OPAQUE_WHITEOUT) {
      if (directory === "") this.#isRootOpaque = true;
      else if (this.#hasLower) await this.#slowly(() => this.#root.makeOpaque(directory));
      return;
    }
    // Other names of this prefix are aufs' own bookkeeping.
    if (name.startsWith(`${WHITEOUT_PREFIX}${WHITEOUT_PREFIX}`)) return;
    const hidden = name.slice(WHITEOUT_PREFIX.length);
    if (index !== names.length - 1 || hidden === "" || hidden === "." || hidden === "..") {
      throw new CtrError("invalid", `${shown(key)}: refused, not a whiteout`);
    }
    if (!this.#hasLower) return;
    await this.#slowly(() => this.#hide(placeOf(directory === "" ? hidden : `${directory}/${hidden}`)));
  }

  #hide(place: Place): void {
    try {
      this.#root.hide(place);
    } catch (error) {
      // This layer has something else where the directory was, which hides it whole; umoci names what was in it too.
      if (!isErrno(error, ELOOP, ENOTDIR)) throw error;
    }
  }

  /** Waits for the thread, then acts. */
  async #slowly(act: () => void): Promise<void> {
    await this.#writer.drain();
    act();
  }

  #isKnownDirectory(key: string): boolean {
    return this.#known.has(key);
  }

  /** Removes a directory of this layer, and forgets all that is remembered of it and of what it held. */
  async #removeDirectory(place: Place): Promise<void> {
    await this.#writer.drain();
    using parent = this.#root.openDirectory(place.directory);
    this.#root.removeTree(parent.number, place);
    const isBelow = (key: string) => key === place.key || key.startsWith(`${place.key}/`);
    const { implied, whiteouts } = this.#root;
    for (const keys of [this.#known, this.#directoryTimes, this.#defaultAcls, this.#slots, implied, whiteouts])
      for (const key of [...keys.keys()]) if (isBelow(key)) keys.delete(key);
  }

  /** The slot of a directory of this layer; opened when it is not, and made when it is not there (`#repair`). */
  #slotOf(key: string): number {
    if (key === "") return ROOT_SLOT;
    const known = this.#slots.get(key);
    if (known !== undefined) return known;
    for (let at = key; !this.#known.has(at); at = placeOf(at).directory) this.#known.add(at);
    const slot = this.#takeSlot(key);
    const tag = { place: placeOf(key), hasFailed: false };
    this.#writer.openDirectory(tag, slot, key, DIRECTORY_FLAGS, BENEATH);
    return slot;
  }

  /** Slots are filled in turn: archives go through a tree in order, so those of the last directories are enough. */
  #takeSlot(key: string): number {
    const slot = this.#nextSlot;
    this.#nextSlot = slot + 1 < SLOT_COUNT ? slot + 1 : FIRST_SLOT;
    const before = this.#taken[slot];
    if (before !== undefined && this.#slots.get(before) === slot) this.#slots.delete(before);
    this.#taken[slot] = key;
    this.#slots.set(key, slot);
    return slot;
  }

  /** Puts right what made a step fail, or throws what there is to say about it. Each step is tried twice at most. */
  async #repair(step: Step, error: SyscallError, tag: Tag): Promise<"retry" | "skip"> {
    const { place } = tag;
    const told = new SyscallError(error.syscall, error.errno, shown(place.key));
    if (step === "set-xattr" && isErrno(error, EOPNOTSUPP)) return "skip"; // as every unpacker: the file is whole without
    if (tag.hasFailed) throw told;
    tag.hasFailed = true;
    if (step === "open-directory" && isErrno(error, ENOENT, ENOTDIR)) {
      this.#openMissing(place);
      return "retry";
    }
    if (step === "make-link" && isErrno(error, ENOENT, EPERM)) {
      const target = this.#linkTargets.get(tag);
      if (target === undefined) throw told;
      this.size += await this.#root.makeLink(place, target, () => this.#below());
      return "skip";
    }
    const isMake = step === "make-file" || step === "make-symlink" || step === "make-directory" || step === "make-link";
    if (isMake && isErrno(error, EEXIST)) {
      using parent = this.#root.openDirectory(place.directory);
      this.#root.removeFile(parent.number, place);
      return "retry";
    }
    throw refusedLink(told, place.key);
  }

  #openMissing(place: Place): void {
    try {
      this.#root.openDirectory(place.key).close();
    } catch (error) {
      throw refusedLink(error, place.key);
    }
  }

  /** The layers below, opened when they are first needed: they may have to be waited for. */
  async #below(): Promise<LowerLayers> {
    this.#openLower ??= new LowerLayers(await this.#lower);
    return this.#openLower;
  }
}

/** uid_t holds more, but (uid_t)-1 means "leave it" to chown(2). */
const MAX_ID = 0xfffffffe;

/** Names that need a closer look: empty, `.`, `..`. */
const UNUSUAL = /(^|\/)\.{0,2}(\/|$)/;

/** A path of the archive without `.` and empty names. No `..`; a leading `/` means the layer's root, as in Docker. */
function keyOf(path: Uint8Array): string {
  const text = latin1(path);
  const start = text.startsWith("./") ? 2 : 0;
  const end = text.endsWith("/") ? text.length - 1 : text.length;
  const usual = start < end ? text.slice(start, end) : "";
  if (!UNUSUAL.test(usual)) return usual;
  const names = text.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) throw new CtrError("invalid", `${shown(text)}: refused, the path leads out of the archive`);
  return names.join("/");
}

const WHITEOUT_BELOW = `/${WHITEOUT_PREFIX}`;

function hasWhiteout(key: string): boolean {
  return key.startsWith(WHITEOUT_PREFIX) || key.includes(WHITEOUT_BELOW);
}

function refusedLink(error: unknown, key: string): unknown {
  if (!isErrno(error, ELOOP, ENOTDIR)) return error;
  const why = "refused, the archive writes through something that is not a directory";
  return new CtrError("invalid", `${shown(key)}: ${why}`, { cause: error });
}
