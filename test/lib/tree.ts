/** A directory tree as a comparable value: every name with all that a layer must carry. */
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { lgetxattr, llistxattr, readlinkat } from "../../internal/sys/file.ts";

const AT_FDCWD = -100;
const S_IFMT = 0o170000;

export interface TreeOptions {
  /** Paths (`etc/hosts`) to leave out, with what is below them. */
  readonly without?: readonly string[];
  /** Leaves out which names are links to one file: overlayfs breaks links when it copies one of them up. */
  readonly withoutLinks?: boolean;
}

/** One line per name below `root` and for the root itself: mode, owner, times, device, attributes, links, content. */
export function tree(root: string, options: TreeOptions = {}): readonly string[] {
  const lines: string[] = [];
  const firstNames = new Map<bigint, string>();
  const visit = (path: Uint8Array, name: string) => {
    if (options.without?.includes(name)) return;
    const at = Buffer.from(path);
    const stat = lstatSync(at, { bigint: true });
    const kind = Number(stat.mode) & S_IFMT;
    const facts = [`${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${stat.mtimeNs}`];
    if (kind === 0o020000 || kind === 0o060000) facts.push(`device ${stat.rdev}`);
    if (kind === 0o120000) facts.push(`-> ${Buffer.from(readlinkat(AT_FDCWD, path)).toString("latin1")}`);
    if (kind === 0o100000) {
      const first = firstNames.get(stat.ino) ?? name;
      firstNames.set(stat.ino, first);
      facts.push(`${stat.size} ${Bun.hash(readFileSync(at))}`);
      if (options.withoutLinks !== true) facts.push(`${first} ${stat.nlink}`);
    }
    for (const xattr of llistxattr(path)
      .filter((one) => !one.startsWith("trusted."))
      .sort()) {
      facts.push(`${xattr}=${lgetxattr(path, xattr)?.toHex()}`);
    }
    lines.push(`${name} ${facts.join(" ")}`);
    if (kind !== 0o040000) return;
    for (const child of readdirSync(at, { encoding: "buffer" }).sort(Buffer.compare)) {
      const shown = child.toString("latin1");
      visit(Buffer.concat([at, Buffer.from("/"), child]), name === "." ? shown : `${name}/${shown}`);
    }
  };
  visit(Buffer.from(root), ".");
  return lines;
}
