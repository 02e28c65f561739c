/** Images: import, load, save, tag, rmi, images, against GNU tar, skopeo and umoci. */
import { describe, expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { type WritableEntry, writeTar } from "../../internal/archive/tar-writer.ts";
import { tempEngine } from "../lib/engine.ts";
import { isDocker, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { tree } from "../lib/tree.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const scratch = engine.scratch;
const image = await engine.image("minimal");

/** Runs a tool that must succeed; its standard output. */
function tool(...command: readonly string[]): string {
  const ran = Bun.spawnSync([...command]);
  if (ran.exitCode !== 0) throw new Error(`${command.join(" ")}: ${ran.stderr.toString()}`);
  return ran.stdout.toString();
}

let count = 0;
/** A name of its own for each use. */
const fresh = (name: string) => `${scratch}/${name}-${count++}`;

/** A tree with every kind of file a layer can hold. */
function everyKind(): string {
  const root = fresh("tree");
  const script = `
import os, sys
os.makedirs(sys.argv[1]); os.chdir(sys.argv[1])
os.mkdir('dir', 0o755); os.chmod('dir', 0o1777); os.chown('dir', 3, 4)
open('file', 'w').write('content'); os.chown('file', 1000, 70000); os.chmod('file', 0o6751)
os.link('file', 'dir/link'); os.symlink('../file', 'dir/symlink'); os.symlink('/etc/passwd', 'absolute')
os.lchown('dir/symlink', 7, 8)
os.mkfifo('fifo', 0o622); os.mknod('device', 0o20666, os.makedev(1, 3)); os.mknod('block', 0o60600, os.makedev(300, 70000))
open(b'latin-\\xe9-\\xff', 'w').write('x'); open('newline\\n', 'w').write('y')
deep = '/'.join(['d' * 100] * 5); os.makedirs(deep); open(deep + '/' + 'f' * 250, 'w').write('deep')
os.symlink('t' * 2000, 'long-target')
open('empty', 'w').close(); open('big', 'wb').write(os.urandom(3 << 20))
os.setxattr('file', 'user.comment', b'\\x00\\xff=\\n'); os.setxattr('dir', 'user.d', b'dir')
os.setxattr('big', 'security.capability', bytes.fromhex('0100000200040000000000000000000000000000'))
os.utime('file', ns=(0, 1600000000123456789)); os.utime('empty', ns=(0, 0)); os.utime('big', ns=(0, -1500000000))
os.utime('absolute', ns=(0, 1234567890000000001), follow_symlinks=False)
os.utime('dir', ns=(0, 1000000000999999999)); os.utime('.', ns=(0, 1500000000500000000))
`;
  tool("python3", "-c", script, root);
  return root;
}

function packed(root: string, ...flags: readonly string[]): string {
  const archive = fresh("packed.tar");
  tool(
    "tar",
    "-C",
    root,
    "--numeric-owner",
    "--xattrs",
    "--xattrs-include=*",
    "--format=pax",
    ...flags,
    "-cf",
    archive,
    ".",
  );
  return archive;
}

/** The root file system of a saved archive, unpacked by umoci. */
function unpackedByUmoci(archive: string, tag = "latest"): string {
  const [layout, bundle] = [fresh("layout"), fresh("bundle")];
  mkdirSync(layout);
  tool("tar", "-xf", archive, "-C", layout);
  tool("umoci", "unpack", "--image", `${layout}:${tag}`, bundle);
  return `${bundle}/rootfs`;
}

/** What the store keeps on disk besides its database. */
const stored = () => [
  ...readdirSync(`${engine.root}/content/blobs/sha256`),
  ...readdirSync(`${engine.root}/layers`),
  ...readdirSync(`${engine.root}/ingest`),
];

/** A failed command leaves nothing, and says why in one line. */
async function refused(...operands: readonly string[]): Promise<string> {
  const before = isDocker() ? [] : stored();
  const message = await engine.fails(1, ...operands);
  expect(message.trim().split("\n").length).toBe(1);
  if (!isDocker()) expect(stored()).toEqual(before);
  return message.trim();
}

describe("round trip", () => {
  test.if(needs("umoci", "skopeo"))("import, save: umoci unpacks exactly what GNU tar packed", async () => {
    const root = everyKind();
    const id = await engine.ok("import", "-c", 'CMD ["/bin/sh"]', packed(root), "round/trip:1");
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    const archive = fresh("saved.tar");
    await engine.ok("save", "-o", archive, "round/trip:1");
    expect(tree(unpackedByUmoci(archive, "1"))).toEqual(tree(root));
    const inspected = JSON.parse(tool("skopeo", "inspect", "--config", `docker-archive:${archive}`));
    expect(inspected.config.Cmd).toEqual(["/bin/sh"]);
    expect(JSON.parse(tool("skopeo", "inspect", `oci-archive:${archive}:1`)).Layers.length).toBe(1);
    await engine.ok("rmi", "round/trip:1");
  });

  test("import: gzip, zstd, xz, bzip2, a pipe and a URL give the same layer", async () => {
    const archive = packed(everyKind());
    const [gzip, zstd] = [fresh("a.gz"), fresh("a.zst")];
    writeFileSync(gzip, Bun.gzipSync(readFileSync(archive)));
    tool("zstd", "-q", "-o", zstd, archive);
    tool("xz", "-k0", archive);
    tool("bzip2", "-k1", archive);
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(Bun.file(gzip)) });
    await engine.ok("import", archive, "form:plain");
    await engine.ok("import", gzip, "form:gzip");
    await engine.ok("import", zstd, "form:zstd");
    await engine.ok("import", `http://127.0.0.1:${server.port}/rootfs.tar.gz`, "form:url");
    const piped = await engine.ctrWith({ stdin: Bun.file(zstd) }, "import", "-", "form:pipe");
    expect(piped.status).toBe(0);
    const layers = new Set<string>();
    await engine.ok("import", `${archive}.xz`, "form:xz");
    await engine.ok("import", `${archive}.bz2`, "form:bzip2");
    for (const tag of ["plain", "gzip", "zstd", "url", "pipe", "xz", "bzip2"]) {
      layers.add(await engine.ok("inspect", "-f", "{{json .RootFS.Layers}}", `form:${tag}`));
      await engine.ok("rmi", `form:${tag}`);
    }
    expect(layers.size).toBe(1);
    const half = fresh("half.xz");
    writeFileSync(half, readFileSync(`${archive}.xz`).subarray(0, 1000));
    expect(await engine.fails(1, "import", half, "form:half")).toMatch(
      /not valid xz data: .*[Uu]nexpected end of input/,
    );
  });

  test("load: a compressed archive, by xz and bzip2 too", async () => {
    const saved = fresh("saved.tar");
    await engine.ok("save", "-o", saved, image);
    tool("xz", "-k0", saved);
    tool("bzip2", "-k1", saved);
    for (const name of [`${saved}.xz`, `${saved}.bz2`]) {
      expect(await engine.ok("load", "-i", name)).toContain("Loaded image");
    }
  });

  test.if(needs("ctr", "skopeo"))("the store is an OCI layout that skopeo reads", async () => {
    await engine.ok("tag", image, "example.com/layout/app:2");
    const inspected = JSON.parse(
      tool("skopeo", "inspect", "--config", `oci:${engine.root}/content:example.com/layout/app:2`),
    );
    expect(inspected.os).toBe("linux");
    await engine.ok("rmi", "example.com/layout/app:2");
    const index = JSON.parse(readFileSync(`${engine.root}/content/index.json`, "utf8"));
    expect(JSON.stringify(index)).not.toContain("example.com");
  });

  test("save, rmi, load: several images come back under their names", async () => {
    await engine.ok("tag", image, "back/one:a");
    await engine.ok("tag", image, "back/one:b");
    await engine.ok("import", "-m", "second", packed(everyKind()), "back/two");
    const archive = fresh("several.tar");
    await engine.ok("save", "-o", archive, "back/one", "back/two");
    const again = fresh("again.tar");
    await engine.ok("save", "-o", again, "back/one", "back/two");
    expect(Buffer.compare(readFileSync(archive), readFileSync(again))).toBe(0);
    await engine.ok("rmi", "back/one:a", "back/one:b", "back/two");
    const loaded = await engine.ctrWith({ stdin: new Blob([Bun.gzipSync(readFileSync(archive))]) }, "load");
    expect(loaded.stdout.trim().split("\n").sort()).toEqual([
      "Loaded image: back/one:a",
      "Loaded image: back/one:b",
      "Loaded image: back/two:latest",
    ]);
    expect(await engine.ok("inspect", "-f", "{{.Comment}}", "back/two")).toBe("second");
    await engine.ok("rmi", "back/one:a", "back/one:b", "back/two");
  });

  test.if(needs("skopeo"))(
    "load: a docker-archive and an OCI archive made by skopeo, with compressed layers",
    async () => {
      const saved = fresh("saved.tar");
      await engine.ok("save", "-o", saved, image);
      const id = await engine.ok("inspect", "-f", "{{.Id}}", image);
      const docker = fresh("docker.tar");
      tool("skopeo", "copy", "-q", `docker-archive:${saved}`, `docker-archive:${docker}:skopeo/docker:1`);
      expect(await engine.ok("load", "-q", "-i", docker)).toBe("Loaded image: skopeo/docker:1");
      expect(await engine.ok("inspect", "-f", "{{.Id}}", "skopeo/docker:1")).toBe(id);
      const oci = fresh("oci.tar");
      tool(
        "skopeo",
        "copy",
        "-q",
        "--dest-compress-format",
        "zstd",
        `docker-archive:${saved}`,
        `oci-archive:${oci}:skopeo/oci:1`,
      );
      expect(await engine.ok("load", "-i", oci)).toBe("Loaded image: skopeo/oci:1");
      await engine.ok("rmi", "skopeo/docker:1", "skopeo/oci:1");
    },
  );
});

