/** What is done with images and shown of them: history, export, the filters and formats of images, inspect. */
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { imageArchive, tempEngine } from "../lib/engine.ts";
import { binary, isDocker, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { tree } from "../lib/tree.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const DETACHED = ["run", "-d", "--network", "none"] as const;

let count = 0;
const fresh = (name: string) => `${engine.scratch}/${name}-${count++}`;

function tool(...command: readonly string[]): string {
  const ran = Bun.spawnSync([...command]);
  if (ran.exitCode !== 0) throw new Error(`${command.join(" ")}: ${ran.stderr.toString()}`);
  return ran.stdout.toString();
}

describe("export", () => {
  const SCRIPT = [
    "mkdir -m 1777 /made && echo text > /made/file && chown 12:34 /made/file && chmod 4751 /made/file",
    "ln /made/file /made/link && ln -s nowhere /made/symlink && mkfifo /made/fifo && touch -t 200102030405.06 /made/file",
    "rm -r /home/alice /etc/motd && rm -r /var && mkdir /var && echo x > '/made/with blank'",
    "echo in the volume > /data/inside && echo on the tmpfs > /scratch/inside",
  ].join(" && ");

  /** What the container itself sees of its tree, without what is mounted into it: one line a file. */
  const LIST = "find / -xdev -not -type s | sort";

  test("a running container: its own tree, without what is mounted into it", async () => {
    const mounts = ["-v", "vol:/data", "--tmpfs", "/scratch"];
    const id = await engine.ok(...DETACHED, ...mounts, image, "sh", "-c", `${SCRIPT} && sleep 1000`);
    const done = async () => (await engine.ctr("exec", id, "test", "-e", "/scratch/inside")).status === 0;
    while (!(await done()));
    const archive = fresh("export.tar");
    await engine.ok("export", "-o", archive, id);
    const piped = await engine.ctr("export", id);
    expect(piped.status).toBe(0);
    expect(Buffer.compare(piped.bytes, readFileSync(archive))).toBe(0);

    const listed = tool("tar", "--numeric-owner", "-tvf", archive).trim().split("\n");
    const line = (name: string) => listed.find((candidate) => new RegExp(` ${name}( |$)`).test(candidate)) ?? "";
    expect(line("made/")).toStartWith("drwxrwxrwt 0/0");
    expect(line("made/file")).toMatch(/^-rwsr-x--x 12\/34 +5 2001-02-03/);
    expect(line("made/link")).toMatch(/^hrwsr-x--x .* link to made\/file$/);
    expect(line("made/symlink")).toEndWith("-> nowhere");
    expect(line("made/fifo")).toStartWith("prw-r--r-- 0/0");
    const names = new Set(tool("tar", "-tf", archive).trim().split("\n"));
    for (const gone of ["home/alice/", "etc/motd", "data/inside", "scratch/inside"]) expect(names).not.toContain(gone);
    for (const kept of ["home/", "var/", "data/", "scratch/", "proc/", "sys/", "dev/", ".dockerenv", "etc/hosts"])
      expect(names).toContain(kept);

    const seen = (await engine.ok("exec", id, "sh", "-c", LIST)).split("\n").filter((path) => path !== "/");
    const inArchive = [...names].map((name) => `/${name.replace(/\/$/, "")}`);
    const isMount = (path: string) => /^\/(proc|sys|dev|data|scratch)(\/|$)/.test(path);
    expect(seen.filter((path) => !isMount(path)).sort()).toEqual(inArchive.filter((path) => !isMount(path)).sort());
    await engine.ok("rm", "-f", id);
  });

  test("stopped and never started ones too; the tree is the image's", async () => {
    const id = await engine.ok("create", image, "true");
    const archive = fresh("created.tar");
    await engine.ok("export", "-o", archive, id);
    const root = fresh("root");
    mkdirSync(root);
    tool("tar", "-C", root, "-xf", archive);
    const original = fresh("original");
    mkdirSync(original);
    tool("tar", "-C", original, "-xf", imageArchive("minimal"));
    const files = (lines: readonly string[]) => lines.filter((line) => /^(bin|home|sbin)\//.test(line));
    expect(files(tree(root))).toEqual(files(tree(original)));
    await engine.ok("start", id);
    await engine.ok("wait", id);
    expect((await engine.ctr("export", id)).status).toBe(0);
    await engine.ok("rm", id);
  });

  test.if(needs("ctr"))("with a driver that keeps whole trees too", async () => {
    const env = { CTR_ROOT: fresh("vfs-root"), CTR_STATE: fresh("vfs-state") };
    const vfs = async (...words: readonly string[]) => {
      const result = await engine.ctrWith({ env }, "--storage-driver", "vfs", ...words);
      expect([result.status, result.stderr]).toEqual([0, ""]);
      return result.stdout.trim();
    };
    await vfs("import", imageArchive("minimal"), "flat");
    const script = "echo new > /made && rm /etc/motd";
    const id = await vfs("create", "--network", "none", "flat", "sh", "-c", script);
    const archive = fresh("vfs.tar");
    await vfs("export", "-o", archive, id);
    expect(tool("tar", "-tf", archive).split("\n")).toContain("etc/motd");
    await vfs("start", id);
    await vfs("wait", id);
    await vfs("export", "-o", archive, id);
    const names = tool("tar", "-tf", archive).split("\n");
    expect(names).toContain("made");
    expect(names).toContain(".dockerenv");
    expect(names).not.toContain("etc/motd");
    await vfs("rm", id);
  });

  test("import of an export runs", async () => {
    const id = await engine.ok("create", image, "true");
    const archive = fresh("again.tar");
    await engine.ok("export", "-o", archive, id);
    await engine.ok("import", archive, "again:1");
    expect(await engine.ok("run", "--rm", "--network", "none", "again:1", "cat", "/etc/motd")).toBe(
      "hello from the image",
    );
    await engine.ok("rm", id);
    await engine.ok("rmi", "again:1");
  });

  test("a terminal, a directory, a missing directory and a missing container are refused", async () => {
    const id = await engine.ok("create", image, "true");
    await using session = engine.session("export", id);
    await session.expect("cowardly refusing to save to a terminal");
    expect(await engine.fails(1, "export", "-o", engine.scratch, id)).toContain(
      "failed to export container: cannot write to a directory",
    );
    const nowhere = `${fresh("no")}/x.tar`;
    expect(await engine.fails(1, "export", "-o", nowhere, id)).toContain(
      "failed to export container: invalid output path:",
    );
    const never = fresh("never.tar");
    expect(await engine.fails(1, "export", "-o", never, "nosuch")).toContain("No such container: nosuch");
    expect(existsSync(never)).toBe(false);
    await engine.ok("rm", id);
  });
});

/** An archive of one image with this configuration, for `load`; `layers` are tar files. `extra` begins the configuration. */
function dockerArchive(name: string, config: object, layers: readonly string[], extra = ""): string {
  const directory = fresh("archive");
  mkdirSync(directory);
  const diffIds = layers.map(
    (path) => `sha256:${new Bun.CryptoHasher("sha256").update(readFileSync(path)).digest("hex")}`,
  );
  writeFileSync(
    `${directory}/config.json`,
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      ...config,
      rootfs: { type: "layers", diff_ids: diffIds },
    }).replace("{", `{${extra}`),
  );
  for (const [index, path] of layers.entries()) writeFileSync(`${directory}/${index}.tar`, readFileSync(path));
  const manifest = [{ Config: "config.json", RepoTags: [name], Layers: layers.map((_, index) => `${index}.tar`) }];
  writeFileSync(`${directory}/manifest.json`, JSON.stringify(manifest));
  const archive = fresh("archive.tar");
  tool("tar", "-C", directory, "-cf", archive, ".");
  return archive;
}

