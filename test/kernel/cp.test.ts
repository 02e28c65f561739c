/** `ctr cp`: every row of docker-cp(1)'s table in both directions, and what must not be reached. Passes on Docker too. */
import { Database } from "bun:sqlite";
import { describe, expect } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { mounts } from "../lib/host.ts";
import { binary, isDocker } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");

/** What a fresh container of these tests has. */
const SETUP = `mkdir -p /d/sub /e; echo one > /d/f; echo two > /e/file; ln -s /d /dl; ln -s f /d/fl; ln -s /nowhere /broken
  ln /d/f /d/hard; mkfifo /d/p; chown 5:6 /d/f; chmod 640 /d/f; touch -d @1000000 /d/f; touch -d @2000000 /d/sub`;

async function container(...flags: readonly string[]): Promise<string> {
  const id = await engine.ok(
    "run",
    "-d",
    "--network",
    "none",
    ...flags,
    image,
    "sh",
    "-c",
    `${SETUP}; touch /ready; exec probe pause`,
  );
  await waitFor("the container", async () => (await engine.ctr("exec", id, "ls", "/ready")).status === 0);
  return id;
}

/** A directory of the host with something to copy; commands run in it. */
function hostSide(): string {
  const directory = mkdtempSync(`${engine.scratch}/cp-`);
  mkdirSync(`${directory}/src/sub`, { recursive: true });
  mkdirSync(`${directory}/out`);
  writeFileSync(`${directory}/src/f`, "hi\n");
  chownSync(`${directory}/src/f`, 1234, 99);
  chmodSync(`${directory}/src/f`, 0o4755); // after the owner, whose change clears the bit
  writeFileSync(`${directory}/file`, "x\n");
  writeFileSync(`${directory}/out/file`, "old\n");
  symlinkSync("file", `${directory}/link`);
  symlinkSync("src", `${directory}/dlink`);
  symlinkSync("gone", `${directory}/broken`);
  return directory;
}

const cpIn = (cwd: string, ...operands: readonly string[]) => engine.ctrWith({ cwd }, "cp", ...operands);

/** Every name below a directory of the container, with kind, mode and owner. */
const listing = async (id: string, path: string) =>
  await engine.ok(
    "exec",
    id,
    "sh",
    "-c",
    `cd ${path} && find . -mindepth 1 | sort | xargs -r stat -c '%n|%F|%a|%u:%g'`,
  );