describe("import", () => {
  test("import: changes, message and platform are in the image", async () => {
    const changes = [
      "-c",
      "ENV A=1 B=$A",
      "-c",
      "WORKDIR /srv",
      "-c",
      "EXPOSE 80",
      "-m",
      "by hand",
      "--platform",
      "linux/arm64",
    ];
    await engine.ok("import", ...changes, packed(everyKind()), "changed");
    const inspected = JSON.parse(await engine.ok("inspect", "changed"))[0];
    expect(inspected.Config.Env).toEqual(["A=1", "B="]);
    expect(inspected.Config.WorkingDir).toBe("/srv");
    expect(inspected.Config.ExposedPorts).toEqual({ "80/tcp": {} });
    expect([inspected.Comment, inspected.Architecture]).toEqual(["by hand", "arm64"]);
    await engine.ok("rmi", "changed");
  });

  test("import: what cannot be an archive, a name or a change is refused in one line, and nothing stays", async () => {
    const archive = packed(everyKind());
    const write = (name: string, content: string | Uint8Array) => {
      const path = fresh(name);
      writeFileSync(path, content);
      return path;
    };
    const whole = readFileSync(archive);
    expect(await refused("import", fresh("missing.tar"))).toContain("no such file or directory");
    expect(await refused("import", scratch)).toContain("is a directory");
    expect(await refused("import", write("empty", ""))).toContain("the archive is empty");
    expect(await refused("import", write("text", "no archive\n".repeat(200)))).toContain("not a tar archive");
    expect(await refused("import", write("cut", whole.subarray(0, 2_000_000)))).toContain("unexpected end of archive");
    expect(await refused("import", write("cut.gz", Bun.gzipSync(whole).subarray(0, 1_000_000)))).toContain(
      "not valid gzip data",
    );
    expect(await refused("import", write("a.xz", new Uint8Array([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0])))).toContain(
      "not valid xz data",
    );
    expect(await refused("import", archive, "Upper")).toContain("repository name must be lowercase");
    expect(await refused("import", "-c", "RUN x", archive)).toContain("RUN is not a valid change command");
    expect(await refused("import", "--platform", "windows", archive)).toContain("not supported");
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("gone", { status: 404 }) });
    expect(await refused("import", `http://127.0.0.1:${server.port}/x.tar`)).toContain("the server answered 404");
    const nobody = `http://127.0.0.1:${server.port}/x.tar`;
    await server.stop(true);
    expect(await refused("import", nobody)).toContain("connection refused");
  });

  test.if(needs("ctr"))("import: a full disk is told, and nothing stays", async () => {
    const small = fresh("small");
    mkdirSync(small);
    tool("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small);
    try {
      const result = await engine.ctrWith(
        { env: { CTR_ROOT: `${small}/root` } },
        "import",
        packed(everyKind()),
        "toobig",
      );
      expect(result.status).toBe(1);
      expect(result.stderr).toMatch(/^ctr: import \S+: .*no space left on device\n$/);
      expect(readdirSync(`${small}/root/ingest`)).toEqual([]);
      const listed = await engine.ctrWith({ env: { CTR_ROOT: `${small}/root` } }, "images", "-q");
      expect([listed.status, listed.stdout]).toEqual([0, ""]);
    } finally {
      tool("umount", small);
    }
  });

  test.if(needs("ctr"))("import: killed in the middle, the next command removes what it left", async () => {
    const child = engine.spawn("import", "-", "never");
    child.stdin.write(readFileSync(packed(everyKind())).subarray(0, 2_000_000));
    await child.stdin.flush();
    await waitFor("the import to be at work", () =>
      readdirSync(`${engine.root}/ingest`).some((name) => readdirSync(`${engine.root}/ingest/${name}`).length > 1),
    );
    // Somebody else's work is not touched while it goes on.
    await engine.ok("tag", image, "other");
    await engine.ok("rmi", "other");
    expect(readdirSync(`${engine.root}/ingest`).length).toBe(1);
    child.kill("SIGKILL");
    await child.exited;
    expect(readdirSync(`${engine.root}/ingest`).length).toBe(1);
    await engine.ok("import", packed(everyKind()), "after");
    expect(readdirSync(`${engine.root}/ingest`)).toEqual([]);
    await engine.ok("rmi", "after");
    expect(await engine.ok("images", "-q", "never")).toBe("");
  });
});

