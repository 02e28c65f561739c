/**
 * POSIX ACLs as star and GNU tar write them, as text (`user::rwx`, `user:1000:r-x`, star's `user:joe:r-x:1000`), turned
 * into the attribute the kernel takes (acl(5), linux/posix_acl_xattr.h). Names of users mean nothing outside of the
 * system that wrote them, so an entry that has no number gives no ACL.
 */

const VERSION = 2;
const TAGS: { readonly [kind: string]: readonly [nobody: number, named: number] } = {
  user: [0x01, 0x02],
  group: [0x04, 0x08],
  mask: [0x10, 0x10],
  other: [0x20, 0x20],
};
/** ACL_UNDEFINED_ID: of an entry that names nobody. */
const NOBODY = 0xffffffff;

/** The value of `system.posix_acl_access` or `…_default`, or undefined for a text that is none. */
export function aclXattr(text: string): Uint8Array | undefined {
  const entries: (readonly [tag: number, permissions: number, id: number])[] = [];
  for (const line of text.split(/[\n,]/)) {
    const entry = line.replace(/#.*/, "").trim();
    if (entry === "") continue;
    const [kind = "", who = "", permissions = "", number = ""] = entry.split(":").map((part) => part.trim());
    const tags = Object.hasOwn(TAGS, kind) ? TAGS[kind] : undefined;
    const id = /^\d{1,10}$/.test(number) ? number : who;
    if (tags === undefined || !/^[r-][w-][x-]$/.test(permissions)) return undefined;
    if (who === "") entries.push([tags[0], bits(permissions), NOBODY]);
    else if (/^\d{1,10}$/.test(id) && Number(id) < NOBODY) entries.push([tags[1], bits(permissions), Number(id)]);
    else return undefined;
  }
  if (entries.length === 0) return undefined;
  // The kernel takes them in the order of their tags, and those of one tag by their ids.
  entries.sort(([tagA, , idA], [tagB, , idB]) => tagA - tagB || idA - idB);
  const value = new DataView(new ArrayBuffer(4 + entries.length * 8));
  value.setUint32(0, VERSION, true);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    value.setUint16(4 + index * 8, tag, true);
    value.setUint16(6 + index * 8, permissions, true);
    value.setUint32(8 + index * 8, id, true);
  }
  return new Uint8Array(value.buffer);
}

function bits(permissions: string): number {
  return [...permissions].reduce((sum, letter) => sum * 2 + (letter === "-" ? 0 : 1), 0);
}
