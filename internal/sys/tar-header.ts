/** The numbers of a tar header (csrc/tar-header.c). */
import { CtrError } from "../errors/error.ts";
import { lib } from "./lib.ts";

const BLOCK = 512;

/** What a block is, in the order of csrc/tar-header.c. */
const KINDS = ["end", "header", "damaged"] as const;

/** Where a field of `TarFields` is; lengths are those of the texts, without the NUL. */
export const TAR_SIZE = 0;
export const TAR_MODE = 1;
export const TAR_UID = 2;
export const TAR_GID = 3;
export const TAR_MTIME = 4;
export const TAR_NAME_LENGTH = 5;
export const TAR_LINK_LENGTH = 6;
/** 0 where the format has no prefix. */
export const TAR_PREFIX_LENGTH = 7;
/** Of the mtime, with its sign. */
export const TAR_NANOSECONDS = 8;
/** Where the header is, from where it was looked for: behind an extended header that was read with it. */
export const TAR_BEGIN = 9;
const FIELDS = 10;

/** The fields of the header that was read last; NaN where a field holds no number. */
export type TarFields = Float64Array;

export function tarFields(): TarFields {
  return new Float64Array(FIELDS);
}

/**
 * Reads the header of 512 bytes at `at`: `end` is a block of zeros, `damaged` has not the sum it says; then no field is set.
 * With `size` above a block, which must be there, a pax header that says nothing but times may be read with the one that follows it.
 */
export function readTarHeader(bytes: Uint8Array, into: TarFields, at = 0, size = BLOCK): (typeof KINDS)[number] {
  if (size < BLOCK || at + size > bytes.length || into.length !== FIELDS) throw new CtrError("internal", "not a block");
  const kind = KINDS[Number(lib.ctr_tar_header(bytes, at, size, into))];
  if (kind === undefined) throw new CtrError("internal", "a block of no kind");
  return kind;
}