const bytes = (text: string) => new TextEncoder().encode(text);

function entry(name: string, fields: Partial<WritableEntry> = {}): WritableEntry {
  const none = new Uint8Array(0);
  const rest = {
    kind: "file",
    linkname: none,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtimeNs: 0n,
    major: 0,
    minor: 0,
  } as const;
  return { ...rest, name: bytes(name), xattrs: new Map(), ...fields };
}

async function crafted(...entries: readonly WritableEntry[]): Promise<string> {
  const path = fresh("crafted.tar");
  writeFileSync(path, Buffer.concat(await Array.fromAsync(writeTar(entries))));
  return path;
}

const text = (name: string, content: string) => entry(name, { size: content.length, content: [bytes(content)] });
const link = (kind: "symlink" | "link", name: string, target: string) => entry(name, { kind, linkname: bytes(target) });

describe("hostile archives", () => {
  test("import: nothing is written outside of the layer, whatever the names and links say", async () => {
    const victim = fresh("victim");
    writeFileSync(victim, "untouched");
    const up = `${"../".repeat(20)}${victim.slice(1)}`;
    const attacks: readonly (readonly WritableEntry[])[] = [
      [text(up, "evil")],
      [text(`a/../../../../..${victim}`, "evil")],
      [link("symlink", "out", scratch), text(`out/${victim.split("/").at(-1)}`, "evil")],
      [link("symlink", "out", ".."), text("out/x", "evil")],
      [link("symlink", "a", "/"), link("symlink", "b", "a"), text(`b${victim}`, "evil")],
      [link("link", "hard", victim)],
      [link("link", "hard", up)],
      [link("symlink", "s", scratch), link("link", "hard", `s/${victim.split("/").at(-1)}`)],
      [link("symlink", "d", scratch), entry("d/sub", { kind: "directory" })],
      [text(".wh...", "")],
      [text("a/.wh.", "")],
      [text(".wh.a/b", "")],
    ];
    for (const entries of attacks) await refused("import", await crafted(...entries));
    expect(readFileSync(victim, "utf8")).toBe("untouched");
    expect(readdirSync(scratch).filter((name) => name === "x" || name === "sub")).toEqual([]);
  });

  test.if(needs("umoci", "skopeo"))(
    "import: an absolute name is below the root, a later entry replaces an earlier one of another kind",
    async () => {
      const archive = await crafted(
        text("/absolute", "inside"),
        link("symlink", "x", "/etc"),
        entry("x", { kind: "directory", mode: 0o755 }),
        text("x/file", "in a directory"),
        entry("y", { kind: "directory", mode: 0o755 }),
        text("y/file", "gone"),
        link("symlink", "y", "x"),
        text("z", "first"),
        text("z", "second"),
      );
      await engine.ok("import", archive, "replaced");
      const saved = fresh("replaced.tar");
      await engine.ok("save", "-o", saved, "replaced");
      const [layer] = readdirSync(`${engine.root}/layers`).filter((name) =>
        readdirSync(`${engine.root}/layers/${name}`).includes("absolute"),
      );
      const root = `${engine.root}/layers/${layer}`;
      expect(readFileSync(`${root}/absolute`, "utf8")).toBe("inside");
      expect(readFileSync(`${root}/x/file`, "utf8")).toBe("in a directory");
      expect(readFileSync(`${root}/y/file`, "utf8")).toBe("in a directory");
      expect(readFileSync(`${root}/z`, "utf8")).toBe("second");
      await engine.ok("rmi", "replaced");
    },
  );

  test.if(needs("ctr"))("import: overlayfs' own marks and trusted attributes are dropped", async () => {
    const xattrs = new Map([
      ["trusted.overlay.opaque", bytes("y")],
      ["trusted.overlay.redirect", bytes("/etc")],
      ["user.kept", bytes("1")],
    ]);
    await engine.ok(
      "import",
      await crafted(entry("marked", { kind: "directory", mode: 0o755, xattrs }), entry("hole", { kind: "char" })),
      "marked",
    );
    const [layer] = readdirSync(`${engine.root}/layers`).filter((name) =>
      readdirSync(`${engine.root}/layers/${name}`).includes("marked"),
    );
    expect(readdirSync(`${engine.root}/layers/${layer}`)).toEqual(["marked"]);
    const names = tool(
      "python3",
      "-c",
      "import os,sys; print(os.listxattr(sys.argv[1]))",
      `${engine.root}/layers/${layer}/marked`,
    );
    expect(names.trim()).toBe("['user.kept']");
    await engine.ok("rmi", "marked");
  });

  test("load: damaged, lying and escaping archives are refused, and nothing stays", async () => {
    const saved = fresh("good.tar");
    await engine.ok("save", "-o", saved, image);
    const directory = fresh("good");
    mkdirSync(directory);
    tool("tar", "-xf", saved, "-C", directory);
    const manifest = JSON.parse(readFileSync(`${directory}/manifest.json`, "utf8"))[0];
    const variant = async (...entries: readonly WritableEntry[]) => refused("load", "-i", await crafted(...entries));
    const config = readFileSync(`${directory}/${manifest.Config}`, "utf8");
    const describe = (fields: object) =>
      text("manifest.json", JSON.stringify([{ ...manifest, Config: "c.json", Layers: ["l.tar"], ...fields }]));
    const layer = readFileSync(await crafted(text("other", "other")));
    const layerEntry = entry("l.tar", { size: layer.length, content: [layer] });
    expect(await variant(text("x", "y"))).toContain("neither manifest.json nor index.json");
    expect(await variant(text("manifest.json", "{"))).toContain("manifest.json is not JSON");
    expect(await variant(describe({}))).toContain("the archive has no c.json");
    expect(await variant(describe({}), text("c.json", config))).toContain("the archive has no l.tar");
    expect(await variant(describe({}), text("c.json", config), layerEntry)).toContain("invalid diffID for layer");
    expect(await variant(describe({ Layers: [] }), text("c.json", config))).toContain("layers length mismatch");
    expect(await variant(describe({ Config: "/etc/passwd" }), layerEntry)).toContain("the archive has no /etc/passwd");
    expect(await variant(describe({}), link("symlink", "c.json", "/etc/passwd"), layerEntry)).toContain(
      "the archive has no c.json",
    );
    expect(await variant(describe({}), text("c.json", config), link("symlink", "l.tar", "l.tar"))).toContain(
      "the archive has no l.tar",
    );
    expect(await variant(text("../x", "y"))).toContain("outside of itself");
    const blob = `blobs/sha256/${"0".repeat(64)}`;
    const index = { schemaVersion: 2, manifests: [{ mediaType: "", digest: `sha256:${"0".repeat(64)}`, size: 2 }] };
    expect(await variant(text("index.json", JSON.stringify(index)), text(blob, "{}"))).toContain("is damaged");
    const path = { schemaVersion: 2, manifests: [{ mediaType: "", digest: "sha256:../../../etc/passwd", size: 2 }] };
    expect(await variant(text("index.json", JSON.stringify(path)))).toContain("invalid digest");
  });
});