/** A layer with one file of `size` bytes. */
function layerOf(size: number): string {
  const directory = fresh("layer");
  mkdirSync(directory);
  writeFileSync(`${directory}/file-${count}`, "x".repeat(size));
  const archive = fresh("layer.tar");
  tool("tar", "-C", directory, "--sort=name", "--mtime=@0", "-cf", archive, ".");
  return archive;
}

const HISTORY = [
  { created: "2020-01-02T03:04:05.678Z", created_by: "/bin/sh -c #(nop) ADD file:abc in / " },
  { created: "2020-01-02T03:04:06Z", created_by: '/bin/sh -c #(nop)  CMD ["sh"]', empty_layer: true },
  {
    created: "2021-05-06T07:08:09Z",
    created_by: "RUN /bin/sh -c apt-get update &&\tapt-get install -y something # buildkit",
    comment: "buildkit.dockerfile.v0",
  },
  { created_by: "no time", comment: "c", empty_layer: true },
];

describe("history", () => {
  test("steps newest first, empty layers, cut commands, sizes, all formats", async () => {
    const archive = dockerArchive("hist/one:1", { created: "2021-05-06T07:08:09Z", history: HISTORY, config: {} }, [
      layerOf(1234),
      layerOf(56789),
    ]);
    await engine.ok("load", "-q", "-i", archive);
    const id = await engine.ok("image", "inspect", "-f", "{{.Id}}", "hist/one:1");
    const short = id.slice("sha256:".length, "sha256:".length + 12);
    const rows = (await engine.ok("history", "--human=false", "hist/one:1")).split("\n");
    expect(rows[0]).toMatch(/^IMAGE {10}CREATED AT {13,}CREATED BY {38}SIZE {6}COMMENT$/);
    expect(rows.slice(2).map((row) => row.split(/ {2,}/))).toEqual([
      [
        "<missing>",
        "2021-05-06T07:08:09Z",
        "RUN /bin/sh -c apt-get update && apt-get ins…",
        "56789",
        "buildkit.dockerfile.v0",
      ],
      ["<missing>", "2020-01-02T03:04:06Z", "/bin/sh -c #(nop)", 'CMD ["sh"]', "0", ""],
      ["<missing>", "2020-01-02T03:04:05Z", "/bin/sh -c #(nop) ADD file:abc in /", "1234", ""],
    ]);
    expect(rows[1]).toStartWith(`${short}   `);
    expect(await engine.ok("history", "-q", "hist/one:1")).toBe(`${short}\n<missing>\n<missing>\n<missing>`);
    expect(await engine.ok("history", "-q", "--no-trunc", "hist/one:1")).toBe(`${id}\n<missing>\n<missing>\n<missing>`);
    const json = (await engine.ok("history", "--format", "json", "--no-trunc", "hist/one:1")).split("\n");
    const second = JSON.parse(json[1] ?? "");
    expect(Object.keys(second)).toEqual(["Comment", "CreatedAt", "CreatedBy", "CreatedSince", "ID", "Size"]);
    expect(second).toMatchObject({ Size: "56.8kB", ID: "<missing>", CreatedAt: "2021-05-06T07:08:09Z" });
    expect(second.CreatedSince).toMatch(/^\d years ago$/);
    expect(json[1]).toContain("\\u003cmissing\\u003e");
    expect(await engine.ok("history", "--format", "table {{.Size}}\t{{.Comment}}", "hist/one:1")).toMatch(
      /^SIZE {6}COMMENT\n0B {8}c\n56\.8kB {4}buildkit\.dockerfile\.v0\n0B +\n1\.23kB +$/,
    );
    await engine.ok("rmi", "hist/one:1");
  });

  test("a committed image's parents have their ids", async () => {
    const id = await engine.ok("create", image, "sh", "-c", "true");
    const base = await engine.ok("image", "inspect", "-f", "{{.Id}}", image);
    const top = await engine.ok("commit", "-m", "first", id, "comm/it:1");
    expect((await engine.ok("history", "-q", "--no-trunc", "comm/it:1")).split("\n")).toEqual([top, base]);
    expect(await engine.ok("history", "--format", "{{.CreatedBy}}|{{.Comment}}", "comm/it:1")).toBe(
      "sh -c true|first\n|Imported from -",
    );
    await engine.ok("rm", id);
    await engine.ok("rmi", "comm/it:1");
  });

  test("what is not there is told", async () => {
    expect(await engine.fails(1, "history", "nosuch")).toContain("No such image: nosuch:latest");
    expect(await engine.fails(1, "history", "--format", "{{.Nope}}", image)).toContain("can't evaluate field Nope");
  });

  test.if(needs("ctr"))("--platform: the image's own, or an error", async () => {
    expect(await engine.ok("history", "-q", "--platform", "linux/amd64", image)).not.toBe("");
    expect(await engine.fails(1, "history", "--platform", "linux/s390x", image)).toContain(
      "does not provide the specified platform (linux/s390x)",
    );
    expect(await engine.ok("image", "inspect", "--platform", "linux/amd64", "-f", "{{.Os}}", image)).toBe("linux");
    expect(await engine.fails(1, "image", "inspect", "--platform", "linux/arm64", image)).toContain(
      "does not provide the specified platform (linux/arm64)",
    );
    expect(await engine.fails(1, "save", "--platform", "linux/arm64", "-o", fresh("x.tar"), image)).toContain(
      "does not provide the specified platform (linux/arm64)",
    );
    const archive = fresh("platform.tar");
    await engine.ok("save", "-o", archive, image);
    expect(await engine.fails(1, "load", "--platform", "linux/arm64", "-i", archive)).toMatch(
      /^ctr: load .*: image \S+ of the archive is for linux\/\w+, not for the specified platform \(linux\/arm64\)\n$/,
    );
    expect(await engine.ok("load", "--platform", "linux/amd64", "-i", archive)).toStartWith(`Loaded image: ${image}`);
    expect(await engine.fails(1, "rmi", "--platform", "linux/arm64", image)).toContain(
      "does not provide the specified platform (linux/arm64)",
    );
  });
});

