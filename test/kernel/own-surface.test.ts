/** What the engine itself shows and takes: environment, files of the caller's, sockets, temporary files, the terminal. */
import { beforeAll, describe, expect } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { imageArchive, tempEngine } from "../lib/engine.ts";
import { kernelFile, processes } from "../lib/host.ts";
import { binary, isDocker, needs } from "../lib/needs.ts";
import { startRegistry } from "../lib/registry.ts";
import { test as kernelTest } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const test = kernelTest.if(!isDocker());
const engine = tempEngine();
const image = await engine.image("minimal");

/** ctr's own long-lived processes: the roles that run from a clone of the executable. */
const roles = () =>
  processes().filter(({ command, state }) => /^ctr (supervisor|netd|init)\b/.test(command) && state !== "Z");

describe("the caller's environment and directory", () => {
  const marker = `${engine.scratch}/evil-was-here`;
  const home = `${engine.scratch}/home`;
  const cwd = `${engine.scratch}/cwd`;
  const evil = `${cwd}/evil.js`;

  /** Files that some interpreter looks for, each of which would leave the marker or change what the command does. */
  beforeAll(() => {
    for (const directory of [home, cwd, `${cwd}/node_modules/citty`, `${cwd}/node_modules/msgpackr/pack`])
      mkdirSync(directory, { recursive: true });
    const code = `require("fs").writeFileSync(${JSON.stringify(marker)}, process.argv.join(" ") + "\\n", { flag: "a" });\n`;
    const preload = `preload = [${JSON.stringify(evil)}]\n[run]\nbun = true\n`;
    const elsewhere = `CTR_ROOT=${engine.scratch}/elsewhere\nCTR_STATE=${engine.scratch}/elsewhere\nPATH=/nowhere\n`;
    for (const file of [
      evil,
      `${cwd}/index.js`,
      `${cwd}/node_modules/citty/index.js`,
      `${cwd}/node_modules/msgpackr/pack/index.js`,
    ])
      writeFileSync(file, code);
    for (const file of [`${cwd}/bunfig.toml`, `${home}/.bunfig.toml`, `${home}/bunfig.toml`])
      writeFileSync(file, preload);
    for (const file of [".env", ".env.local", ".env.production", ".env.development"])
      writeFileSync(`${cwd}/${file}`, elsewhere);
    writeFileSync(
      `${cwd}/package.json`,
      '{"name":"ctr","main":"index.js","type":"module","imports":{"#x":"./evil.js"}}',
    );
    writeFileSync(
      `${cwd}/tsconfig.json`,
      '{"compilerOptions":{"paths":{"*":["./evil.js"]},"jsx":"react","jsxImportSource":"./evil.js"}}',
    );
  });

  const hostile: { readonly [name: string]: string } = {
    HOME: home,
    XDG_CONFIG_HOME: home,
    BUN_OPTIONS: `--preload ${evil} --inspect-brk`,
    BUN_BE_BUN: "1",
    BUN_INSPECT: "ws://127.0.0.1:0/x?break=1",
    BUN_INSPECT_PRELOAD: evil,
    BUN_INSPECT_CONNECT_TO: `${engine.scratch}/inspector`,
    BUN_CONFIG_VERBOSE_FETCH: "curl",
    BUN_CONFIG_PRELOAD: evil,
    BUN_CONFIG_REGISTRY: "http://127.0.0.1:1",
    BUN_INSTALL: home,
    BUN_TMPDIR: cwd,
    BUN_JSC_logGC: "0",
    NODE_OPTIONS: `--require ${evil}`,
    NODE_PATH: `${cwd}/node_modules`,
    NODE_CHANNEL_FD: "1",
    NODE_EXTRA_CA_CERTS: evil,
    TMPDIR: cwd,
  };

  test("no file and no variable changes what a command does, or reaches a role", async () => {
    const where = { env: hostile, cwd };
    const run = await engine.ctrWith(where, "run", "-d", "--name", "calm", image, "probe", "env");
    expect(run.stderr).toBe("");
    expect(run.status).toBe(0);
    expect((await engine.ctrWith(where, "exec", "calm", "echo", "said")).status).not.toBe(125);
    await engine.ctr("wait", "calm");
    // The program sees the image's environment, not the caller's.
    expect(
      (await engine.ctrWith(where, "logs", "calm")).stdout
        .split("\n")
        .map((line) => line.split("=")[0])
        .sort(),
    ).toEqual(["", "HOME", "HOSTNAME", "PATH"]);
    expect((await engine.ctrWith(where, "run", "--rm", "--network", "none", image, "echo", "said")).stdout).toBe(
      "said\n",
    );
    expect((await engine.ctrWith(where, "version", "--format", "{{.Client.Version}}")).stdout).toMatch(
      /^\d+\.\d+\.\d+\n$/,
    );
    expect((await engine.ctrWith(where, evil)).stderr).toContain("unknown command");
    await engine.ok("rm", "calm");
    expect(kernelFile(marker)).toBe("");
    expect(readdirSync(engine.scratch).sort()).toEqual(["cwd", "home"]);
  });

  // What a command loads is its caller's affair, who is root; the roles that it leaves behind are the engine's.
  test("LD_PRELOAD and LD_LIBRARY_PATH reach no role", async () => {
    const source = `${engine.scratch}/preload.c`;
    const library = `${engine.scratch}/preload.so`;
    writeFileSync(
      source,
      `#include <fcntl.h>
       #include <unistd.h>
       __attribute__((constructor)) static void loaded(int argc, char **argv) {
         int fd = open("${marker}", O_WRONLY | O_CREAT | O_APPEND, 0600);
         for (int i = 0; i < argc && i < 2; i++) { for (char *c = argv[i]; *c; c++) write(fd, c, 1); write(fd, " ", 1); }
         write(fd, "\\n", 1);
       }`,
    );
    const built = Bun.spawnSync(["cc", "-w", "-shared", "-fPIC", "-o", library, source]);
    expect(built.stderr.toString()).toBe("");
    const env = { LD_PRELOAD: library, LD_LIBRARY_PATH: cwd };
    expect((await engine.ctrWith({ env }, "run", "-d", "--name", "loaded", image, "sleep", "1000")).status).toBe(0);
    const loaded = readFileSync(marker, "utf8").trim().split("\n");
    expect(loaded.length).toBeGreaterThan(0);
    expect(loaded.filter((line) => !/ run\s*$/.test(line))).toEqual([]);
    expect(roles().length).toBeGreaterThanOrEqual(2);
    for (const { pid } of roles()) expect(kernelFile(`/proc/${pid}/maps`)).not.toContain("preload.so");
    await engine.ok("rm", "-f", "loaded");
    rmSync(marker);
  });
});

