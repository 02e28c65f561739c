/** Layers: what is unpacked and packed is exactly what GNU tar, umoci and skopeo make of the same bytes. */
import { describe, expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readTar, readTarEvents } from "../../internal/archive/tar-reader.ts";
import { type WritableEntry, writeTar } from "../../internal/archive/tar-writer.ts";
import { diffUpper } from "../../internal/snapshot/diff.ts";
import { unpackLayer } from "../../internal/snapshot/unpack.ts";
import { tempEngine } from "../lib/engine.ts";
import { needs } from "../lib/needs.ts";
import { isEveryStep } from "../lib/steps.ts";
import { test } from "../lib/test.ts";
import { tree } from "../lib/tree.ts";

const engine = tempEngine();
const { scratch } = engine;
const SEEDS = isEveryStep ? [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] : [1, 2, 3];

let count = 0;
const fresh = (name: string) => `${scratch}/${name}-${count++}`;

/** Runs a tool that must succeed; its standard output. */
function tool(...command: readonly string[]): string {
  const ran = Bun.spawnSync([...command]);
  if (ran.exitCode !== 0) throw new Error(`${command.join(" ")}: ${ran.stderr.toString()}`);
  return ran.stdout.toString();
}

/** A tree with every kind of file; the same seed makes the same one. */
function randomTree(seed: number): string {
  const root = fresh(`tree${seed}`);
  tool("python3", `${import.meta.dir}/../lib/random-tree.py`, root, String(seed));
  return root;
}

const change = (root: string, seed: number) =>
  tool("python3", `${import.meta.dir}/../lib/random-tree.py`, root, String(seed), "change");

const XATTRS = ["--xattrs", "--xattrs-include=*", "--numeric-owner"];

function packed(root: string, ...flags: readonly string[]): string {
  const archive = fresh("packed.tar");
  tool("tar", "-C", root, ...XATTRS, ...flags, "-cf", archive, ".");
  return archive;
}

/** What GNU tar makes of an archive. */
function untarred(archive: string, ...flags: readonly string[]): string {
  const place = fresh("untarred");
  mkdirSync(place);
  tool("tar", "-C", place, ...XATTRS, "-p", ...flags, "-xf", archive);
  return place;
}

async function unpacked(archive: string, lower: readonly string[] = []): Promise<string> {
  const place = fresh("unpacked");
  mkdirSync(place);
  await unpackLayer(readTarEvents(Bun.file(archive).stream()), place, lower);
  return place;
}

/** A layer directory as a tar: what `commit` writes of it. */
async function diffed(upper: string, lower: readonly string[] = []): Promise<string> {
  const path = fresh("diff.tar");
  writeFileSync(path, Buffer.concat(await Array.fromAsync(writeTar(diffUpper(upper, lower)))));
  return path;
}

/** The image of an OCI layout as umoci unpacks it. */
function byUmoci(layout: string, tag: string): string {
  const bundle = fresh("bundle");
  tool("umoci", "unpack", "--image", `${layout}:${tag}`, bundle);
  return `${bundle}/rootfs`;
}

/** A saved archive as a directory. */
function opened(archive: string): string {
  const layout = fresh("layout");
  mkdirSync(layout);
  tool("tar", "-xf", archive, "-C", layout);
  return layout;
}

/** The image's layers as overlayfs shows them, for the length of `look`. */
async function merged<T>(name: string, look: (root: string) => T): Promise<T> {
  const [inspected] = JSON.parse(await engine.ok("inspect", name));
  const { UpperDir, LowerDir } = inspected.GraphDriver.Data;
  const place = fresh("merged");
  mkdirSync(place);
  const lower = LowerDir === undefined ? UpperDir : `${UpperDir}:${LowerDir}`;
  const empty = fresh("empty");
  mkdirSync(empty);
  tool("mount", "-t", "overlay", "-o", `lowerdir=${lower}:${empty}`, "overlay", place);
  try {
    return look(place);
  } finally {
    tool("umount", place);
  }
}