describe("images", () => {
  test("filters: dangling, label, before, since, until, reference; a wrong one is told", async () => {
    const make = (name: string, year: number, labels: Readonly<Record<string, string>>) =>
      engine.ok(
        "load",
        "-q",
        "-i",
        dockerArchive(name, { created: `${year}-01-01T00:00:00Z`, history: [], config: { Labels: labels } }, [
          layerOf(year),
        ]),
      );
    await make("filter/old:1", 2001, { tier: "web", "com.example": "x=y" });
    await make("filter/mid:1", 2010, { tier: "db" });
    await make("filter/new:2", 2019, {});
    const names = async (...filters: readonly string[]) =>
      (
        await engine.ok(
          "images",
          ...filters.flatMap((filter) => ["-f", filter]),
          "--format",
          "{{.Repository}}:{{.Tag}}",
        )
      )
        .split("\n")
        .filter((name) => name.startsWith("filter/"));
    expect(await names("reference=filter/*")).toEqual(["filter/new:2", "filter/mid:1", "filter/old:1"]);
    expect(await names("reference=filter/*:1")).toEqual(["filter/mid:1", "filter/old:1"]);
    expect(await names("reference=filter/o?d", "reference=*/new:2")).toEqual(["filter/new:2", "filter/old:1"]);
    expect(await names("label=tier")).toEqual(["filter/mid:1", "filter/old:1"]);
    expect(await names("label=tier=web")).toEqual(["filter/old:1"]);
    expect(await names("label=tier", "label=com.example=x=y")).toEqual(["filter/old:1"]);
    expect(await names("label=tier=nosuch")).toEqual([]);
    expect(await names("before=filter/new:2")).toEqual(["filter/mid:1", "filter/old:1"]);
    expect(await names("since=filter/old:1")).toEqual(["filter/new:2", "filter/mid:1"]);
    expect(await names("since=filter/old:1", "before=filter/new:2")).toEqual(["filter/mid:1"]);
    expect(await names("dangling=true")).toEqual([]);
    expect((await names("dangling=false")).length).toBe(3);
    expect(await names("reference=filter/*:[^1]")).toEqual(["filter/new:2"]);
    expect(await names("reference=filter/\\*:1")).toEqual([]);
    // An empty operand is none.
    expect(await engine.ok("images", "-q", "")).toBe(await engine.ok("images", "-q"));
    expect(await engine.fails(1, "images", "filter/[")).toContain("syntax error in pattern");
    if (!isDocker()) {
      expect(await names("until=2015-01-01")).toEqual(["filter/mid:1", "filter/old:1"]);
      for (const until of ["until=1h", "until=1.5h", "until=500ms"])
        expect(await names(until)).toEqual(["filter/new:2", "filter/mid:1", "filter/old:1"]);
      expect(await names("until=2010-01-01T00:00:01+00:00")).toEqual(["filter/mid:1", "filter/old:1"]);
      expect(await engine.fails(1, "images", "-f", "dangling=true", "-f", "dangling=false")).toContain(
        "invalid filter 'dangling=[true false]'",
      );
      expect(await engine.fails(1, "image", "prune", "-f", "--filter", "dangling=x")).toContain(
        "invalid filter 'dangling=[x]'",
      );
    }
    const usage = await engine.fails(125, "images", "-f", "dangling");
    expect(usage).toStartWith(
      'invalid argument "dangling" for "-f, --filter" flag: bad format of filter (expected name=value)\n\nUsage:',
    );
    expect((await engine.fails(1, "images", "-f", "dangling=maybe")).toLowerCase()).toContain(
      "invalid filter 'dangling=[maybe]'",
    );
    expect((await engine.fails(1, "images", "-f", "color=red")).toLowerCase()).toContain("invalid filter 'color'");
    expect(await engine.fails(1, "images", "-f", "before=nosuch")).toContain("No such image: nosuch:latest");
    await engine.ok("rmi", "filter/old:1", "filter/mid:1", "filter/new:2");
  });

  test("formats: json, raw, fields, digests, sizes", async () => {
    const size = Number(await engine.ok("image", "inspect", "-f", "{{.Size}}", image));
    const [object] = (await engine.ok("images", "--format", "json", image)).split("\n").map((row) => JSON.parse(row));
    expect(Object.keys(object)).toEqual([
      "Containers",
      "CreatedAt",
      "CreatedSince",
      "Digest",
      "ID",
      "Repository",
      "SharedSize",
      "Size",
      "Tag",
      "UniqueSize",
      "VirtualSize",
    ]);
    expect(object).toMatchObject({ Containers: "N/A", Digest: "<none>", Repository: "minimal", SharedSize: "N/A" });
    expect(object.CreatedAt).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC$/);
    expect(object.VirtualSize).toBe(`${(size / 1e6).toFixed(3)}MB`);
    expect(await engine.ok("images", "--format", "{{json .}}", image)).toContain('"Digest":"\\u003cnone\\u003e"');
    expect(await engine.ok("images", "--format", "raw", image)).toMatch(
      /^repository: minimal\ntag: latest\nimage_id: [0-9a-f]{12}\ncreated_at: .* UTC\nvirtual_size: \S+MB\n$/,
    );
    expect((await engine.ok("images", "--digests", image)).split("\n")[0]).toMatch(
      /^REPOSITORY +TAG +DIGEST +IMAGE ID +CREATED +SIZE$/,
    );
    expect(await engine.ok("images", "-q", "--format", "{{.Tag}} x", image)).toBe("latest x");
    expect(await engine.ok("images", "-q", "--format", "raw", image)).toMatch(/^image_id: [0-9a-f]{12}$/);
    expect(await engine.fails(1, "images", "--format", "{{.Nope}}")).toContain(
      "can't evaluate field Nope in type *formatter.imageContext",
    );
  });

  test.if(needs("ctr"))("--tree: names, then the platform with its sizes", async () => {
    await engine.ok("tag", image, "tree/second:1");
    const id = await engine.ok("create", image, "true");
    const lines = (await engine.ok("images", "--tree", "-f", "reference=minimal", "-f", "reference=tree/*")).split(
      "\n",
    );
    expect(lines[0]).toMatch(/^IMAGE +ID +DISK USAGE +CONTENT SIZE +IN USE$/);
    expect(lines.slice(1).map((line) => line.trim().split(/ {2,}/)[0])).toEqual([
      "minimal:latest",
      "tree/second:1",
      "└─ linux/amd64",
    ]);
    expect(lines[3]).toMatch(/ [0-9a-f]{12} +\S+MB +\S+MB +U$/);
    expect(await engine.fails(1, "images", "--tree", "-q")).toContain("--quiet is not yet supported with --tree");
    await engine.ok("rm", id);
    await engine.ok("rmi", "tree/second:1");
  });
});