test("a container's environment and secrets are in no environment and no command line of ours", async () => {
  const values = ["hunter2-flag", "hunter2-file", "hunter2-caller", "hunter2-exec", "hunter2-health"];
  writeFileSync(`${engine.scratch}/env`, "FROM_FILE=hunter2-file\n");
  const flags = ["-e", "FROM_FLAG=hunter2-flag", "--env-file", `${engine.scratch}/env`, "-e", "FROM_CALLER"];
  const health = ["--health-cmd", "echo hunter2-health", "--health-interval", "100ms"];
  await engine.ctrWith(
    { env: { FROM_CALLER: "hunter2-caller" } },
    ...["run", "-d", "--name", "keeper", ...flags, ...health, image, "sleep", "1000"],
  );
  await engine.ok("exec", "-d", "-e", "FROM_EXEC=hunter2-exec", "keeper", "sleep", "1000");
  const own = roles();
  expect(own.map(({ command }) => command.split(" ")[1]).sort()).toEqual(["netd", "supervisor"]);
  for (const { pid, command } of own) {
    const environment = kernelFile(`/proc/${pid}/environ`).split("\0");
    for (const value of values) expect(`${command} ${environment.join(" ")}`).not.toContain(value);
    // Fixed, whoever has called.
    const names = environment.filter((line) => line !== "").map((line) => line.split("=")[0] ?? "");
    expect(
      names.filter((name) => !/^(PATH|LANG|CTR_\w+|BUN_JSC_\w+|MIMALLOC_PURGE_DELAY|DO_NOT_TRACK)$/.test(name)),
    ).toEqual([]);
  }
  await engine.ok("rm", "-f", "keeper");
});

