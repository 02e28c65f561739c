/** `--mount` and the words after `-v`, seen from inside; propagation from both sides. */
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { isDocker } from "../lib/needs.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const image = await engine.image("minimal");

const inside = (flags: readonly string[], ...program: readonly string[]) =>
  engine.ok("run", "--rm", "--network", "none", ...flags, image, ...program);

/** Runs a program of the pretend host. */
function host(...command: readonly string[]): void {
  const result = Bun.spawnSync([...command]);
  if (result.exitCode !== 0) throw new Error(`${command.join(" ")}: ${result.stderr}`);
}

function directory(name: string): string {
  const path = `${engine.scratch}/${name}`;
  mkdirSync(path, { recursive: true });
  return path;
}

const WRITES = "touch /x/f 2> /dev/null && echo top; touch /x/sub/f 2> /dev/null && echo below; true";

test("what covers /etc has the engine's files in it", async () => {
  const source = directory("etc");
  const shown = "cat /etc/hostname; grep -c localhost /etc/hosts; touch /etc/of-mine; ls /etc";
  const files = ["hostname", "hosts", "of-mine", "resolv.conf"];
  for (const mount of [
    ["-v", `${source}:/etc`],
    ["-v", "etc-volume:/etc:nocopy"],
    ["--tmpfs", "/etc"],
  ]) {
    expect((await inside(["-h", "covered", ...mount], "sh", "-c", shown)).split("\n")).toEqual([
      "covered",
      "2",
      ...files,
    ]);
  }
  expect(readdirSync(source).sort()).toEqual(files);
  expect(readFileSync(`${source}/hosts`, "utf8")).toBe("");
  await engine.ok("volume", "rm", "etc-volume");
});

test("the same -v twice is one, of two --tmpfs the last counts; of others a destination is taken once", async () => {
  const source = directory("twice");
  const flags = ["-v", `${source}:/x`, "-v", `${source}:/x`, "--tmpfs", "/t:size=1m", "--tmpfs", "/t:size=2m"];
  const shown = await inside(flags, "sh", "-c", "grep -c ' /x ' /proc/mounts; grep ' /t ' /proc/mounts");
  expect(shown).toMatch(/^1\ntmpfs \/t tmpfs \S*size=2048k/);
  expect(await engine.fails(125, "run", "-v", `${source}:/x`, "--tmpfs", "/x", image, "true")).toContain(
    "Duplicate mount point: /x",
  );
});