test.if(needs("ctr"))("an image that is wrong about itself spoils no list of images, and takes no time", async () => {
  const layer = layerOf(1);
  const created = "2001-01-01T00:00:00Z";
  const twice = dockerArchive("wrong/twice:1", { created }, [layer], '"created":{"a":1},');
  await engine.ok("load", "-q", "-i", twice);
  expect(await engine.ok("images", "--format", "{{.CreatedAt}}", "wrong/twice")).toBe("0001-01-01 00:00:00 +0000 UTC");
  await engine.ok("image", "prune", "-f", "--filter", "until=1h");
  await engine.ok("rmi", "wrong/twice:1");
  for (const [config, layers, reason] of [
    [{ created: "long ago" }, [layer], "created is not what it should be"],
    [{ created }, Array.from({ length: 501 }, () => layer), "the image has 501 layers, at most 500 are possible"],
  ] as const)
    expect(await engine.fails(1, "load", "-i", dockerArchive("wrong/one:1", config, layers))).toContain(reason);
  expect(await engine.ok("images", "-q", "wrong/*")).toBe("");
});

describe("inspect", () => {
  test("finds containers, images and volumes by name, or only of a type", async () => {
    await engine.ok("volume", "create", "--label", "a=b", "looked-at");
    const id = await engine.ok("create", "--name", "looked-at-too", "-l", "__proto__=x", image, "true");
    // Fields that JSON leaves out when they are empty: a template has them.
    expect(
      await engine.ok("image", "inspect", "-f", "{{.Os}}/{{.Architecture}}{{.Variant}}{{.OsVersion}}", image),
    ).toMatch(/^linux\/(amd64|arm64)$/);
    expect(await engine.ok("inspect", "-f", "{{.SizeRw}} {{.Driver}}", id)).toStartWith("<nil> overlay");
    expect(await engine.fails(1, "image", "inspect", "-f", "{{.SizeRw}}", image)).toContain("SizeRw");
    expect(await engine.ok("inspect", "-f", "{{json .Config.Labels}}", id)).toBe('{"__proto__":"x"}');
    expect(await engine.ok("inspect", "-f", "{{.Name}}", "looked-at", "looked-at-too")).toBe(
      "looked-at\n/looked-at-too",
    );
    expect(await engine.ok("inspect", "--type", "volume", "-f", "{{.Labels.a}}", "looked-at")).toBe("b");
    expect(await engine.ok("inspect", "--type", "image", "-f", "{{.Os}}", image)).toBe("linux");
    expect(await engine.fails(1, "inspect", "--type", "image", "looked-at")).toMatch(/no such image: looked-at/i);
    expect(await engine.fails(1, "inspect", "--type", "container", image)).toMatch(/no such container: minimal/i);
    expect(await engine.fails(1, "inspect", "--type", "nosuch", "x")).toContain(
      'unknown type: "nosuch": must be one of',
    );
    const both = await engine.ctr("image", "inspect", "-f", "{{.Os}}", "nosuch", image);
    expect([both.status, both.stdout.trim()]).toEqual([1, "linux"]);
    expect(both.stderr).toContain("No such image: nosuch:latest");
    // A template that has nothing to show is one empty line; without one it is an empty list.
    expect((await engine.ctr("image", "inspect", "-f", "{{.Os}}", "nosuch")).stdout).toBe("\n");
    expect((await engine.ctr("volume", "inspect", "-f", "{{.Name}}", "nosuch")).stdout).toBe("\n");
    expect((await engine.ctr("image", "inspect", "nosuch")).stdout).toBe("[]\n");
    expect(await engine.fails(125, "image", "inspect", "-s", image)).toContain("unknown shorthand flag: 's' in -s");
    expect(await engine.ok("container", "inspect", "-s", "-f", "{{.SizeRw}}", id)).toBe("0");
    await engine.ok("rm", id);
    await engine.ok("volume", "rm", "looked-at");
  });
});