describe("into a container", () => {
  const FILE = "|regular file|644|0:0";
  const TREE = (name: string) =>
    `${name}|directory|755|0:0\n${name}/f|regular file|4755|1234:99\n${name}/sub|directory|755|0:0`;
  const KEPT = `./file${FILE}`;
  /** Operands with C for the container; what is then in /e, or the error. */
  const rows: readonly (readonly [string, string, string])[] = [
    ["a file to a missing name", "file C:/e/new", `${KEPT}\n./new${FILE}`],
    ["a file to a missing name with a slash", "file C:/e/new/", "!no such directory"],
    ["a file to a missing name with /.", "file C:/e/new/.", "!no such directory"],
    ["a file below a missing directory", "file C:/e/no/x", "!Could not find the file /e/no in container C"],
    ["a file on a file", "file C:/e/file", KEPT],
    ["a file on a file with a slash", "file C:/e/file/", "!no such directory"],
    ["a file to a directory", "file C:/e", KEPT],
    ["a file to a directory with a slash", "file C:/e/", KEPT],
    ["a directory to a missing name", "src C:/e/new", `${KEPT}\n${TREE("./new")}`],
    ["a directory to a missing name with a slash", "src C:/e/new/", `${KEPT}\n${TREE("./new")}`],
    ["a directory below a missing directory", "src C:/e/no/x", "!Could not find the file /e/no in container C"],
    ["a directory on a file", "src C:/e/file", "!cannot copy directory"],
    ["a directory to a directory", "src C:/e", `${KEPT}\n${TREE("./src")}`],
    ["a directory with a slash to a directory", "src/ C:/e", `${KEPT}\n${TREE("./src")}`],
    ["the contents of a directory to a missing name", "src/. C:/e/new", `${KEPT}\n${TREE("./new")}`],
    ["the contents of a directory on a file", "src/. C:/e/file", "!cannot copy directory"],
    [
      "the contents of a directory to a directory",
      "src/. C:/e",
      `./f|regular file|4755|1234:99\n${KEPT}\n./sub|directory|755|0:0`,
    ],
    ["a link", "link C:/e", `${KEPT}\n./link|symbolic link|777|0:0`],
    ["a link that leads nowhere", "broken C:/e", `./broken|symbolic link|777|0:0\n${KEPT}`],
    ["-L a link", "-L link C:/e/new", `${KEPT}\n./new${FILE}`],
    ["-L a link to a directory", "-L dlink C:/e", `${TREE("./dlink")}\n${KEPT}`],
    ["-L a link that leads nowhere", "-L broken C:/e", "!no such file or directory"],
    ["a link to a directory with a slash", "dlink/ C:/e", `${TREE("./dlink")}\n${KEPT}`],
    ["the contents behind a link", "dlink/. C:/e/new", `${KEPT}\n${TREE("./new")}`],
    ["a missing source", "nosuch C:/e", "!nosuch: no such file or directory"],
    ["a path from the root without its slash", "file C:e/new", `${KEPT}\n./new${FILE}`],
    ["a path with ..", "file C:/e/../../../e/new", `${KEPT}\n./new${FILE}`],
  ];
  test.each(rows)("cp: %s", async (_, operands, outcome) => {
    const id = await container("--rm");
    const result = await cpIn(hostSide(), ...operands.replace("C:", `${id}:`).split(" "));
    if (outcome.startsWith("!")) {
      expect(result.status).toBe(1);
      expect(result.stderr).toContain(outcome.slice(1).replace("container C", `container ${id}`));
      expect(await listing(id, "/e")).toBe(KEPT);
    } else {
      expect(result).toMatchObject({ status: 0, stdout: "", stderr: "" });
      expect(await listing(id, "/e")).toBe(outcome);
    }
    await engine.ok("rm", "-f", id);
  });

  test("cp: a destination that is a link is followed, in the container and nowhere else", async () => {
    const id = await container();
    const cwd = hostSide();
    await cpIn(cwd, "file", `${id}:/dl`);
    await cpIn(cwd, "file", `${id}:/d/fl`);
    await cpIn(cwd, "file", `${id}:/broken`);
    expect(await engine.ok("exec", id, "cat", "/d/file", "/d/f", "/nowhere")).toBe("x\nx\nx");
    expect(existsSync("/nowhere")).toBe(false);
    await engine.ok("exec", id, "ln", "-s", cwd, "/out");
    const result = await cpIn(cwd, "file", `${id}:/out/escaped`);
    expect(result).toMatchObject({ status: 1 });
    expect(existsSync(`${cwd}/escaped`)).toBe(false);
    await engine.ok("rm", "-f", id);
  });

  test("cp: neither a directory nor a file takes the other's place", async () => {
    const id = await container();
    const cwd = hostSide();
    await engine.ok("exec", id, "sh", "-c", "mkdir -p /a/file /b; echo > /b/src");
    expect((await cpIn(cwd, "file", `${id}:/a`)).stderr).toContain(
      'cannot overwrite directory "/a/file" with non-directory "/a"',
    );
    expect((await cpIn(cwd, "src", `${id}:/b`)).stderr).toContain(
      'cannot overwrite non-directory "/b/src" with directory "/b"',
    );
    await engine.ok("rm", "-f", id);
  });

  test("cp: owners, modes and times are the source's; -a gives all to the container's user", async () => {
    const id = await container("-u", "0");
    const cwd = hostSide();
    utimesSync(`${cwd}/src/f`, 1000, 1_000_000);
    await cpIn(cwd, "src", `${id}:/e`);
    expect(await engine.ok("exec", id, "stat", "-c", "%a %u:%g %Y", "/e/src/f")).toBe("4755 1234:99 1000000");
    await engine.ok("rm", "-f", id);
    if (isDocker()) return; // 20.10 looks the user up with the host's getent
    const user = await engine.ok("run", "-d", "--network", "none", "-u", "alice", image, "probe", "pause");
    await cpIn(cwd, "-a", "src", `${user}:/home/alice`);
    expect(await engine.ok("exec", user, "stat", "-c", "%a %u:%g", "/home/alice/src", "/home/alice/src/f")).toBe(
      "755 1000:1000\n4755 1000:1000",
    );
    await engine.ok("rm", "-f", user);
  });

  test("cp: a file that is mounted on is not taken away", async () => {
    const id = await container();
    const cwd = hostSide();
    expect((await cpIn(cwd, "file", `${id}:/etc/hosts`)).stderr).toContain("/etc/hosts: device or resource busy");
    expect(await engine.ok("exec", id, "sh", "-c", "cat /etc/hosts; grep -c ' /etc/hosts ' /proc/mounts")).toEndWith(
      "\n1",
    );
    await engine.ok("rm", "-f", id);
  });

  test("cp: what the container may not write is refused", async () => {
    const cwd = hostSide();
    const id = await engine.ok(
      "run",
      ...["-d", "--network", "none", "--read-only", "-v", "cp-ro:/locked:ro", "-v", "cp-rw:/open", "--tmpfs", "/tmp"],
      image,
      "probe",
      "pause",
    );
    expect((await cpIn(cwd, "file", `${id}:/x`)).stderr).toContain("container rootfs is marked read-only");
    expect((await cpIn(cwd, "file", `${id}:/locked/x`)).stderr).toContain("mounted volume is marked read-only");
    expect(await cpIn(cwd, "file", `${id}:/open/x`)).toMatchObject({ status: 0 });
    expect(await engine.ok("exec", id, "cat", "/open/x")).toBe("x");
    if (!isDocker()) expect(await cpIn(cwd, "file", `${id}:/tmp/x`)).toMatchObject({ status: 0 });
    await engine.ok("rm", "-f", id);
    await engine.ok("volume", "rm", "cp-ro", "cp-rw");
  });
});