describe("one layer", () => {
  for (const seed of SEEDS)
    test(`import: a random tree comes through as GNU tar unpacks it, and as it was, seed ${seed}`, async () => {
      const root = randomTree(seed);
      for (const format of [["--format=pax"], ["--format=pax", "--acls"], ["--format=pax", "--sparse"]]) {
        const archive = packed(root, ...format);
        const ours = tree(await unpacked(archive));
        expect(ours).toEqual(tree(untarred(archive)));
        expect(ours).toEqual(tree(root));
      }
      // GNU's own format keeps no attributes and no nanoseconds; what it keeps comes through.
      const gnu = packed(root, "--format=gnu", "--sparse", "--no-xattrs");
      expect(tree(await unpacked(gnu))).toEqual(tree(untarred(gnu)));
    });

  for (const version of ["0.0", "0.1", "1.0"])
    test(`sparse files of pax version ${version} keep their holes`, async () => {
      const root = fresh("sparse");
      mkdirSync(root);
      for (const [name, script] of [
        ["middle", "f.seek(8 << 20); f.write(b'x' * 5000); f.truncate(32 << 20)"],
        ["ends", "f.write(b'a' * 4096); f.seek(16 << 20); f.write(b'z')"],
        ["hole", "f.truncate(64 << 20)"],
        ["many", "[(f.seek(i << 16), f.write(b'y' * 4096)) for i in range(100)]"],
      ] as const)
        tool("python3", "-c", `f = open('${root}/${name}', 'wb'); ${script}`);
      const archive = packed(root, "--format=pax", "--sparse", `--sparse-version=${version}`);
      const ours = await unpacked(archive);
      expect(tree(ours)).toEqual(tree(root));
      for (const name of readdirSync(root))
        expect(statSync(`${ours}/${name}`).blocks).toBeLessThanOrEqual(statSync(`${root}/${name}`).blocks + 8);
    });

  test("an ACL that GNU tar wrote as text is set", async () => {
    const root = fresh("acl");
    mkdirSync(`${root}/dir`, { recursive: true });
    writeFileSync(`${root}/dir/file`, "x");
    const acl = "0200000001000700ffffffff020005009210000004000500ffffffff10000700ffffffff20000400ffffffff";
    const set = (path: string, name: string) =>
      tool("python3", "-c", `import os,sys; os.setxattr(sys.argv[1], '${name}', bytes.fromhex('${acl}'))`, path);
    set(`${root}/dir/file`, "system.posix_acl_access");
    set(`${root}/dir`, "system.posix_acl_default");
    const text = fresh("acl.tar");
    tool("tar", "-C", root, "--numeric-owner", "--acls", "--format=pax", "-cf", text, ".");
    expect(tree(await unpacked(text))).toEqual(tree(root));
  });

  test("a default ACL is the directory's own: no file of the archive inherits one", async () => {
    const root = randomTree(99);
    mkdirSync(`${root}/shared`);
    const acl = "0200000001000700ffffffff020007002100000004000500ffffffff10000700ffffffff20000500ffffffff";
    writeFileSync(`${root}/shared/plain`, "no ACL of its own");
    mkdirSync(`${root}/shared/sub`);
    tool(
      "python3",
      "-c",
      `import os,sys; os.setxattr(sys.argv[1], 'system.posix_acl_default', bytes.fromhex('${acl}'))`,
      `${root}/shared`,
    );
    expect(tree(await unpacked(packed(root, "--format=pax")))).toEqual(tree(root));
  });

  for (const seed of SEEDS)
    test(`unpack, diff and pack again give the same bytes, seed ${seed}`, async () => {
      const root = randomTree(seed + 100);
      const first = await diffed(root);
      const layer = await unpacked(first);
      expect(belowRoot(layer)).toEqual(belowRoot(root));
      const second = await diffed(layer);
      expect(Buffer.compare(readFileSync(second), readFileSync(first))).toBe(0);
      expect(belowRoot(untarred(first))).toEqual(belowRoot(root));
    });

  test("a socket is left out, as Docker leaves it", async () => {
    const root = fresh("socket");
    mkdirSync(root);
    tool("python3", "-c", "import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])", `${root}/s`);
    writeFileSync(`${root}/file`, "x");
    const names: string[] = [];
    for await (const { name } of readTar(Bun.file(await diffed(root)).stream()))
      names.push(new TextDecoder().decode(name));
    expect(names).toEqual(["file"]);
  });
});

