/** One file of a layer: the fields of a tar header, as image-spec layer.md names them. */

/** `link` is a hard link; its target is named by `linkname` as a path from the layer's root. */
export type EntryKind = "file" | "directory" | "symlink" | "link" | "char" | "block" | "fifo";

export interface EntryHeader {
  readonly kind: EntryKind;
  /** The path as the archive has it, raw bytes: not checked, not normalised. */
  readonly name: Uint8Array;
  /** The target of a `link` or `symlink`, raw bytes; empty otherwise. */
  readonly linkname: Uint8Array;
  /** Permission bits with setuid, setgid and sticky: `& 0o7777`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content; 0 for everything but a `file`. */
  readonly size: number;
  readonly mtimeNs: bigint;
  /** Of a `char` or `block` device. */
  readonly major: number;
  readonly minor: number;
  /** Extended attributes by full name (`security.capability`). */
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** A header with its content; the content can be read once, before the next entry is asked for. */
export interface LayerEntry extends EntryHeader {
  readonly content: AsyncIterable<Uint8Array>;
}

/** image-spec layer.md#whiteouts. */
export const WHITEOUT_PREFIX = ".wh.";
export const OPAQUE_WHITEOUT = ".wh..wh..opq";