describe("out of a container", () => {
  /** Operands with C for the container; what is then in out, or the error. */
  const rows: readonly (readonly [string, string, readonly string[] | string])[] = [
    ["a file to a missing name", "C:/d/f out/new", ["file=old", "new=one"]],
    ["a file to a missing name with a slash", "C:/d/f out/new/", "no such directory"],
    ["a file below a missing directory", "C:/d/f no/x", 'invalid output path: directory "'],
    ["a file on a file", "C:/d/f out/file", ["file=one"]],
    ["a file to a directory", "C:/d/f out", ["f=one", "file=old"]],
    ["a file to a directory with /.", "C:/d/f out/.", ["f=one", "file=old"]],
    [
      "a directory to a missing name",
      "C:/d out/new",
      ["file=old", "new", "new/f=one", "new/fl>f", "new/hard=one", "new/p|", "new/sub"],
    ],
    [
      "a directory to a missing name with a slash",
      "C:/d out/new/",
      ["file=old", "new", "new/f=one", "new/fl>f", "new/hard=one", "new/p|", "new/sub"],
    ],
    ["a directory on a file", "C:/d out/file", "cannot copy directory"],
    ["a directory to a directory", "C:/d out", ["d", "d/f=one", "d/fl>f", "d/hard=one", "d/p|", "d/sub", "file=old"]],
    ["the contents of a directory", "C:/d/. out", ["f=one", "file=old", "fl>f", "hard=one", "p|", "sub"]],
    ["a link", "C:/dl out", ["dl>/d", "file=old"]],
    ["a link that leads nowhere", "C:/broken out", ["broken>/nowhere", "file=old"]],
    ["a link with a slash", "C:/dl/ out", ["dl", "dl/f=one", "dl/fl>f", "dl/hard=one", "dl/p|", "dl/sub", "file=old"]],
    [
      "the contents behind a link",
      "C:/dl/. out/new",
      ["file=old", "new", "new/f=one", "new/fl>f", "new/hard=one", "new/p|", "new/sub"],
    ],
    [
      "-L a link to a directory",
      "-L C:/dl out",
      ["dl", "dl/f=one", "dl/fl>f", "dl/hard=one", "dl/p|", "dl/sub", "file=old"],
    ],
    ["-L a link to a file", "-L C:/d/fl out", ["file=old", "fl=one"]],
    ["a missing path", "C:/nosuch out", "Could not find the file /nosuch in container C"],
    [
      "a path below a file",
      "C:/d/f/x out",
      isDocker() ? "not a directory" : "Could not find the file /d/f/x in container C",
    ],
    ["a relative path", "C:d/f out/new", ["file=old", "new=one"]],
    ["a path with ..", "C:../../d/f out/new", ["file=old", "new=one"]],
    [
      "to a device",
      "C:/d/f /dev/null",
      'invalid output path: "/dev/null" must be a directory or a regular file: got a device',
    ],
  ];
  const shown = (directory: string): readonly string[] =>
    readdirSync(directory, { recursive: true })
      .map(String)
      .sort()
      .map((name) => {
        const stat = lstatSync(`${directory}/${name}`);
        if (stat.isSymbolicLink()) return `${name}>${readlinkSync(`${directory}/${name}`)}`;
        if (stat.isFIFO()) return `${name}|`;
        return stat.isFile() ? `${name}=${readFileSync(`${directory}/${name}`, "utf8").trim()}` : name;
      });

  test("cp: every row of the table, from a running and from a stopped container", async () => {
    const id = await container();
    for (const isRunning of [true, false]) {
      if (!isRunning) await engine.ok("stop", "-t", "0", id);
      for (const [what, operands, outcome] of rows) {
        const cwd = hostSide();
        const result = await cpIn(cwd, ...operands.replace("C:", `${id}:`).split(" "));
        const where = `${what}, ${isRunning ? "running" : "stopped"}`;
        if (typeof outcome === "string") {
          expect([where, result.status]).toEqual([where, 1]);
          expect(result.stderr).toContain(outcome.replace("container C", `container ${id}`));
          expect(shown(`${cwd}/out`)).toEqual(["file=old"]);
        } else {
          expect([where, result.status, result.stdout, result.stderr]).toEqual([where, 0, "", ""]);
          expect([where, ...shown(`${cwd}/out`)]).toEqual([where, ...outcome]);
        }
      }
    }
    await engine.ok("rm", "-f", id);
  }, 120_000);

  test("cp: modes and times are kept, links between files too, the owner is who copies", async () => {
    const id = await container();
    const cwd = hostSide();
    await cpIn(cwd, `${id}:/d`, "out");
    expect(statSync(`${cwd}/out/d/f`)).toMatchObject({ uid: 0, gid: 0, mode: 0o100640, mtimeMs: 1_000_000_000 });
    expect(statSync(`${cwd}/out/d/sub`)).toMatchObject({ mtimeMs: 2_000_000_000 });
    expect(statSync(`${cwd}/out/d/hard`).ino).toBe(statSync(`${cwd}/out/d/f`).ino);
    await engine.ok("rm", "-f", id);
  });

  test("cp: the whole container, without what the kernel makes up", async () => {
    const id = await container();
    const cwd = hostSide();
    expect(await cpIn(cwd, `${id}:/`, "out/root")).toMatchObject({ status: 0 });
    expect(readdirSync(`${cwd}/out/root`)).toContain("dl");
    expect(readFileSync(`${cwd}/out/root/d/f`, "utf8")).toBe("one\n");
    expect(readdirSync(`${cwd}/out/root/proc`)).toEqual([]);
    expect(readdirSync(`${cwd}/out/root/sys`)).toEqual([]);
    if (!isDocker()) expect(readdirSync(`${cwd}/out/root/dev`)).toEqual([]);
    await engine.ok("rm", "-f", id);
  });

  test("cp: volumes, binds and files of the engine are seen; a tmpfs while it runs", async () => {
    const cwd = hostSide();
    const id = await engine.ok(
      "run",
      ...[
        "-d",
        "--network",
        "none",
        "-v",
        "cp-vol:/vol",
        "-v",
        `${cwd}/src:/bound:ro`,
        "--tmpfs",
        "/ram",
        "--name",
        "seen",
      ],
      image,
      ...["sh", "-c", "echo v > /vol/v; echo r > /ram/r; exec probe pause"],
    );
    await waitFor("the container", async () => (await engine.ctr("exec", id, "ls", "/ram/r")).status === 0);
    const one = async (path: string) => {
      const result = await engine.ctr("cp", `seen:${path}`, "-");
      if (result.status !== 0) return result.stderr;
      const tar = Bun.spawnSync(["tar", "-xOf", "-"], { stdin: result.bytes });
      return tar.stdout.toString();
    };
    expect(await one("/vol/v")).toBe("v\n");
    expect(await one("/bound/f")).toBe("hi\n");
    expect(await one("/etc/hosts")).toContain("localhost");
    if (!isDocker()) expect(await one("/ram/r")).toBe("r\n");
    await engine.ok("stop", "-t", "0", id);
    expect(await one("/vol/v")).toBe("v\n");
    expect(await one("/bound/f")).toBe("hi\n");
    if (!isDocker()) expect(await one("/etc/hosts")).toContain("localhost");
    await engine.ok("rm", id);
    await engine.ok("volume", "rm", "cp-vol");
  });
});