/** Says whether the other end of a Unix socket hears this process at all: `closed` without a word, or `open`. */
const KNOCK = `use Socket; socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die; connect($s, sockaddr_un($ARGV[0])) or do { print "refused $!\\n"; exit };
my $r = ""; vec($r, fileno($s), 1) = 1; if (select($r, undef, undef, 1) == 0) { print "open\\n" } else { print sysread($s, my $b, 9) ? "heard\\n" : "closed\\n" }`;

test("a socket that others could reach still does not hear them (SO_PEERCRED)", async () => {
  const id = await engine.ok("run", "-d", "--name", "guarded", image, "sleep", "1000");
  const sockets = [`${engine.state}/netd.sock`, `${engine.state}/containers/${id}/supervisor.sock`];
  const knock = (socket: string, ...as: readonly string[]) =>
    // By its name alone: the whole path is longer than a socket's address.
    Bun.spawnSync([...as, "perl", "-e", KNOCK, basename(socket)], { cwd: dirname(socket) })
      .stdout.toString()
      .trim();
  const nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
  for (const socket of sockets) {
    chmodSync(socket, 0o666);
    for (let directory = dirname(socket); directory !== "/tmp"; directory = dirname(directory))
      chmodSync(directory, 0o711);
  }
  for (const socket of sockets) {
    expect(`${socket}: ${knock(socket, ...nobody)}`).toBe(`${socket}: closed`);
    // Root is greeted, or waited for.
    expect(knock(socket)).toMatch(/^(open|heard)$/);
  }
  await engine.ok("rm", "-f", "guarded");
});

