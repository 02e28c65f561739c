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

/** What comes out of an archive, in order: an entry, then its content in pieces if it is a `file`. */
export type LayerEvent =
  | { readonly type: "entry"; readonly header: EntryHeader }
  /** Bytes that stay as they are for as long as the chunk of the archive they lie in (`HELD_CHUNKS`). */
  | { readonly type: "data"; readonly bytes: Uint8Array }
  /** A hole of a sparse file: it reads as zeros. */
  | { readonly type: "hole"; readonly size: number };

/**
 * Who reads an archive in chunks may use the memory of one again after so many others: page faults for memory that is
 * always new cost as much as the reading. So whoever keeps content is done with it by then.
 */
export const HELD_CHUNKS = 8;

/** Limits on what an archive may hold; more is an error. */
export interface LayerLimits {
  /** Entries in one layer. */
  readonly entries: number;
  /** Bytes of content in one layer once it is unpacked; holes do not count. */
  readonly unpackedBytes: number;
  /** A path or the target of a link; Linux takes no more than 4096 (PATH_MAX). */
  readonly pathBytes: number;
  /** The value of one extended attribute; Linux takes no more than 65536 (XATTR_SIZE_MAX). */
  readonly xattrBytes: number;
  /** Extended attributes of one entry. */
  readonly xattrs: number;
  /** One pax or GNU extension header. */
  readonly paxBytes: number;
}

export const DEFAULT_LIMITS: LayerLimits = {
  entries: 5_000_000,
  unpackedBytes: 2 ** 37,
  pathBytes: 4096,
  xattrBytes: 65_536,
  xattrs: 256,
  paxBytes: 1 << 20,
};

/** image-spec layer.md#whiteouts. */
export const WHITEOUT_PREFIX = ".wh.";
export const OPAQUE_WHITEOUT = ".wh..wh..opq";