describe("layers on layers", () => {
  for (const seed of SEEDS)
    test.if(needs("umoci", "skopeo", "ctr"))(
      `load: layers that umoci made are what umoci makes of them, seed ${seed}`,
      async () => {
        const layout = fresh("oci");
        tool("umoci", "init", "--layout", layout);
        tool("umoci", "new", "--image", `${layout}:base`);
        const bundle = fresh("bundle");
        tool("umoci", "unpack", "--image", `${layout}:base`, bundle);
        rmSync(`${bundle}/rootfs`, { recursive: true });
        tool("python3", `${import.meta.dir}/../lib/random-tree.py`, `${bundle}/rootfs`, String(seed));
        tool("umoci", "repack", "--refresh-bundle", "--image", `${layout}:base`, bundle);
        for (const round of [1, 2, 3]) {
          change(`${bundle}/rootfs`, seed * 10 + round);
          tool("umoci", "repack", "--refresh-bundle", "--image", `${layout}:base`, bundle);
        }
        const archive = fresh("umoci.tar");
        tool("skopeo", "copy", "-q", `oci:${layout}:base`, `oci-archive:${archive}:exact/umoci:${seed}`);
        await engine.ok("load", "-q", "-i", archive);
        const theirs = merely(byUmoci(layout, "base"));
        expect(await merged(`exact/umoci:${seed}`, (root) => merely(root))).toEqual(theirs);
        // Saved again it is still the same, also by way of skopeo's own copy.
        const saved = fresh("saved.tar");
        await engine.ok("save", "-o", saved, `exact/umoci:${seed}`);
        expect(merely(byUmoci(opened(saved), String(seed)))).toEqual(theirs);
        const copied = fresh("copied");
        tool("skopeo", "copy", "-q", `docker-archive:${saved}`, `oci:${copied}:again`);
        expect(merely(byUmoci(copied, "again"))).toEqual(theirs);
        await engine.ok("rmi", `exact/umoci:${seed}`);
      },
    );

  for (const seed of SEEDS)
    test.if(needs("umoci", "ctr"))(
      `what overlayfs recorded of a change is what umoci makes of the layer, seed ${seed}`,
      async () => {
        const lower = randomTree(seed + 200);
        const [upper, work, place] = [fresh("upper"), fresh("work"), fresh("overlay")];
        for (const path of [upper, work, place]) mkdirSync(path);
        tool("mount", "-t", "overlay", "-o", `lowerdir=${lower},upperdir=${upper},workdir=${work}`, "overlay", place);
        let seen: readonly string[];
        try {
          change(place, seed + 300);
          seen = merely(place);
        } finally {
          tool("umount", place);
        }
        const [base, top] = [await diffed(lower), await diffed(upper, [lower])];
        // Unpacked over the lower layer it shows the same; so it does to umoci.
        const again = await unpacked(top, [lower]);
        tool("mount", "-t", "overlay", "-o", `lowerdir=${again}:${lower}`, "overlay", place);
        try {
          expect(merely(place)).toEqual(seen);
        } finally {
          tool("umount", place);
        }
        await engine.ok("load", "-q", "-i", await archiveOf(`exact/overlay:${seed}`, base, top));
        const saved = fresh("saved.tar");
        await engine.ok("save", "-o", saved, `exact/overlay:${seed}`);
        expect(merely(byUmoci(opened(saved), String(seed)))).toEqual(seen);
        await engine.ok("rmi", `exact/overlay:${seed}`);
      },
    );

  test.if(needs("ctr"))("commit, save and load end at the same digests, and at the same bytes", async () => {
    const image = await engine.image("minimal");
    const script = `
      mkdir -p /new/dir && echo x > /new/dir/file && ln /new/dir/file /new/link && ln -s file /new/dir/symlink
      mkfifo /new/fifo && mknod /new/null c 1 3 && chmod 4711 /new/link && chown 1000:33 /new/dir
      rm -r /home && mkdir /home && echo y > /home/z && rm /etc/motd && rm -r /var && echo gone > /var
      truncate -s 100M /new/sparse`;
    const container = await engine.ok("create", "--network", "none", image, "sh", "-ec", script);
    await engine.ok("start", "-a", container);
    await engine.ok("commit", container, "again:1");
    const digests = async () => await engine.ok("inspect", "-f", "{{.Id}} {{json .RootFS.Layers}}", "again:1");
    const before = await digests();
    const seen = await merged("again:1", (root) => tree(root));
    const [first, second] = [fresh("first.tar"), fresh("second.tar")];
    await engine.ok("save", "-o", first, "again:1");
    await engine.ok("rm", container);
    await engine.ok("rmi", "again:1");
    await engine.ok("load", "-q", "-i", first);
    expect(await digests()).toBe(before);
    expect(await merged("again:1", (root) => tree(root))).toEqual(seen);
    await engine.ok("save", "-o", second, "again:1");
    expect(Buffer.compare(readFileSync(second), readFileSync(first))).toBe(0);
    await engine.ok("rmi", "again:1");
  });

  test.if(needs("ctr"))(
    "a directory that no entry names is made where a whiteout was, and hides what is below",
    async () => {
      const lower = [directory("gone"), text("gone/below", "x"), directory("gone/dir"), text("stays", "y")];
      const upper = [entry(".wh.gone"), text("gone/own", "z"), entry(".wh.stays"), text("stays", "new")];
      await engine.ok(
        "load",
        "-q",
        "-i",
        await archiveOf("implied:1", await crafted(...lower), await crafted(...upper)),
      );
      await merged("implied:1", (root) => {
        expect(readdirSync(`${root}/gone`)).toEqual(["own"]);
        expect(readFileSync(`${root}/stays`, "utf8")).toBe("new");
      });
      await engine.ok("rmi", "implied:1");
    },
  );

  test.if(needs("ctr"))("hard links within a layer survive a whiteout of one of their names above", async () => {
    const link = entry("b", { kind: "link", linkname: bytes("a") });
    const lower = [text("a", "content"), link];
    const upper = [entry(".wh.a"), entry("c", { kind: "link", linkname: bytes("b") })];
    await engine.ok("load", "-q", "-i", await archiveOf("links:1", await crafted(...lower), await crafted(...upper)));
    await merged("links:1", (root) => {
      expect(readdirSync(root).sort()).toEqual(["b", "c"]);
      expect([readFileSync(`${root}/b`, "utf8"), readFileSync(`${root}/c`, "utf8")]).toEqual(["content", "content"]);
    });
    await engine.ok("rmi", "links:1");
  });
});