describe("tag and rmi", () => {
  test("a tag that cannot be is refused in Docker's words", async () => {
    expect(await engine.fails(1, "tag", image, "BAD")).toContain("invalid reference format: repository name");
    expect(await engine.fails(1, "tag", image, "a:b:c")).toContain("invalid reference format");
    expect(await engine.fails(1, "tag", image, `x@sha256:${"0".repeat(64)}`)).toMatch(
      /refusing to create a tag with a digest/,
    );
    expect(await engine.fails(1, "tag", "nosuch", "x")).toContain("No such image: nosuch:latest");
  });

  test.if(needs("ctr", "strace"))("save and export: killed just before the end, no file is there", async () => {
    const id = await engine.ok("create", image, "true");
    for (const words of [
      ["save", "-o"],
      ["export", "-o"],
    ] as const) {
      const directory = fresh("killed");
      mkdirSync(directory);
      const subject = words[0] === "save" ? image : id;
      const kill = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=linkat", "-e", "inject=linkat:signal=KILL"];
      const command = [...kill, binary(), ...words, `${directory}/out.tar`, subject];
      const child = Bun.spawn(command, { env: { ...process.env, ...engine.env }, stdout: "ignore", stderr: "ignore" });
      expect(await child.exited).toBe(137);
      expect(readdirSync(directory)).toEqual([]);
    }
    await engine.ok("rm", id);
  });

  test("save and load: several images in one archive, by name and by id; what loads is told", async () => {
    await engine.ok("tag", image, "multi/a:1");
    const id = await engine.ok("create", image, "true");
    const second = await engine.ok("commit", id, "multi/b:2");
    const archive = fresh("multi.tar");
    await engine.ok("save", "-o", archive, "multi/a:1", second);
    const manifest = JSON.parse(tool("tar", "-xOf", archive, "manifest.json"));
    expect(manifest.map(({ RepoTags }: { RepoTags: unknown }) => RepoTags)).toEqual([["multi/a:1"], null]);
    await engine.ok("rmi", "multi/a:1", "multi/b:2");
    const loaded = (await engine.ok("load", "-q", "-i", archive)).split("\n").sort();
    // An old dockerd also names the parent, which it has again.
    expect(loaded.length).toBe(isDocker() ? 3 : 2);
    for (const line of ["Loaded image: multi/a:1", `Loaded image ID: ${second}`]) expect(loaded).toContain(line);
    await engine.ok("rm", id);
    await engine.ok("rmi", second, "multi/a:1");
    expect(await engine.fails(1, "load", "-i", fresh("nosuch.tar"))).toContain("no such file or directory");
  });
});