describe("archives", () => {
  const list = (bytes: Uint8Array, ...flags: readonly string[]) =>
    Bun.spawnSync(["tar", ...flags, "-tf", "-"], { stdin: bytes })
      .stdout.toString()
      .trim()
      .split("\n");

  test("cp -: the names of an archive are the path's last element", async () => {
    const id = await container();
    const names = async (...operands: readonly string[]) => list((await engine.ctr("cp", ...operands, "-")).bytes);
    expect(await names(`${id}:/d`)).toEqual(["d/", "d/f", "d/fl", "d/hard", "d/p", "d/sub/"]);
    expect(await names(`${id}:/d/.`)).toEqual(["./", "./f", "./fl", "./hard", "./p", "./sub/"]);
    expect(await names(`${id}:/d/f`)).toEqual(["f"]);
    expect(await names(`${id}:/dl`)).toEqual(["dl"]);
    expect(await names(`${id}:/dl/`)).toEqual(["dl/", "dl/f", "dl/fl", "dl/hard", "dl/p", "dl/sub/"]);
    expect(await names("-L", `${id}:/dl`)).toEqual(["d/", "d/f", "d/fl", "d/hard", "d/p", "d/sub/"]);
    expect((await names(`${id}:/`)).slice(0, 2)).toEqual(["/", "/.dockerenv"]);
    const details = list((await engine.ctr("cp", `${id}:/d/f`, "-")).bytes, "-v", "--numeric-owner", "--utc")[0];
    expect(details).toMatch(/^-rw-r----- 5\/6 +4 1970-01-12 13:46 f$/);
    expect(await engine.fails(1, "cp", `${id}:/nosuch`, "-")).toContain("Could not find the file /nosuch");
    await engine.ok("rm", "-f", id);
  });

  test("cp -: an archive is unpacked into a directory that exists, plain or compressed", async () => {
    const id = await container();
    const cwd = hostSide();
    const tar = (flags: string) => Bun.spawnSync(["tar", flags, "-", "src"], { cwd }).stdout;
    for (const [flags, place] of [
      ["-cf", "/e"],
      ["-czf", "/dl"],
    ] as const) {
      const result = await engine.ctrWith({ stdin: new Uint8Array(tar(flags)) }, "cp", "-", `${id}:${place}`);
      expect(result).toMatchObject({ status: 0, stdout: "" });
      expect(await engine.ok("exec", id, "stat", "-c", "%a %u:%g", `${place}/src/f`)).toBe("4755 1234:99");
    }
    const into = (place: string, stdin: Uint8Array | string) => engine.ctrWith({ stdin }, "cp", "-", `${id}:${place}`);
    expect((await into("/e/file", "")).stderr).toContain(`destination "${id}:/e/file" must be a directory`);
    expect((await into("/nosuch", "")).stderr).toContain(`destination "${id}:/nosuch" must be a directory`);
    expect(await into("/e", "")).toMatchObject({ status: 0 });
    expect(await into("/e", "this is no archive at all")).toMatchObject({ status: 1 });
    await engine.ok("rm", "-f", id);
  });

  test("cp -: whatever an archive says, nothing outside the container is touched", async () => {
    const id = await container();
    const cwd = hostSide();
    const make = `import tarfile, io
t = tarfile.open("evil.tar", "w")
def add(name, data=b"evil", **fields):
    entry = tarfile.TarInfo(name)
    for key, value in fields.items(): setattr(entry, key, value)
    if entry.type == tarfile.REGTYPE:
        entry.size = len(data)
        t.addfile(entry, io.BytesIO(data))
    else: t.addfile(entry)
add("/absolute")
add("a/../dots")
add("implied/x")
t.close()
t = tarfile.open("link.tar", "w")
add("l", type=tarfile.SYMTYPE, linkname="${cwd}")
add("l/through-link")
t.close()
t = tarfile.open("dots.tar", "w")
add("root", type=tarfile.SYMTYPE, linkname="../../../../../../../..${cwd}")
add("root/through-dots")
t.close()
t = tarfile.open("file.tar", "w")
add("passwd", type=tarfile.SYMTYPE, linkname="${cwd}/file")
add("passwd")
t.close()
t = tarfile.open("up.tar", "w"); add("../up"); t.close()
t = tarfile.open("hard.tar", "w"); add("hard", type=tarfile.LNKTYPE, linkname="../../../../../../../etc/passwd"); t.close()`;
    expect(Bun.spawnSync(["python3", "-c", make], { cwd }).exitCode).toBe(0);
    const unpack = (name: string) =>
      engine.ctrWith({ stdin: new Uint8Array(readFileSync(`${cwd}/${name}`)) }, "cp", "-", `${id}:/e`);
    expect(await unpack("evil.tar")).toMatchObject({ status: 0 });
    for (const name of ["link.tar", "dots.tar", "file.tar"]) await unpack(name);
    expect(readFileSync(`${cwd}/file`, "utf8")).toBe("x\n");
    for (const name of ["through-link", "through-dots"]) expect(existsSync(`${cwd}/${name}`)).toBe(false);
    expect(existsSync("/absolute")).toBe(false);
    expect((await unpack("up.tar")).stderr).toContain('"../up" is outside of "/e"');
    // Docker takes the name from the container's root.
    if (!isDocker()) expect((await unpack("hard.tar")).stderr).toContain("is outside of");
    expect(await engine.ok("exec", id, "cat", "/e/absolute", "/e/dots", "/e/implied/x")).toBe("evilevilevil");
    expect(await engine.fails(1, "exec", id, "ls", "/up")).toContain("No such file");
    await engine.ok("rm", "-f", id);
  });
});

