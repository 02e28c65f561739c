/** Volumes: made, filled, listed, shared, backed up and removed. Paths on the host are the pretend host's. */
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { lgetxattr, lsetxattr } from "../../internal/sys/file.ts";
import { tempEngine } from "../lib/engine.ts";
import { mounts } from "../lib/host.ts";
import { isDocker, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { tree } from "../lib/tree.ts";

const engine = tempEngine();
const image = await engine.image("minimal");

const inside = (flags: readonly string[], ...program: readonly string[]) =>
  engine.ok("run", "--rm", "--network", "none", ...flags, image, ...program);

const inspect = async (name: string) => JSON.parse(await engine.ok("volume", "inspect", name))[0];

describe("volume create, ls, inspect, rm", () => {
  test("volume create: prints the name, and again for one that exists", async () => {
    expect(await engine.ok("volume", "create", "plain")).toBe("plain");
    expect(await engine.ok("volume", "create", "--label", "x=y", "plain")).toBe("plain");
    const volume = await inspect("plain");
    expect(volume).toMatchObject({ Driver: "local", Labels: null, Name: "plain", Options: null, Scope: "local" });
    expect(Object.keys(volume)).toEqual(["CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope"]);
    expect(volume.CreatedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$/);
    expect(await engine.ok("volume", "rm", "plain")).toBe("plain");
  });

  test("volume create: without a name 64 hexadecimal digits", async () => {
    const name = await engine.ok("volume", "create");
    expect(name).toMatch(/^[0-9a-f]{64}$/);
    await engine.ok("volume", "rm", name);
  });

  test.each([
    ["bad name", ["bad name"], 'create bad name: "bad name" includes invalid characters for a local volume name'],
    ["short", ["x"], "create x: volume name is too short, names should be at least two alphanumeric characters"],
    ["driver", ["-d", "nosuch", "xx"], 'create xx: error looking up volume plugin nosuch: plugin "nosuch" not found'],
    ["option", ["-o", "bogus=1", "xx"], 'create xx: invalid option: "bogus"'],
    ["type alone", ["-o", "type=tmpfs", "xx"], 'create xx: missing required option: "device"'],
    ["device alone", ["-o", "device=/tmp", "xx"], 'create xx: missing required option: "type"'],
  ])("volume create: refused: %s", async (_, operands, why) => {
    expect(await engine.fails(1, "volume", "create", ...operands)).toContain(why);
    expect(await engine.ok("volume", "ls", "-q")).not.toContain("xx");
  });

  test("volume create: a label without a name, or with a blank in it, is refused: 125", async () => {
    expect(await engine.fails(125, "volume", "create", "--label", "=x", "xx")).toContain(
      "invalid label '=x': empty name",
    );
    expect(await engine.fails(125, "volume", "create", "--label", "a b", "xx")).toContain("'a b' contains whitespaces");
    expect(await engine.ok("volume", "ls", "-q")).not.toContain("xx");
  });

  test("volume create: two names are one too many", async () => {
    expect(await engine.fails(1, "volume", "create", "aa", "bb")).toContain("at most 1 argument");
  });

  test("volume ls: by name, with Docker's filters and formats", async () => {
    await engine.ok("volume", "create", "--label", "a=b", "--label", "c", "ls-two");
    await engine.ok("volume", "create", "ls-one");
    await engine.ok("create", "--name", "ls-user", "-v", "ls-used:/x", image, "true");
    const names = async (...flags: string[]) => await engine.ok("volume", "ls", "-q", ...flags);
    expect(await engine.ok("volume", "ls", "-f", "name=ls-")).toBe(
      "DRIVER    VOLUME NAME\nlocal     ls-one\nlocal     ls-two\nlocal     ls-used",
    );
    expect(await names("-f", "name=ls-", "-f", "dangling=true")).toBe("ls-one\nls-two");
    expect(await names("-f", "name=ls-", "-f", "dangling=0")).toBe("ls-used");
    expect(await names("-f", "label=a")).toBe("ls-two");
    expect(await names("-f", "label=a=b", "-f", "label=c")).toBe("ls-two");
    expect(await names("-f", "label=a=x")).toBe("");
    expect(await names("-f", "name=one", "-f", "name=two")).toBe("ls-one\nls-two");
    expect(await names("-f", "driver=local", "-f", "name=ls-o")).toBe("ls-one");
    expect(await names("-f", "driver=other")).toBe("");
    expect(await engine.fails(1, "volume", "ls", "-f", "bogus=1")).toMatch(/invalid filter 'bogus'/i);
    expect(await engine.fails(1, "volume", "ls", "-f", "dangling=x")).toMatch(/invalid filter 'dangling=\[x\]'/i);
    const format = 'table {{.Name}}\t{{.Labels}}\t{{.Label "a"}}\t{{.Scope}}\t{{.Driver}}\t{{.Size}}';
    expect((await engine.ok("volume", "ls", "-f", "name=ls-two", "--format", format)).replaceAll(/ {2,}/g, "|")).toBe(
      "VOLUME NAME|LABELS|a|SCOPE|DRIVER|SIZE\nls-two|a=b,c=|b|local|local|N/A",
    );
    const json = JSON.parse(await engine.ok("volume", "ls", "-f", "name=ls-two", "--format", "json"));
    expect(json).toMatchObject({ Name: "ls-two", Labels: "a=b,c=", Driver: "local", Links: "N/A", Group: "N/A" });
    await engine.ok("rm", "ls-user");
    await engine.ok("volume", "rm", "ls-one", "ls-two", "ls-used");
  });

  test("volume inspect: what is there on stdout, what is not on stderr, status 1", async () => {
    await engine.ok("volume", "create", "--label", "b=2", "--label", "a=1", "shown");
    const result = await engine.ctr("volume", "inspect", "missing", "shown");
    expect(result.status).toBe(1);
    expect(JSON.parse(result.stdout)).toMatchObject([{ Name: "shown", Labels: { a: "1", b: "2" } }]);
    expect(result.stderr).toContain("get missing: no such volume");
    expect(await engine.ok("volume", "inspect", "-f", "{{.Name}} {{.Labels.a}}", "shown")).toBe("shown 1");
    expect(JSON.parse(await engine.ok("inspect", "shown"))).toMatchObject([{ Name: "shown", Driver: "local" }]);
    expect(await engine.ok("inspect", "--type", "volume", "-f", "{{.Scope}}", "shown")).toBe("local");
    expect(await engine.fails(1, "inspect", "--type", "volume", "missing")).toContain("missing");
    await engine.ok("volume", "rm", "shown");
  });

  test("volume rm: each target by itself; one in use is kept", async () => {
    await engine.ok("volume", "create", "free");
    const id = await engine.ok("create", "-v", "used:/x", image, "true");
    const result = await engine.ctr("volume", "rm", "used", "missing", "free");
    expect(result).toMatchObject({ status: 1, stdout: "free\n" });
    expect(result.stderr).toContain(`remove used: volume is in use - [${id}]`);
    expect(result.stderr).toContain("get missing: no such volume");
    expect(await engine.fails(1, "volume", "rm", "-f", "used")).toContain("volume is in use");
    expect(await engine.ok("volume", "rm", "-f", "missing")).toBe("missing");
    await engine.ok("rm", id);
    await engine.ok("volume", "rm", "used");
  });
});

describe("anonymous and named", () => {
  const all = async () => (await engine.ok("volume", "ls", "-q")).split("\n").filter((name) => name !== "");

  test("rm leaves every volume, rm -v takes those nobody named", async () => {
    const before = await all();
    const first = await engine.ok("create", "-v", "/anonymous", "-v", "named:/named", image, "true");
    await engine.ok("rm", first);
    const left = (await all()).filter((name) => !before.includes(name));
    expect(left).toHaveLength(2);
    const second = await engine.ok("create", "-v", "/anonymous", "-v", "named:/named", image, "true");
    await engine.ok("rm", "-v", second);
    expect((await all()).filter((name) => !before.includes(name)).sort()).toEqual(left.sort());
    await engine.ok("volume", "rm", ...left);
  });

  test("--rm takes the anonymous ones with it, and keeps the named", async () => {
    const before = await all();
    await inside(
      ["-v", "/anonymous", "--mount", "dst=/other", "-v", "stays:/named"],
      "touch",
      "/anonymous/x",
      "/named/x",
    );
    expect((await all()).filter((name) => !before.includes(name))).toEqual(["stays"]);
    await engine.ok("volume", "rm", "stays");
  });

  test("rm -v: an anonymous volume that another container uses stays until that one goes", async () => {
    const before = await all();
    await engine.ok("create", "--name", "owner", "-v", "/data", image, "true");
    await engine.ok("create", "--name", "guest", "--volumes-from", "owner", image, "true");
    await engine.ok("rm", "-v", "owner");
    expect((await all()).filter((name) => !before.includes(name))).toHaveLength(1);
    await engine.ok("rm", "-v", "guest");
    expect((await all()).filter((name) => !before.includes(name))).toEqual(isDocker() ? expect.anything() : []);
  });

  test("an image's VOLUME becomes an anonymous volume with the image's content", async () => {
    const id = await engine.ok("create", image, "true");
    await engine.ok("commit", "-c", "VOLUME /home/alice /new", id, "with-volumes");
    await engine.ok("rm", id);
    const container = await engine.ok("create", "with-volumes", "stat", "-c", "%u:%g", "/home/alice", "/new");
    expect(await engine.ok("start", "-a", container)).toBe("1000:1000\n0:0");
    const found = JSON.parse(await engine.ok("inspect", container))[0];
    expect(Object.keys(found.Config.Volumes).sort()).toEqual(["/home/alice", "/new"]);
    expect(found.Mounts.map((mount: { Destination: string }) => mount.Destination).sort()).toEqual([
      "/home/alice",
      "/new",
    ]);
    await engine.ok("rm", "-v", container);
    await engine.ok("rmi", "with-volumes");
  });
});

describe("copy-up", () => {
  test("an empty volume takes the image's tree: owners, modes, times, links, attributes, holes", async () => {
    const id = await engine.ok(
      "create",
      image,
      "sh",
      "-ec",
      `mkdir -p /src/d; chown 7:8 /src; chmod 2751 /src; echo hi > /src/d/f; chmod 4755 /src/d/f; chown 5:6 /src/d/f
       ln -s ../x /src/link; ln /src/d/f /src/hard; mkfifo /src/fifo; touch -d @1000 /src/d/f; touch -d @2000 /src/d
       dd if=/dev/zero of=/src/hole bs=1 count=1 seek=1048576 2> /dev/null; touch -d @3000 /src`,
    );
    await engine.ok("start", "-a", id);
    const attribute = new TextEncoder().encode("value");
    if (!isDocker()) lsetxattr(`${engine.root}/containers/${id}/upper/src/d`, "user.mark", attribute);
    await engine.ok("commit", id, "tree");
    await engine.ok("rm", id);
    await engine.ok("run", "--rm", "--network", "none", "-v", "copied:/src", "tree", "true");
    const listing = (path: string) =>
      engine.ok(
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        "copied:/copied",
        "tree",
        "sh",
        "-c",
        `cd ${path} && find . | sort | xargs stat -c '%n %a %u:%g %Y %h %F %s' | sed 's/ [0-9]*$//; /^. /s/ [0-9]* directory/ directory/' && readlink link && cat hard`,
      );
    // Docker loses the times of directories.
    const comparable = (text: string) =>
      isDocker() ? text.replace(/^(\S+ \d+ \S+) \d+( .*directory)$/gm, "$1$2") : text;
    expect(comparable(await listing("/copied"))).toBe(comparable(await listing("/src")));
    if (!isDocker()) {
      const data = (await inspect("copied")).Mountpoint;
      expect(statSync(`${data}/hole`)).toMatchObject({ size: 1048577 });
      expect(lgetxattr(`${data}/d`, "user.mark")).toEqual(attribute);
    }
    await engine.ok("volume", "rm", "copied");
    await engine.ok("rmi", "tree");
  });

  test("a container that is only created fills its volumes too: the pattern of data containers", async () => {
    await engine.ok(
      "create",
      "--name",
      "data-only",
      "-v",
      "/home/alice",
      "-v",
      "fresh:/not/in/the/image",
      image,
      "true",
    );
    expect(await inside(["--volumes-from", "data-only"], "stat", "-c", "%u", "/home/alice")).toBe("1000");
    await engine.ok("create", "--name", "data-named", "-v", "filled:/etc", image, "true");
    expect(await inside(["-v", "filled:/x"], "ls", "/x")).toContain("passwd");
    await inside(["-v", "filled:/x"], "sh", "-c", "rm -rf /x/*; chown 7 /x");
    expect(await engine.ok("cp", "data-named:/bin/busybox", `${engine.scratch}/busybox`)).toBe("");
    await engine.ok("start", "-a", "data-named");
    expect(await inside(["-v", "filled:/x"], "stat", "-c", "%u", "/x")).toBe("7");
    await engine.ok("rm", "-v", "data-only", "data-named");
    await engine.ok("volume", "rm", "filled", "fresh");
  });

  test.if(!isDocker())("create: volumes that cannot be mounted leave no container", async () => {
    await engine.ok("volume", "create", "-o", "type=none", "-o", "device=/nonexist", "-o", "o=bind", "lost");
    expect(await engine.fails(1, "create", "--name", "lost", "-v", "lost:/x", image, "true")).toContain("/nonexist");
    expect(await engine.ok("ps", "-aq", "--filter", "name=lost")).toBe("");
    await engine.ok("volume", "rm", "lost");
  });

  test("not with nocopy, not into a volume that has something, not a second time", async () => {
    expect(await inside(["-v", "bare:/etc:nocopy"], "ls", "/etc")).not.toContain("passwd");
    expect(await inside(["--mount", "src=bare2,dst=/etc,volume-nocopy"], "ls", "/etc")).not.toContain("passwd");
    await inside(["-v", "own:/x"], "touch", "/x/mine");
    expect(await inside(["-v", "own:/etc"], "ls", "/etc")).not.toContain("passwd");
    await inside(["-v", "once:/etc"], "sh", "-c", "rm -rf /etc/* 2> /dev/null; true");
    expect(await inside(["-v", "seen:/etc:ro"], "ls", "/etc")).toContain("passwd");
    await engine.ok("volume", "rm", "bare", "bare2", "own", "once", "seen");
  });
});

describe("--volumes-from", () => {
  test("everything of the other container: volumes, binds, read-only ones stay so; what is its own covers", async () => {
    writeFileSync(`${engine.scratch}/from-bind`, "bound\n");
    await engine.ok(
      "create",
      "--name",
      "donor",
      "-v",
      "vf-data:/data",
      "-v",
      "/anonymous",
      "-v",
      `${engine.scratch}/from-bind:/bound:ro`,
      "-v",
      "vf-covered:/covered",
      image,
      "true",
    );
    await engine.ok(
      "run",
      "--rm",
      "--network",
      "none",
      "--volumes-from",
      "donor",
      image,
      "touch",
      "/data/d",
      "/anonymous/a",
    );
    const script = "cat /bound; ls /data /anonymous /covered; touch /bound 2>&1; touch /data/e 2>&1; exit 0";
    expect(await inside(["--volumes-from", "donor:ro", "-v", "vf-own:/covered"], "sh", "-c", script)).toBe(
      "bound\n/anonymous:\na\n\n/covered:\n\n/data:\nd\ntouch: /bound: Read-only file system\n" +
        "touch: /data/e: Read-only file system",
    );
    const id = await engine.ok("create", "--volumes-from", "donor", image, "true");
    const found = JSON.parse(await engine.ok("inspect", id))[0];
    expect(found.HostConfig.VolumesFrom).toEqual(["donor"]);
    expect(
      found.Mounts.map(
        (mount: { Type: string; Destination: string; RW: boolean }) => `${mount.Type} ${mount.Destination} ${mount.RW}`,
      ).sort(),
    ).toEqual(["bind /bound false", "volume /anonymous true", "volume /covered true", "volume /data true"]);
    expect(await engine.fails(1, "volume", "rm", "vf-data")).toContain("volume is in use");
    await engine.ok("rm", "-v", id, "donor");
    await engine.ok("volume", "rm", "vf-data", "vf-covered", "vf-own");
  });

  test.each([
    ["a missing container", "nosuch", "No such container: nosuch"],
    ["a mode that is none", "nosuch:rwx", "invalid mode: rwx"],
  ])("refused: %s", async (_, text, why) => {
    expect(await engine.fails(1, "create", "--volumes-from", text, image, "true")).toContain(why);
  });

  test("backup by a second container, and restore into a new volume", async () => {
    await engine.ok(
      "run",
      "--name",
      "app",
      "--network",
      "none",
      "-v",
      "app-data:/data",
      image,
      "sh",
      "-c",
      "mkdir -p /data/deep/er; echo one > /data/deep/er/1; chown 1000:1000 /data/deep; chmod 600 /data/deep/er/1; ln -s deep /data/l",
    );
    mkdirSync(`${engine.scratch}/backup`);
    await inside(
      ["--volumes-from", "app:ro", "-v", `${engine.scratch}/backup:/backup`],
      ..."tar -C / -cf /backup/data.tar data".split(" "),
    );
    await engine.ok("create", "--name", "app2", "-v", "app-data2:/data", image, "true");
    await inside(
      ["--volumes-from", "app2", "-v", `${engine.scratch}/backup:/backup`],
      ..."tar -C / -xf /backup/data.tar".split(" "),
    );
    const [from, to] = await Promise.all(
      ["app-data", "app-data2"].map(async (name) => (await inspect(name)).Mountpoint),
    );
    // busybox' tar keeps only the times of files.
    const lines = (path: string) => tree(path).map((line) => line.replace(/ \d{19}\b/, ""));
    expect(lines(to)).toEqual(lines(from));
    expect(readFileSync(`${to}/deep/er/1`, "utf8")).toBe("one\n");
    await engine.ok("rm", "app", "app2");
    await engine.ok("volume", "rm", "app-data", "app-data2");
  });
});

describe("options of the local driver", () => {
  test("a tmpfs with its options, and nothing of it on the host", async () => {
    await engine.ok(
      "volume",
      "create",
      "-o",
      "type=tmpfs",
      "-o",
      "device=tmpfs",
      "-o",
      "o=size=1m,uid=5,mode=750",
      "ram",
    );
    expect((await inspect("ram")).Options).toEqual({ type: "tmpfs", device: "tmpfs", o: "size=1m,uid=5,mode=750" });
    const before = mounts();
    const line = await inside(
      ["-v", "ram:/x"],
      "sh",
      "-c",
      "stat -c '%u %a' /x; mount | grep ' /x '; df -k /x | tail -1",
    );
    expect(line).toMatch(/^5 750\ntmpfs on \/x type tmpfs \(rw.*size=1024k/);
    expect(await inside(["-v", "ram:/x:ro"], "sh", "-c", "touch /x/y 2>&1; true")).toContain("Read-only file system");
    const id = await engine.ok("run", "-d", "--network", "none", "-v", "ram:/x", image, "probe", "pause");
    if (!isDocker()) expect(mounts()).toEqual(before);
    await engine.ok("rm", "-f", id);
    await engine.ok("volume", "rm", "ram");
  });

  test("a tmpfs is one for all who run with it, and gone when the last of them stopped", async () => {
    await engine.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=nosuid,mode=700", "common");
    const flags = ["-d", "--network", "none"];
    const first = await engine.ok("run", ...flags, "-v", "common:/here:ro", image, "probe", "pause");
    const second = await engine.ok("run", ...flags, "-v", "common:/there", image, "probe", "pause");
    await engine.ok("exec", second, "sh", "-c", "echo shared > /there/f");
    expect(await engine.ok("exec", first, "cat", "/here/f")).toBe("shared");
    expect(await engine.fails(1, "exec", first, "touch", "/here/g")).toContain("Read-only");
    expect(await engine.ok("exec", second, "sh", "-c", "mount | grep ' /there '")).toMatch(
      /tmpfs \(rw,nosuid.*mode=700/,
    );
    await engine.ok("rm", "-f", first);
    expect(await inside(["-v", "common:/x"], "cat", "/x/f")).toBe("shared");
    await engine.ok("rm", "-f", second);
    expect(await inside(["-v", "common:/x"], "ls", "/x")).toBe("");
    await engine.ok("volume", "rm", "common");
  });

  test("a directory of the host, filled from the image when it is empty", async () => {
    const directory = `${engine.scratch}/device`;
    mkdirSync(directory);
    await engine.ok("volume", "create", "-o", "type=none", "-o", `device=${directory}`, "-o", "o=bind", "there");
    expect(
      await inside(["-v", "there:/home/alice"], "sh", "-c", "echo 1 > /home/alice/n; stat -c %u /home/alice"),
    ).toBe("1000");
    expect(readdirSync(directory)).toEqual(["n"]);
    expect(readdirSync(engine.scratch).filter((name) => name.startsWith("device"))).toEqual(["device"]);
    expect(await inside(["-v", "there:/etc"], "ls", "/etc")).not.toContain("passwd");
    await engine.ok("volume", "rm", "there");
    expect(existsSync(`${directory}/n`)).toBe(true);
  });

  test("o=bind,ro: nobody writes, whatever the container was told", async () => {
    const directory = `${engine.scratch}/device-ro`;
    mkdirSync(directory);
    await engine.ok("volume", "create", "-o", "type=none", "-o", `device=${directory}`, "-o", "o=bind,ro", "locked");
    expect(await inside(["-v", "locked:/x"], "sh", "-c", "touch /x/y 2>&1; true")).toContain("Read-only file system");
    await engine.ok("volume", "rm", "locked");
  });

  test.if(needs("loop"))("a block device with a file system, filled from the image", async () => {
    const disk = `${engine.scratch}/disk`;
    expect(Bun.spawnSync(["truncate", "-s", "8M", disk]).exitCode).toBe(0);
    expect(Bun.spawnSync(["mke2fs", "-q", "-t", "ext4", disk]).exitCode).toBe(0);
    const loop = Bun.spawnSync(["losetup", "-f", "--show", disk]).stdout.toString().trim();
    try {
      await engine.ok("volume", "create", "-o", "type=ext4", "-o", `device=${loop}`, "-o", "o=nosuid", "disk");
      const script = "mount | grep ' /data '; echo kept > /data/n";
      expect(await inside(["-v", "disk:/data"], "sh", "-c", script)).toMatch(/type ext4 \(rw,nosuid/);
      expect(await inside(["-v", "disk:/data"], "cat", "/data/n")).toBe("kept");
      await engine.ok("volume", "rm", "disk");
    } finally {
      Bun.spawnSync(["losetup", "-d", loop]);
    }
  });

  test("what cannot be mounted is said at the start, with the reason", async () => {
    await engine.ok("volume", "create", "-o", "type=none", "-o", "device=/nonexist", "-o", "o=bind", "nowhere");
    const result = await engine.ctr("run", "--rm", "--network", "none", "-v", "nowhere:/x", image, "true");
    expect(result.stderr).toContain("no such file or directory");
    if (!isDocker()) expect(result.status).toBe(125);
    await engine.ok("volume", "rm", "nowhere");
  });

  test.if(!isDocker() && !readFileSync("/proc/filesystems", "utf8").includes("nfs"))(
    "nfs: a kernel without it says so",
    async () => {
      await engine.ok(
        "volume",
        "create",
        "-o",
        "type=nfs",
        "-o",
        "device=:/x",
        "-o",
        "o=addr=10.255.255.1,rw",
        "remote",
      );
      const result = await engine.ctr("run", "--rm", "--network", "none", "-v", "remote:/x", image, "true");
      expect(result).toMatchObject({ status: 125 });
      expect(result.stderr).toContain("file systems of type nfs are not known to this kernel");
      await engine.ok("volume", "rm", "remote");
    },
  );
});