/** A docker-archive of these layers, lowest first. */
async function archiveOf(name: string, ...layers: readonly (readonly WritableEntry[])[]): Promise<string> {
  const tars = await Promise.all(layers.map(async (layer) => readFileSync(await crafted(...layer))));
  const diffIds = tars.map((tar) => `sha256:${new Bun.CryptoHasher("sha256").update(tar).digest("hex")}`);
  const config = { architecture: "amd64", os: "linux", config: {}, rootfs: { type: "layers", diff_ids: diffIds } };
  const manifest = [{ Config: "c.json", RepoTags: [name], Layers: tars.map((_, index) => `${index}.tar`) }];
  return await crafted(
    ...tars.map((tar, index) => entry(`${index}.tar`, { size: tar.length, content: [tar] })),
    text("c.json", JSON.stringify(config)),
    text("manifest.json", JSON.stringify(manifest)),
  );
}

/** The image's layers as overlayfs shows them, for the length of `look`. */
async function merged<T>(name: string, look: (root: string) => T): Promise<T> {
  const [inspected] = JSON.parse(await engine.ok("inspect", name));
  const { UpperDir, LowerDir } = inspected.GraphDriver.Data;
  const place = fresh("merged");
  mkdirSync(place);
  tool("mount", "-t", "overlay", "-o", `lowerdir=${UpperDir}:${LowerDir}`, "overlay", place);
  try {
    return look(place);
  } finally {
    tool("umount", place);
  }
}