describe("at rest", () => {
  test.if(!isDocker())(
    "cp: into a container that never ran and one that stopped, with nothing left on the host",
    async () => {
      const cwd = hostSide();
      const before = mounts();
      await engine.ok(
        "create",
        "--name",
        "resting",
        "--network",
        "none",
        "-v",
        "cp-rest:/home/alice",
        image,
        "sh",
        "-c",
        "cat /home/alice/file /e; stat -c %u /home/alice",
      );
      expect(await cpIn(cwd, "file", "resting:/home/alice")).toMatchObject({ status: 0 });
      expect(await cpIn(cwd, "file", "resting:/e")).toMatchObject({ status: 0 });
      expect(mounts()).toEqual(before);
      expect(await engine.ok("start", "-a", "resting")).toBe("x\nx\n1000");
      expect(await cpIn(cwd, "src", "resting:/after")).toMatchObject({ status: 0 });
      expect(await cpIn(cwd, "resting:/after/f", "out/back")).toMatchObject({ status: 0 });
      expect(readFileSync(`${cwd}/out/back`, "utf8")).toBe("hi\n");
      expect(mounts()).toEqual(before);
      await engine.ok("rm", "-v", "resting");
      await engine.ok("volume", "rm", "cp-rest");
    },
  );

  test("cp: several at once into one stopped container", async () => {
    const cwd = hostSide();
    const id = await engine.ok("create", "--network", "none", image, "sh", "-c", "ls /many | wc -l");
    const first = await cpIn(cwd, "src", `${id}:/many`);
    expect(first.status).toBe(0);
    const results = await Promise.all([1, 2, 3, 4].map((number) => cpIn(cwd, "file", `${id}:/many/${number}`)));
    expect(results.map(({ status, stderr }) => `${status} ${stderr}`)).toEqual(["0 ", "0 ", "0 ", "0 "]);
    expect(await engine.ok("start", "-a", id)).toBe("6");
    await engine.ok("rm", id);
  });

  test.if(!isDocker())("cp: killed in the middle, it leaves a container that starts", async () => {
    const id = await engine.ok("create", "--network", "none", image, "echo", "fine");
    const child = engine.spawn("cp", "-", `${id}:/tmp`);
    using db = new Database(`${engine.root}/ctr.db`, { readonly: true });
    const keeper = db.query<{ pid: number }, [string]>(
      "SELECT json_extract(runtime, '$.supervisorPid') AS pid FROM container WHERE id = ?",
    );
    await waitFor("the copy to have the container", () => keeper.get(id)?.pid === child.pid);
    // Who starts it meanwhile waits for the copy, or for its end.
    const start = engine.ok("start", id);
    child.kill("SIGKILL");
    await child.exited;
    await start;
    expect(await engine.ok("wait", id)).toBe("0");
    expect(await engine.ok("logs", id)).toContain("fine");
    await engine.ok("rm", id);
  });
});