describe("bind", () => {
  test("--mount type=bind: writable, and read-only with either word", async () => {
    const source = directory("plain");
    await inside(["--mount", `type=bind,src=${source},dst=/x`], "touch", "/x/f");
    expect(existsSync(`${source}/f`)).toBe(true);
    for (const word of ["readonly", "ro", "readonly=true"]) {
      const shown = await inside(["--mount", `type=bind,source=${source},target=/x,${word}`], "sh", "-c", WRITES);
      expect(shown).toBe("");
    }
  });

  test("--mount type=bind: a missing source is an error, unless it is to be made", async () => {
    const missing = `${engine.scratch}/not/there`;
    expect(await engine.fails(1, "create", "--mount", `type=bind,src=${missing},dst=/x`, image, "true")).toContain(
      `invalid mount config for type "bind": bind source path does not exist: ${missing}`,
    );
    if (isDocker()) return;
    await inside(["--mount", `type=bind,src=${missing},dst=/x,bind-create-src`], "touch", "/x/f");
    expect(existsSync(`${missing}/f`)).toBe(true);
  });

  test("--mount type=bind: a source that goes away before the start is an error of the start", async () => {
    const source = directory("going");
    const id = await engine.ok("create", "--mount", `type=bind,src=${source},dst=/x`, image, "true");
    host("rmdir", source);
    expect(await engine.fails(1, "start", id)).toMatch(/does not exist/);
    expect(existsSync(source)).toBe(false);
    await engine.ok("rm", id);
  });

  test.each([
    ["-v :ro", (source: string) => ["-v", `${source}:/x:ro`], ""],
    ["enabled", (source: string) => ["--mount", `type=bind,src=${source},dst=/x,ro,bind-recursive=enabled`], ""],
    ["writable", (source: string) => ["--mount", `type=bind,src=${source},dst=/x,ro,bind-recursive=writable`], "below"],
    [
      "readonly",
      (source: string) => [
        "--mount",
        `type=bind,src=${source},dst=/x,ro,bind-recursive=readonly,bind-propagation=rprivate`,
      ],
      "",
    ],
    ["-v :rw", (source: string) => ["-v", `${source}:/x:rw`], "top\nbelow"],
  ])("read-only reaches the mounts below as asked: %s", async (name, flags, written) => {
    if (isDocker()) return; // 20.10 is before recursive read-only
    const source = directory(`tree-${name.replaceAll(/\W/g, "")}`);
    directory(`tree-${name.replaceAll(/\W/g, "")}/sub`);
    host("mount", "-t", "tmpfs", "tmpfs", `${source}/sub`);
    try {
      expect(await inside(flags(source), "sh", "-c", WRITES)).toBe(written);
    } finally {
      host("umount", `${source}/sub`);
    }
  });

  test("bind-recursive=disabled: the mounts below stay outside", async () => {
    const source = directory("alone");
    directory("alone/sub");
    host("mount", "-t", "tmpfs", "tmpfs", `${source}/sub`);
    writeFileSync(`${source}/sub/hidden`, "");
    try {
      const flag = `type=bind,src=${source},dst=/x,bind-recursive=disabled`;
      expect(await inside(["--mount", flag], "ls", "/x/sub")).toBe("");
      expect(await inside(["-v", `${source}:/x`], "ls", "/x/sub")).toBe("hidden");
    } finally {
      host("umount", `${source}/sub`);
    }
  });

  test("what is read-only on the host stays so", async () => {
    const source = directory("locked");
    host("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", source);
    try {
      expect(await inside(["-v", `${source}:/x`], "sh", "-c", "touch /x/f 2>&1; true")).toContain("Read-only");
    } finally {
      host("umount", source);
    }
  });

  test("z, Z and the consistency words are accepted", async () => {
    const source = directory("words");
    for (const words of ["z", "Z", "ro,z", "cached", "delegated,Z", "consistent,rw", "rprivate,z,cached,ro"]) {
      await inside(["-v", `${source}:/x:${words}`], "true");
    }
    const id = await engine.ok("create", "-v", `${source}:/x:z,ro`, image, "true");
    expect(await engine.ok("inspect", "-f", "{{(index .Mounts 0).Mode}} {{(index .Mounts 0).RW}}", id)).toBe(
      "z,ro false",
    );
    await engine.ok("rm", id);
  });

  test("a destination that goes through a link of the image is made where the link leads, and what is mounted there is no change", async () => {
    const id = await engine.ok("create", image, "ln", "-s", "usr/share", "/linked");
    await engine.ok("start", "-a", id);
    await engine.ok("commit", id, "with-link");
    await engine.ok("rm", id);
    const source = directory("behind");
    const flags = ["-v", `${source}:/linked/far/away`, "--tmpfs", "/linked/tmp"];
    const container = await engine.ok(
      "create",
      "--network",
      "none",
      ...flags,
      "with-link",
      "touch",
      "/usr/share/far/away/f",
      "/only",
    );
    await engine.ok("start", "-a", container);
    expect(existsSync(`${source}/f`)).toBe(true);
    if (!isDocker()) {
      await engine.ok("commit", container, "committed");
      await engine.ok("save", "-o", `${engine.scratch}/committed.tar`, "committed");
      const listed = Bun.spawnSync([
        "sh",
        "-c",
        `cd ${engine.scratch} && rm -rf un && mkdir un && tar -C un -xf committed.tar && ` +
          "for f in $(find un/blobs -type f); do tar -tf $f 2> /dev/null; done",
      ]).stdout.toString();
      expect(listed).toContain("only");
      // Their empty places are kept, as Docker keeps them.
      expect(listed).toContain("share/far/away/\n");
      expect(listed).not.toContain("away/f");
      await engine.ok("rmi", "committed");
    }
    await engine.ok("rm", container);
    await engine.ok("rmi", "with-link");
  });
});