/** A layer says nothing about its root unless that was changed. */
function belowRoot(root: string): readonly string[] {
  return tree(root).slice(1);
}

/** Hard links into a layer below are copies, because overlayfs has no others, and it breaks those it copies up. */
const merely = (root: string) => tree(root, { withoutLinks: true });

const bytes = (value: string) => new TextEncoder().encode(value);

function entry(name: string, fields: Partial<WritableEntry> = {}): WritableEntry {
  const rest = { kind: "file", mode: 0o644, uid: 0, gid: 0, size: 0, mtimeNs: 0n, major: 0, minor: 0 } as const;
  return { ...rest, name: bytes(name), linkname: new Uint8Array(0), xattrs: new Map(), ...fields };
}

const text = (name: string, content: string) => entry(name, { size: content.length, content: [bytes(content)] });
const directory = (name: string) => entry(name, { kind: "directory", mode: 0o755 });

async function crafted(...entries: readonly WritableEntry[]): Promise<string> {
  const path = fresh("crafted.tar");
  writeFileSync(path, Buffer.concat(await Array.fromAsync(writeTar(entries))));
  return path;
}

/** A docker-archive of these layers, lowest first. */
async function archiveOf(name: string, ...layers: readonly string[]): Promise<string> {
  const tars = layers.map((path) => readFileSync(path));
  const diffIds = tars.map((tar) => `sha256:${new Bun.CryptoHasher("sha256").update(tar).digest("hex")}`);
  const config = { architecture: "amd64", os: "linux", config: {}, rootfs: { type: "layers", diff_ids: diffIds } };
  const manifest = [{ Config: "c.json", RepoTags: [name], Layers: tars.map((_, index) => `${index}.tar`) }];
  return await crafted(
    ...tars.map((tar, index) => entry(`${index}.tar`, { size: tar.length, content: [tar] })),
    text("c.json", JSON.stringify(config)),
    text("manifest.json", JSON.stringify(manifest)),
  );
}