test("cp: a volume that is full is said, and the container goes on", async () => {
  const cwd = hostSide();
  await engine.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=64k", "tiny");
  const id = await engine.ok("run", "-d", "--network", "none", "-v", "tiny:/tiny", image, "probe", "pause");
  writeFileSync(`${cwd}/big`, new Uint8Array(1 << 20).fill(7));
  const result = await cpIn(cwd, "big", `${id}:/tiny/big`);
  expect(result.status).toBe(1);
  expect(result.stderr).toContain("no space left on device");
  expect(await engine.ok("exec", id, "echo", "alive")).toBe("alive");
  await engine.ok("rm", "-f", id);
  await engine.ok("volume", "rm", "tiny");
});

test("cp: of and into a paused container", async () => {
  const cwd = hostSide();
  const id = await container();
  await engine.ok("pause", id);
  expect(await cpIn(cwd, `${id}:/d/f`, "out/paused")).toMatchObject({ status: 0 });
  expect(await cpIn(cwd, "file", `${id}:/e/paused`)).toMatchObject({ status: 0 });
  await engine.ok("unpause", id);
  expect(await engine.ok("exec", id, "cat", "/e/paused")).toBe("x");
  await engine.ok("rm", "-f", id);
});

test.if(!isDocker())("cp: what was copied is told on a terminal, unless -q", async () => {
  const id = await container();
  const session = engine.session("cp", `${id}:/d/f`, `${engine.scratch}/told`);
  expect(await session.exited).toBe(0);
  expect(session.output()).toContain(`Successfully copied 2.05kB to ${engine.scratch}/told`);
  const quiet = engine.session("cp", "-q", `${id}:/d/f`, `${engine.scratch}/told`);
  expect(await quiet.exited).toBe(0);
  expect(quiet.output()).toBe("");
  await engine.ok("rm", "-f", id);
});

