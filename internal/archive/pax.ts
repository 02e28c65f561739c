/** pax extended headers (POSIX.1-2001, pax(1) "pax Extended Header"): records of `length keyword=value\n`. */
import { CtrError } from "../errors/error.ts";
import type { EntryHeader } from "../spec/layer-entry.ts";
import { aclXattr } from "./acl.ts";

/** What a pax header said, as far as a layer needs it. */
export interface PaxFields {
  readonly path?: Uint8Array;
  readonly linkpath?: Uint8Array;
  readonly size?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtimeNs?: bigint;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
  /** GNU sparse formats 0.0, 0.1 and 1.0, GNU tar manual "PAX 1". */
  readonly sparse?: { readonly size: number; readonly map: readonly number[] | undefined };
  readonly sparseName?: Uint8Array;
}

const XATTR_PREFIX = "SCHILY.xattr.";

/** The records of one extended header. Throws CtrError `invalid` for a broken one. */
export function parsePax(bytes: Uint8Array): PaxFields {
  const fields: { -readonly [Key in keyof PaxFields]: PaxFields[Key] } = { xattrs: new Map() };
  const xattrs = new Map<string, Uint8Array>();
  const acls = new Map<string, Uint8Array>();
  const offsets: number[] = [];
  let sparseSize: number | undefined;
  let sparseMap: number[] | undefined;
  let sparseMajor = 0;
  for (const [keyword, value] of records(bytes)) {
    if (keyword.startsWith(XATTR_PREFIX)) {
      xattrs.set(decodeName(keyword.slice(XATTR_PREFIX.length)), value);
      continue;
    }
    if (keyword === "SCHILY.acl.access" || keyword === "SCHILY.acl.default") {
      acls.set(`system.posix_acl_${keyword.slice("SCHILY.acl.".length)}`, value);
      continue;
    }
    if (value.length === 0) continue; // an empty value takes the keyword back: the ustar field holds
    switch (keyword) {
      case "path":
        fields.path = noNul(value, keyword);
        break;
      case "linkpath":
        fields.linkpath = noNul(value, keyword);
        break;
      case "size":
        fields.size = count(value, keyword);
        break;
      case "uid":
        fields.uid = count(value, keyword);
        break;
      case "gid":
        fields.gid = count(value, keyword);
        break;
      case "mtime":
        fields.mtimeNs = parseTime(ascii(value));
        break;
      case "GNU.sparse.major":
        sparseMajor = count(value, keyword);
        break;
      case "GNU.sparse.size":
      case "GNU.sparse.realsize":
        sparseSize = count(value, keyword);
        break;
      case "GNU.sparse.name":
        fields.sparseName = noNul(value, keyword);
        break;
      case "GNU.sparse.map":
        sparseMap = ascii(value)
          .split(",")
          .map((text) => count(new TextEncoder().encode(text), keyword));
        break;
      case "GNU.sparse.offset":
      case "GNU.sparse.numbytes":
        offsets.push(count(value, keyword));
        break;
    }
  }
  for (const [name, text] of acls) {
    const value = xattrs.has(name) ? undefined : aclXattr(ascii(text));
    if (value !== undefined) xattrs.set(name, value);
  }
  fields.xattrs = xattrs;
  if (sparseSize !== undefined) {
    const map = sparseMajor >= 1 ? undefined : (sparseMap ?? offsets);
    fields.sparse = { size: sparseSize, map };
  }
  return fields;
}

/** An equals sign ends the keyword, so GNU tar writes it otherwise, and the sign it uses for that too. */
function decodeName(name: string): string {
  return name.replaceAll("%3D", "=").replaceAll("%25", "%");
}

export function encodeName(name: string): string {
  return name.replaceAll("%", "%25").replaceAll("=", "%3D");
}

/** The header with everything a pax header says put in place of the ustar fields. */
export function applyPax(header: EntryHeader, pax: PaxFields): EntryHeader {
  const isLink = header.kind === "link" || header.kind === "symlink";
  return {
    ...header,
    name: pax.path ?? header.name,
    linkname: isLink ? (pax.linkpath ?? header.linkname) : header.linkname,
    uid: pax.uid ?? header.uid,
    gid: pax.gid ?? header.gid,
    size: header.kind === "file" ? (pax.size ?? header.size) : 0,
    mtimeNs: pax.mtimeNs ?? header.mtimeNs,
    xattrs: pax.xattrs,
  };
}

function* records(bytes: Uint8Array): Generator<readonly [keyword: string, value: Uint8Array], void, undefined> {
  for (let at = 0; at < bytes.length; ) {
    const blank = bytes.indexOf(0x20, at);
    if (blank < 0 || blank - at > 10 || blank === at) throw corrupt();
    const length = numberIn(bytes, at, blank, "length");
    const end = at + length;
    const equals = bytes.indexOf(0x3d, blank);
    if (end > bytes.length || equals < 0 || equals >= end || bytes[end - 1] !== 0x0a) throw corrupt();
    yield [DECODER.decode(bytes.subarray(blank + 1, equals)), bytes.slice(equals + 1, end - 1)];
    at = end;
  }
}

/** `seconds[.fraction]`, perhaps negative, as nanoseconds; digits after the ninth are dropped. */
export function parseTime(text: string): bigint {
  const match = /^(-?)(\d{1,18})(?:\.(\d*))?$/.exec(text);
  if (match === null) throw corrupt();
  const [, sign, seconds = "0", fraction = ""] = match;
  const ns = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
  return sign === "-" ? -ns : ns;
}

function count(value: Uint8Array, keyword: string): number {
  return numberIn(value, 0, value.length, keyword);
}

/** One to sixteen decimal digits. */
function numberIn(bytes: Uint8Array, start: number, end: number, keyword: string): number {
  let result = start < end && end - start <= 16 ? 0 : Number.NaN;
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] ?? 0) - 0x30;
    result = digit >= 0 && digit <= 9 ? result * 10 + digit : Number.NaN;
  }
  if (!Number.isSafeInteger(result)) throw new CtrError("invalid", `corrupt pax header (${keyword})`);
  return result;
}

function noNul(value: Uint8Array, keyword: string): Uint8Array {
  if (value.includes(0)) throw new CtrError("invalid", `corrupt pax header (${keyword})`);
  return value;
}

function ascii(value: Uint8Array): string {
  return LATIN1.decode(value);
}

// Making one costs more than what it mostly decodes.
const DECODER = new TextDecoder();
const LATIN1 = new TextDecoder("latin1");

function corrupt(): CtrError {
  return new CtrError("invalid", "corrupt pax header");
}