// A container's root makes set-id programs, and where its files lie on the host its mounts say to everybody (CVE-2021-41091).
test("nobody on the host reaches the files of an image, a container or a volume", async () => {
  const script = "cp /bin/probe /made && chmod 4755 /made && cp -p /made /v/made && sleep 1000";
  await engine.ok(
    "run",
    "--name",
    "maker",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "cp /bin/probe /x && chmod 4755 /x",
  );
  await engine.ok("commit", "maker", "set-id");
  await engine.ok("run", "-d", "--name", "suid", "-v", "shared:/v", "--network", "none", "set-id", "sh", "-c", script);
  await waitFor("the program", async () => (await engine.ctr("exec", "suid", "test", "-u", "/v/made")).status === 0);
  // Even where the root directory itself was made by somebody else, open to all.
  for (let directory = engine.root; directory !== "/tmp"; directory = dirname(directory)) chmodSync(directory, 0o755);
  const pid = await engine.ok("inspect", "-f", "{{.State.Pid}}", "suid");
  const nobody = (...words: readonly string[]) =>
    Bun.spawnSync(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", ...words]);
  const mounts = nobody("cat", `/proc/${pid}/mountinfo`).stdout.toString();
  const layers = [...mounts.matchAll(/(?:lowerdir\+?=|upperdir=|:)(\/[^,:\s]+)/g)].map(([, path = ""]) => path);
  const volume = await engine.ok("volume", "inspect", "-f", "{{.Mountpoint}}", "shared");
  const programs = [...layers.flatMap((path) => [`${path}/x`, `${path}/made`]), `${volume}/made`].filter(existsSync);
  expect(programs.length).toBe(3);
  for (const program of programs) {
    // By a shell: setpriv itself looks the program up while it still has root's capabilities.
    const ran = nobody("sh", "-c", '"$0" env', program);
    expect([program, ran.exitCode, ran.stderr.toString()]).toEqual([
      program,
      126,
      expect.stringContaining("Permission denied"),
    ]);
  }
  await engine.ok("rm", "-f", "suid", "maker");
});

/** Paths that the calls of a trace by `strace -f -y` have made or opened for writing. */
function written(trace: string): readonly string[] {
  const paths = new Set<string>();
  for (const line of trace.split("\n")) {
    if (/= -1 |unfinished|resumed/.test(line)) continue;
    const [, call = "", rest = ""] = /^\d+\s+(\w+)\((.*)$/.exec(line) ?? [];
    const isWriting =
      call.startsWith("open") || call === "creat" ? /O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE/.test(rest) : call !== "";
    if (!isWriting) continue;
    // The last name: what is made, not what it is made of.
    const places = [...rest.matchAll(/(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"/g)];
    const [, directory = "", name = ""] = places.at(-1) ?? [];
    paths.add(name.startsWith("/") ? name : `${directory}/${name}`);
  }
  return [...paths];
}

kernelTest.if(!isDocker() && needs("strace"))("files are made in the engine's own directories only", async () => {
  const calls =
    "openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,symlink,symlinkat,link,linkat,rename,renameat,renameat2";
  const own = [engine.root, engine.state, "/dev/", "/proc/", "/sys/fs/cgroup/"];
  const strange = async (...words: readonly string[]) => {
    const file = `${engine.scratch}/trace`;
    const traced = Bun.spawn(
      ["strace", "-f", "-y", "-qq", "-s", "4096", "-e", `trace=${calls}`, "-o", file, binary(), ...words],
      {
        env: { ...process.env, ...engine.env, TMPDIR: engine.scratch },
        cwd: "/",
        stdout: "ignore",
        stderr: "pipe",
      },
    );
    expect([await traced.stderr.text(), await traced.exited]).toEqual(["", 0]);
    const paths = written(readFileSync(file, "utf8"));
    rmSync(file);
    expect(paths.some((path) => path.startsWith(engine.root) || path.startsWith(engine.state))).toBe(true);
    return paths.filter((path) => !own.some((start) => path.startsWith(start)));
  };
  expect(await strange("run", "--rm", "--network", "none", image, "true")).toEqual([]);
  await engine.ok("run", "--name", "changed", "--network", "none", image, "sh", "-c", "echo said > /file");
  expect(await strange("commit", "changed", "made")).toEqual([]);
  await engine.ok("save", "-o", `${engine.scratch}/made.tar`, "made");
  expect(await strange("load", "-i", `${engine.scratch}/made.tar`)).toEqual([]);
  expect(await strange("cp", "changed:/file", "-")).toEqual([]);
  expect(await strange("export", "-o", "/dev/null", "changed")).toEqual([]);
  expect(await strange("rm", "changed")).toEqual([]);
  const registry = await startRegistry();
  const copy = `${registry.host}/made:1`;
  await engine.ok("tag", "made", copy);
  expect(await strange("push", copy)).toEqual([]);
  await engine.ok("rmi", copy);
  await engine.ok("rmi", "made");
  expect(await strange("pull", copy)).toEqual([]);
  await engine.ok("tag", copy, "made");
  await engine.ok("rmi", copy);
  expect(await strange("import", imageArchive("minimal"), "imported")).toEqual([]);
  // Beside what the user names, and there only.
  const saved = await strange("save", "-o", `${engine.scratch}/saved.tar`, "made");
  expect(saved.filter((path) => !path.startsWith(engine.scratch))).toEqual([]);
});

describe("names that a container or an image has chosen", () => {
  const evil = "x\x1b[31mRED\x1b]0;title\x07\u009b31m\u202eY";

  test("on a terminal they are shown, not obeyed; to a program they are what they are", async () => {
    await engine.ok(
      "run",
      "-d",
      "--name",
      "loud",
      "--network",
      "none",
      "-l",
      `evil=${evil}`,
      image,
      "sh",
      "-c",
      "sleep 1000",
      evil,
    );
    const shown = async (...words: readonly string[]) => {
      await using session = engine.session(...words);
      await session.expect("title");
      await session.exited;
      return session.output();
    };
    const listings: readonly (readonly string[])[] = [
      ["ps", "--no-trunc"],
      ["ps", "--format", "{{.Labels}}"],
      ["inspect", "loud"],
      ["inspect", "-f", "{{.Config.Labels}}", "loud"],
      ["inspect", "-f", '{{printf "%s" (index .Config.Labels "evil")}}', "loud"],
      ["inspect", "-f", "{{range .Config.Cmd}}{{.}}{{end}}", "loud"],
      ["events", "--since", "5m", "--until", "0s", "--format", "{{.Actor.Attributes}}"],
      ["events", "--since", "5m", "--until", "0s"],
      ["exec", "loud", evil],
      ["rm", evil],
    ];
    for (const words of listings) expect(await shown(...words)).not.toMatch(/\x1b\[31m|\x1b\]|\x07|\u009b|\u202e/);
    const piped = await engine.ok("inspect", "-f", "{{.Config.Labels.evil}}", "loud");
    expect(piped).toBe(evil);
    const whole = await engine.ok("inspect", "loud");
    expect(whole).not.toMatch(/[\x1b\u009b\u202e]/);
    expect(JSON.parse(whole)[0].Config.Labels.evil).toBe(evil);
    await engine.ok("rm", "-f", "loud");
  });
});