describe("propagation", () => {
  /** A mount that can share: `word` is shared, slave or private. */
  function sharing(name: string, word: string): { readonly path: string; readonly end: () => void } {
    const path = directory(name);
    host("mount", "-t", "tmpfs", "tmpfs", path);
    host("mount", `--make-${word}`, path);
    mkdirSync(`${path}/sub`);
    return { path, end: () => host("umount", "-R", path) };
  }
  const CAN_MOUNT = [
    "--cap-add",
    "SYS_ADMIN",
    "--security-opt",
    "seccomp=unconfined",
    "--security-opt",
    "apparmor=unconfined",
  ];

  test("rslave: a later mount of the host arrives, one of the container does not leave", async () => {
    const source = sharing("slave", "shared");
    try {
      const id = await engine.ok(
        "run",
        "-d",
        "--network",
        "none",
        ...CAN_MOUNT,
        "-v",
        `${source.path}:/x:rslave`,
        image,
        "probe",
        "pause",
      );
      host("mount", "-t", "tmpfs", "tmpfs", `${source.path}/sub`);
      writeFileSync(`${source.path}/sub/later`, "");
      expect(await engine.ok("exec", id, "ls", "/x/sub")).toBe("later");
      await engine.ok("exec", id, "sh", "-c", "mkdir /x/own && mount -t tmpfs tmpfs /x/own && touch /x/own/inner");
      expect(existsSync(`${source.path}/own/inner`)).toBe(false);
      await engine.ok("rm", "-f", id);
    } finally {
      source.end();
    }
  });

  test("rshared: mounts go both ways", async () => {
    const source = sharing("shared", "shared");
    try {
      const mount = `type=bind,src=${source.path},dst=/x,bind-propagation=rshared`;
      const id = await engine.ok(
        "run",
        "-d",
        "--network",
        "none",
        ...CAN_MOUNT,
        "--mount",
        mount,
        image,
        "probe",
        "pause",
      );
      host("mount", "-t", "tmpfs", "tmpfs", `${source.path}/sub`);
      writeFileSync(`${source.path}/sub/later`, "");
      expect(await engine.ok("exec", id, "ls", "/x/sub")).toBe("later");
      await engine.ok("exec", id, "sh", "-c", "mkdir /x/own && mount -t tmpfs tmpfs /x/own && touch /x/own/inner");
      expect(existsSync(`${source.path}/own/inner`)).toBe(true);
      await engine.ok("rm", "-f", id);
    } finally {
      source.end();
    }
  });

  test("rprivate, the default: nothing arrives", async () => {
    const source = sharing("private", "shared");
    try {
      const id = await engine.ok("run", "-d", "--network", "none", "-v", `${source.path}:/x`, image, "probe", "pause");
      host("mount", "-t", "tmpfs", "tmpfs", `${source.path}/sub`);
      writeFileSync(`${source.path}/sub/later`, "");
      expect(await engine.ok("exec", id, "ls", "/x/sub")).toBe("");
      await engine.ok("rm", "-f", id);
    } finally {
      source.end();
    }
  });

  test("a source that is not shared cannot be", async () => {
    const source = sharing("lonely", "private");
    try {
      const run = (word: string) =>
        engine.fails(125, "run", "--rm", "--network", "none", "-v", `${source.path}:/x:${word}`, image, "true");
      expect(await run("shared")).toContain(
        `path ${source.path} is mounted on ${source.path} but it is not a shared mount`,
      );
      expect(await run("slave")).toContain("but it is not a shared or slave mount");
    } finally {
      source.end();
    }
  });
});