test("cp: a tree of a thousand levels, both ways", async () => {
  const cwd = hostSide();
  const id = await container();
  const deep = Array.from({ length: 1000 }, () => "d").join("/");
  mkdirSync(`${cwd}/deep/${deep}`, { recursive: true });
  writeFileSync(`${cwd}/deep/${deep}/f`, "bottom\n");
  expect(await cpIn(cwd, "deep", `${id}:/deep`)).toMatchObject({ status: 0 });
  expect(await cpIn(cwd, `${id}:/deep`, "out/deep")).toMatchObject({ status: 0 });
  expect(readFileSync(`${cwd}/out/deep/${deep}/f`, "utf8")).toBe("bottom\n");
  await engine.ok("rm", "-f", id);
});

describe("operands", () => {
  test.each([
    ["two containers", ["a:/x", "b:/y"], "copying between containers is not supported"],
    ["no container", ["x", "y"], "must specify at least one container source"],
    ["a missing container", ["x", "nosuch:/y"], "o such"],
    ["a missing container as the source", ["nosuch:/y", "x"], "No such container: nosuch"],
    ["an empty source", ["", "c:/y"], "source can not be empty"],
    ["an empty destination", ["c:/y", ""], "destination can not be empty"],
  ] as const)("cp: refused: %s", async (...row) => {
    expect(await engine.fails(1, "cp", ...row[1])).toContain(row[2]);
  });
});