const directory = (name: string, fields: Partial<WritableEntry> = {}) =>
  entry(name, { kind: "directory", mode: 0o755, ...fields });

describe("layers on layers", () => {
  const lower = [
    directory("keep", { mode: 0o2750, uid: 5, gid: 6, mtimeNs: 1_000_000_000_123_456_789n }),
    text("keep/one", "1"),
    text("keep/two", "2"),
    directory("hidden"),
    text("hidden/below", "x"),
    directory("before"),
    text("before/below", "x"),
    text("file", "lower"),
    text("linked", "content of the lower layer"),
  ];

  test.if(needs("ctr", "umoci"))("load: whiteouts hide what lies below, never what the same layer holds", async () => {
    const upper = [
      // Without an entry of its own a directory stays as it is below.
      entry("keep/.wh.one"),
      directory("hidden"),
      text("hidden/own", "y"),
      entry("hidden/.wh..wh..opq"),
      // A whiteout, then the name again: a new directory without the old content.
      entry(".wh.before"),
      directory("before"),
      text("before/own", "y"),
      text("file", "upper"),
      entry(".wh.file"),
      link("link", "copy", "linked"),
    ];
    await engine.ok("load", "-i", await archiveOf("white/out:1", lower, upper));
    const seen = await merged("white/out:1", (root) => {
      expect(readdirSync(`${root}/keep`)).toEqual(["two"]);
      expect(readdirSync(`${root}/hidden`)).toEqual(["own"]);
      expect(readdirSync(`${root}/before`)).toEqual(["own"]);
      expect(readFileSync(`${root}/file`, "utf8")).toBe("upper");
      expect(readFileSync(`${root}/copy`, "utf8")).toBe("content of the lower layer");
      return tree(root);
    });
    expect(seen.find((line) => line.startsWith("keep "))).toBe("keep 42750 5:6 1000000000123456789");
    await engine.ok("rmi", "white/out:1");
  });

  test.if(needs("ctr"))("load: an opaque root hides everything below", async () => {
    const upper = [entry(".wh..wh..opq"), text("own", "y"), directory("keep"), text("keep/new", "z")];
    await engine.ok("load", "-i", await archiveOf("opaque/root", lower, upper));
    await merged("opaque/root", (root) => {
      expect(readdirSync(root).sort()).toEqual(["keep", "own"]);
      expect(readdirSync(`${root}/keep`)).toEqual(["new"]);
    });
    await engine.ok("rmi", "opaque/root");
  });

  test("load: a hard link to what an upper layer has hidden is refused", async () => {
    const hiding = [entry(".wh.linked")];
    const archive = await archiveOf("hid/den", lower, hiding, [link("link", "copy", "linked")]);
    expect(await refused("load", "-i", archive)).toContain("hard link to linked: not in this layer nor below it");
  });
});