describe("volume and tmpfs", () => {
  test("--mount type=volume is the default, with labels and options of its driver", async () => {
    const mount = "src=mv,dst=/x,volume-label=a=b,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs";
    expect(await inside(["--mount", mount], "sh", "-c", "mount | grep ' /x '")).toContain("type tmpfs");
    const [volume] = JSON.parse(await engine.ok("volume", "inspect", "mv"));
    expect(volume).toMatchObject({ Labels: { a: "b" }, Options: { type: "tmpfs", device: "tmpfs" } });
    await engine.ok("volume", "rm", "mv");
  });

  test.if(!isDocker())(
    "volume-subpath: a directory or file inside the volume; links do not lead out of it",
    async () => {
      await inside(
        ["-v", "deep:/v"],
        "sh",
        "-c",
        "mkdir -p /v/a/b; echo in > /v/a/b/f; ln -s / /v/root; ln -s a/b /v/short; ln -s ../../../../etc /v/out",
      );
      const seen = (subpath: string) =>
        inside(
          ["--mount", `src=deep,dst=/x,volume-subpath=${subpath}`],
          "sh",
          "-c",
          "ls /x; cat /x/f 2> /dev/null; true",
        );
      expect(await seen("a/b")).toBe("f\nin");
      expect(await seen("short")).toBe("f\nin");
      expect((await seen("root")).split("\n")).toEqual(["a", "out", "root", "short"]);
      expect(await inside(["--mount", "src=deep,dst=/f,volume-subpath=a/b/f"], "cat", "/f")).toBe("in");
      for (const missing of ["nosuch", "out"]) {
        const flag = `src=deep,dst=/x,volume-subpath=${missing}`;
        expect(await engine.fails(125, "run", "--rm", "--network", "none", "--mount", flag, image, "true")).toContain(
          "no such file or directory",
        );
      }
      await engine.ok("volume", "rm", "deep");
    },
  );

  test("--mount type=tmpfs: size, mode and read-only", async () => {
    const script = "stat -c %a /x; mount | grep ' /x '; touch /x/f 2>&1; true";
    const writable = await inside(["--mount", "type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=1750"], "sh", "-c", script);
    expect(writable).toMatch(/^1750\ntmpfs on \/x type tmpfs \(rw,nosuid,nodev,noexec.*size=1024k[^\n]*$/);
    expect(await inside(["--mount", "type=tmpfs,dst=/x,ro"], "sh", "-c", script)).toContain("Read-only file system");
  });

  test.each([
    ["size", "size=2m", /size=2048k/],
    ["mode", "mode=700", /mode=700/],
    ["owner", "uid=5,gid=6", /uid=5,gid=6/],
    ["exec", "exec,suid,dev", /\(rw,relatime/],
    ["inodes", "nr_inodes=100", /nr_inodes=100/],
    ["read-only", "ro", /\(ro,/],
    ["times", "noatime", /noatime/],
  ])("--tmpfs: %s", async (_, options, expected) => {
    expect(await inside(["--tmpfs", `/x:${options}`], "sh", "-c", "mount | grep ' /x '")).toMatch(expected);
  });

  test("inspect: Mounts, Binds, Mounts of the request, Tmpfs and Volumes as Docker shows them", async () => {
    const source = directory("inspected");
    const id = await engine.ok(
      "create",
      ...["-v", "iv:/iv", "-v", `${source}:/b:ro`, "-v", "/anon", "--tmpfs", "/t:size=1m"],
      ...["--mount", "type=tmpfs,dst=/tm,tmpfs-size=1m", "--mount", "src=im,dst=/im,readonly,volume-nocopy"],
      image,
      "true",
    );
    const [found] = JSON.parse(await engine.ok("inspect", id));
    const mounts = new Map<string, object>(
      found.Mounts.map((mount: { Destination: string }) => [mount.Destination, mount]),
    );
    expect([...mounts.keys()].sort()).toEqual(["/anon", "/b", "/im", "/iv", "/tm"]);
    expect(mounts.get("/iv")).toMatchObject({
      Type: "volume",
      Name: "iv",
      Driver: "local",
      Mode: "z",
      RW: true,
      Propagation: "",
    });
    expect(mounts.get("/b")).toMatchObject({ Type: "bind", Source: source, Mode: "ro", RW: false });
    expect(mounts.get("/im")).toMatchObject({ Type: "volume", Name: "im", Mode: "z", RW: false });
    expect(mounts.get("/tm")).toEqual({
      Type: "tmpfs",
      Source: "",
      Destination: "/tm",
      Mode: "",
      RW: true,
      Propagation: "",
    });
    expect(found.HostConfig.Binds.toSorted()).toEqual([`${source}:/b:ro`, "iv:/iv"].toSorted());
    expect(found.HostConfig.Tmpfs).toEqual({ "/t": "size=1m" });
    expect(found.HostConfig.Mounts).toContainEqual({
      Type: "tmpfs",
      Target: "/tm",
      TmpfsOptions: { SizeBytes: 1048576 },
    });
    expect(Object.keys(found.Config.Volumes)).toEqual(["/anon"]);
    await engine.ok("rm", "-v", id);
    await engine.ok("volume", "rm", "iv", "im");
  });

  test("one place is mounted on once; nothing of it is left behind when it is refused", async () => {
    const before = await engine.ok("volume", "ls", "-q");
    if (!isDocker()) {
      expect(await engine.fails(1, "create", "-v", "aa:/x", "--mount", "src=bb,dst=/x", image, "true")).toContain(
        "Duplicate mount point: /x",
      );
    }
    expect(await engine.fails(125, "create", "--mount", "dst=/x,bogus=1", image, "true")).toContain(
      `invalid argument "dst=/x,bogus=1" for "--mount" flag: unexpected key 'bogus' in 'bogus=1'`,
    );
    expect(await engine.ok("volume", "ls", "-q")).toBe(before);
  });
});

test("mounts nest: a volume inside a bind inside a tmpfs, in whatever order they are given", async () => {
  const source = directory("outer");
  const flags = ["-v", "inner:/t/b/v", "-v", `${source}:/t/b`, "--tmpfs", "/t"];
  const script = "touch /t/a /t/b/b /t/b/v/v; find /t -type f | sort";
  expect(await inside(flags, "sh", "-c", script)).toBe("/t/a\n/t/b/b\n/t/b/v/v");
  expect(readFileSync(`${source}/b`, "utf8")).toBe("");
  await engine.ok("volume", "rm", "inner");
});

test("a destination below a link of the container's own never leaves the container", async () => {
  const source = directory("escape");
  symlinkSync("/etc", `${source}/link`);
  const target = directory("escape-target");
  await inside(["-v", `${source}:/x`, "-v", `${target}:/x/link/inner`], "touch", "/etc/inner/f");
  expect(existsSync(`${target}/f`)).toBe(true);
  expect(existsSync("/etc/inner")).toBe(false);
});