describe("size", () => {
  test.if(!isDocker())(
    "cp: a large file and a sparse one are streamed, and holes stay holes",
    async () => {
      const cwd = hostSide();
      const id = await container();
      const script =
        "dd if=/dev/urandom of=/large bs=1M count=192 2> /dev/null; truncate -s 8G /sparse; echo end >> /sparse";
      await engine.ok("exec", id, "sh", "-c", script);
      const copy = (...operands: readonly string[]) => {
        const done = Bun.spawnSync([binary(), "cp", ...operands], { cwd, env: { ...process.env, ...engine.env } });
        expect(done.stderr.toString()).toBe("");
        return done.resourceUsage.maxRSS;
      };
      const most = Math.max(
        copy(`${id}:/large`, "out/large"),
        copy(`${id}:/sparse`, "out/sparse"),
        copy("out/sparse", `${id}:/sparse2`),
        copy("out/large", `${id}:/large2`),
      );
      expect(statSync(`${cwd}/out/sparse`).size).toBe(8 * 2 ** 30 + 4);
      expect(statSync(`${cwd}/out/sparse`).blocks * 512).toBeLessThan(1 << 20);
      expect(await engine.ok("exec", id, "sh", "-c", "cmp /large /large2 && du -k /sparse2 | cut -f1")).toMatch(
        /^\d{1,3}$/,
      );
      expect(most).toBeLessThan(160 << 20);
      await engine.ok("rm", "-f", id);
    },
    90_000,
  );
});

describe("races", () => {
  test.if(!isDocker())(
    "cp: names exchanged for links thousands of times while copying lead nowhere but into the container",
    async () => {
      const cwd = hostSide();
      const race = `${cwd}/race`;
      const canary = `${cwd}/canary`;
      for (const directory of [`${race}/d/sub`, `${canary}/sub`]) mkdirSync(directory, { recursive: true });
      writeFileSync(`${race}/d/sub/f`, "inside\n");
      writeFileSync(`${canary}/sub/f`, "SECRET\n");
      symlinkSync(canary, `${race}/l`);
      // The same directory seen by the container: what is exchanged out here is exchanged in there.
      const id = await engine.ok("run", "-d", "--network", "none", "-v", `${race}:/race`, image, "probe", "pause");
      const swap = Bun.spawn([process.execPath, `${import.meta.dir}/../lib/swap.ts`, `${race}/d`, `${race}/l`], {
        stdin: "pipe",
        stdout: "pipe",
      });
      let succeeded = 0;
      let failed = 0;
      const tree = Bun.spawnSync(["tar", "-cf", "-", "src"], { cwd }).stdout;
      for (let round = 0; round < 24; round++) {
        const results = await Promise.all([
          cpIn(cwd, `${id}:/race`, "-"),
          cpIn(cwd, `${id}:/race/d/sub/.`, `out/${round}`),
          cpIn(cwd, "file", `${id}:/race/d/sub/planted${round}`),
          engine.ctrWith({ stdin: new Uint8Array(tree), cwd }, "cp", "-", `${id}:/race/d`),
        ]);
        for (const result of results) {
          if (result.status === 0) succeeded++;
          else failed++;
          expect(result.stdout).not.toContain("SECRET");
        }
        if (existsSync(`${cwd}/out/${round}/f`)) expect(readFileSync(`${cwd}/out/${round}/f`, "utf8")).toBe("inside\n");
      }
      swap.stdin.end();
      const swaps = Number(await new Response(swap.stdout).text());
      expect(swaps).toBeGreaterThan(5000);
      expect(succeeded).toBeGreaterThan(5);
      expect(failed).toBeGreaterThan(0);
      expect(readdirSync(canary, { recursive: true }).sort()).toEqual(["sub", "sub/f"]);
      expect(readFileSync(`${canary}/sub/f`, "utf8")).toBe("SECRET\n");
      await engine.ok("rm", "-f", id);
    },
    120_000,
  );
});