describe("names", () => {
  test("images, tag: the table, the filters and the formats are Docker's", async () => {
    await engine.ok("tag", image, "listed/app:1");
    const table = await engine.ok("images", "listed/app");
    expect(table).toMatch(
      /^REPOSITORY {3}TAG {7}IMAGE ID {7}CREATED {2,}SIZE\nlisted\/app {3}1 {9}[0-9a-f]{12} {3}.* ago {3,}\S+MB$/,
    );
    expect(await engine.ok("images", "--format", "{{.Repository}}:{{.Tag}}", "listed/app")).toBe("listed/app:1");
    expect(await engine.ok("images", "-q", "--no-trunc", "listed/app")).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(await engine.ok("images", "nosuch")).toBe("REPOSITORY   TAG       IMAGE ID   CREATED   SIZE");
    expect(await refused("images", "--filter", "color=red")).toContain("invalid filter 'color'");
    expect(await refused("tag", "nosuch", "x")).toContain("No such image: nosuch:latest");
    expect(await engine.ok("rmi", "listed/app:1")).toBe("Untagged: listed/app:1");
  });

  test("rmi: every target is tried; what is missing is an error unless forced", async () => {
    await engine.ok("tag", image, "gone:1");
    const result = await engine.ctr("rmi", "nosuch", "gone:1");
    expect([result.status, result.stdout]).toEqual([1, "Untagged: gone:1\n"]);
    expect(result.stderr).toContain("No such image: nosuch:latest");
    const forced = await engine.ctr("rmi", "-f", "nosuch");
    expect(forced.status).toBe(0);
    expect(forced.stderr).toContain("No such image: nosuch:latest");
  });

  test("rmi: a container keeps its layers; they go when it is gone", async () => {
    await engine.ok("import", await crafted(entry("only", { kind: "directory", mode: 0o755 })), "used");
    const container = await engine.ok("create", "used", "/bin/true");
    expect(await refused("rmi", "used")).toContain(
      `(must force) - container ${container.slice(0, 12)} is using its referenced image`,
    );
    const removed = await engine.ok("rmi", "-f", "used");
    expect(removed).toMatch(/^Untagged: used:latest\nDeleted: sha256:[0-9a-f]{64}$/);
    const layers = () =>
      readdirSync(`${engine.root}/layers`).filter((name) =>
        readdirSync(`${engine.root}/layers/${name}`).includes("only"),
      );
    if (!isDocker()) expect(layers().length).toBe(1);
    await engine.ok("rm", container);
    await engine.ok("tag", image, "sweep");
    await engine.ok("rmi", "sweep");
    if (!isDocker()) expect(layers()).toEqual([]);
  });

  test("save: a terminal is refused as output, a missing image and directory too", async () => {
    await using session = engine.session("save", image);
    await session.expect("cowardly refusing to save to a terminal");
    expect(await refused("save", "nosuch", "-o", fresh("x.tar"))).toContain("No such image: nosuch:latest");
    expect(await refused("save", image, "-o", `${fresh("no")}/x.tar`)).toContain("does not exist");
  });
});
