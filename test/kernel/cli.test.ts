/** The command line: names, flags, operands, several targets, what lists and inspect show. */
import { describe, expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { processes } from "../lib/host.ts";
import { isDocker, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const DETACHED = ["run", "-d", "--network", "none"] as const;
const NAME = isDocker() ? "docker" : "ctr";

describe("what is no command", () => {
  test("an unknown command: 1 and a hint", async () => {
    expect(await engine.fails(1, "nosuch")).toBe(
      `${NAME}: unknown command: ${NAME} nosuch\n\nRun '${NAME} --help' for more information\n`,
    );
  });

  test.if(needs("ctr"))("a word of JavaScript's is unknown too", async () => {
    for (const word of ["constructor", "__proto__", "toString"]) {
      expect(await engine.fails(1, word)).toContain(`unknown command: ctr ${word}`);
      expect(await engine.fails(1, "container", word)).toContain(`unknown command: ctr container ${word}`);
    }
  });

  test("an unknown command of a group: 1, usage and a hint", async () => {
    expect(await engine.fails(1, "container", "nosuch")).toBe(
      `${NAME}: unknown command: ${NAME} container nosuch\n\nUsage:  ${NAME} container\n\nRun '${NAME} container --help' for more information\n`,
    );
  });

  test("a group alone: its commands on stdout, 0", async () => {
    const { stdout, status } = helpOf(await engine.ctr("container"));
    expect(status).toBe(0);
    expect(stdout).toStartWith(`Usage:  ${NAME} container COMMAND\n\nManage containers\n\nCommands:\n`);
    expect(stdout).toMatch(/^ {2}ls +List containers$/m);
  });

  test("without anything: help on stdout, 0", async () => {
    const { stdout, status } = helpOf(await engine.ctr());
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ {2}run +Create and run a new container from an image$/m);
  });
});

/** Docker 28.2 writes the help nobody asked for to stderr; the reference, and later ones, to stdout. */
function helpOf<R extends { readonly stdout: string; readonly stderr: string }>(result: R): R {
  if (!isDocker()) expect(result.stderr).toBe("");
  return isDocker() ? { ...result, stdout: result.stdout + result.stderr } : result;
}

describe("flags and operands", () => {
  test.each<readonly [string, readonly string[], string, string]>([
    ["an unknown flag", ["ps", "--nosuch"], "unknown flag: --nosuch", "ps [OPTIONS]"],
    ["an unknown letter", ["ps", "-aZ"], "unknown shorthand flag: 'Z' in -Z", "ps [OPTIONS]"],
    ["a flag without its value", ["ps", "--filter"], "flag needs an argument: --filter", "ps [OPTIONS]"],
    [
      "a number that is none",
      ["stop", "-t", "abc", "x"],
      'invalid argument "abc" for "-t, --timeout" flag: strconv.ParseInt: parsing "abc": invalid syntax',
      "stop [OPTIONS] CONTAINER [CONTAINER...]",
    ],
    [
      "a boolean that is none",
      ["ps", "--all=foo"],
      'invalid argument "foo" for "-a, --all" flag: strconv.ParseBool: parsing "foo": invalid syntax',
      "ps [OPTIONS]",
    ],
  ])("%s: 125, message, usage, hint", async (_name, words, message, usage) => {
    expect(await engine.fails(125, ...words)).toBe(
      `${message}\n\nUsage:  ${NAME} ${usage}\n\nRun '${NAME} ${words[0]} --help' for more information\n`,
    );
  });

  test("too few operands: 1", async () => {
    expect(await engine.fails(1, "stop")).toBe(
      `${NAME}: '${NAME} stop' requires at least 1 argument\n\nUsage:  ${NAME} stop [OPTIONS] CONTAINER [CONTAINER...]\n\nSee '${NAME} stop --help' for more information\n`,
    );
  });

  test("too many operands: 1", async () => {
    expect(await engine.fails(1, "ps", "x")).toBe(
      `${NAME}: '${NAME} ps' accepts no arguments\n\nUsage:  ${NAME} ps [OPTIONS]\n\nRun '${NAME} ps --help' for more information\n`,
    );
    expect(await engine.fails(1, "logs", "a", "b")).toStartWith(`${NAME}: '${NAME} logs' requires 1 argument\n`);
  });

  test("what follows the image is the program's", async () => {
    const { stdout, status } = await engine.ctr(
      "run",
      "--rm",
      "--network",
      "none",
      image,
      "echo",
      "-h",
      "--rm",
      "--",
      "x",
    );
    expect([stdout, status]).toEqual(["-h --rm -- x\n", 0]);
  });

  test("--help: usage, aliases and options on stdout, 0", async () => {
    const { stdout, stderr, status } = await engine.ctr("container", "ls", "--help");
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toStartWith(`Usage:  ${NAME} container ls [OPTIONS]\n\nList containers\n\nAliases:\n`);
    expect(stdout).toContain("  -q, --quiet           Only display container IDs\n");
  });
});

describe("several targets", () => {
  test("all are tried; successes on stdout, a line for each failure, 1", async () => {
    await engine.ok("create", "--name", "one", image, "true");
    await engine.ok("create", "--name", "two", image, "true");
    const { stdout, stderr, status } = await engine.ctr("rm", "one", "nosuch", "two", "neither");
    expect([stdout, status]).toEqual(["one\ntwo\n", 1]);
    expect(
      stderr
        .trimEnd()
        .split("\n")
        .map((line) => line.replace(/^.*(No such container)/, "$1")),
    ).toEqual(["No such container: nosuch", "No such container: neither"]);
  });

  test("rm -f of what is not there: said, 0", async () => {
    const { stdout, stderr, status } = await engine.ctr("rm", "-f", "nosuch");
    expect([stdout, status]).toEqual(["", 0]);
    expect(stderr).toContain("No such container: nosuch");
  });

  test("inspect: the found ones, then what is missing, 1", async () => {
    await engine.ok("create", "--name", "there", image, "true");
    const { stdout, stderr, status } = await engine.ctr("inspect", "there", "nosuch");
    expect(status).toBe(1);
    expect(JSON.parse(stdout).map(({ Name }: { Name: string }) => Name)).toEqual(["/there"]);
    expect(stderr).toMatch(/No such object: nosuch\n$/i);
    expect((await engine.ctr("inspect", "nosuch")).stdout).toBe("[]\n");
    expect((await engine.ctr("inspect", "-f", "{{.Name}}", "nosuch")).stdout).toBe("\n");
    await engine.ok("rm", "there");
  });

  test("stop: an empty signal is the container's own, an unknown one is refused", async () => {
    const quits = "trap 'exit 5' TERM; while :; do sleep 0.1; done";
    await engine.ok(...DETACHED, "--name", "asked", image, "sh", "-c", quits);
    expect(await engine.fails(1, "stop", "-s", "nosuch", "asked")).toContain("invalid signal: nosuch");
    await waitFor("its trap", async () =>
      /SigCgt:.*[4-7c-f]...$/m.test(await engine.ok("exec", "asked", "cat", "/proc/1/status")),
    );
    await engine.ok("stop", "-s", "", "asked");
    expect(await engine.ok("inspect", "-f", "{{.State.ExitCode}}", "asked")).toBe("5");
    await engine.ok("rm", "asked");
  });

  test("wait: the statuses in the order of the arguments", async () => {
    await engine.ok(...DETACHED, "--name", "slow", image, "sh", "-c", "sleep 0.3; exit 3");
    await engine.ok(...DETACHED, "--name", "fast", image, "sh", "-c", "exit 4");
    expect(await engine.ok("wait", "slow", "fast")).toBe("3\n4");
    await engine.ok("rm", "slow", "fast");
  });
});

describe("ps", () => {
  test("a list of nothing is its header, and with -q nothing", async () => {
    expect(await engine.ok("ps", "-a")).toBe("CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES");
    expect((await engine.ctr("ps", "-aq")).stdout).toBe("");
  });

  test("running ones only, all with -a, newest first; ids in full with --no-trunc", async () => {
    const first = await engine.ok("create", "--name", "first", image, "sh", "-c", "echo a long enough command");
    const second = await engine.ok(...DETACHED, "--name", "second", image, "sleep", "1000");
    expect(await engine.ok("ps", "-q")).toBe(second.slice(0, 12));
    expect(await engine.ok("ps", "-aq", "--no-trunc")).toBe(`${second}\n${first}`);
    expect(await engine.ok("ps", "-lq", "--no-trunc")).toBe(second);
    expect(await engine.ok("ps", "-n", "1", "--format", "{{.Names}}")).toBe("second");
    expect(await engine.ok("ps", "-a", "--format", "{{.Names}} {{.Command}} {{.State}} {{.Image}}")).toBe(
      `second "sleep 1000" running ${image}\nfirst "sh -c 'echo a long …" created ${image}`,
    );
    expect(await engine.ok("ps", "-a", "--format", "table {{.Names}}\\t{{.State}}")).toBe(
      "NAMES     STATE\nsecond    running\nfirst     created",
    );
    const { Platform: _, ...row } = JSON.parse(await engine.ok("ps", "--format", "json"));
    expect(row).toMatchObject({ ID: second.slice(0, 12), Names: "second", State: "running", Networks: "none" });
    expect(Object.values(row).every((value) => typeof value === "string")).toBe(true);
    await engine.ok("rm", "-f", "first", "second");
  });

  test("filters: same key or, different keys and", async () => {
    await engine.ok("create", "--name", "web-1", "-l", "tier=front", image, "true");
    await engine.ok("create", "--name", "web-2", "-l", "tier=back", image, "true");
    await engine.ok("run", "--network", "none", "--name", "done", "-l", "tier=back", image, "sh", "-c", "exit 0");
    const names = async (...filters: string[]) =>
      (await engine.ok("ps", "-a", "--format", "{{.Names}}", ...filters.flatMap((filter) => ["-f", filter]))).split(
        "\n",
      );
    expect(await names("name=web")).toEqual(["web-2", "web-1"]);
    expect(await names("name=web-1", "name=done")).toEqual(["done", "web-1"]);
    expect(await names("label=tier=back", "name=web")).toEqual(["web-2"]);
    expect(await names("label=tier")).toEqual(["done", "web-2", "web-1"]);
    expect(await names("status=exited", "exited=0")).toEqual(["done"]);
    expect(await names("before=done")).toEqual(["web-2", "web-1"]);
    expect(await names("since=web-1", "status=created")).toEqual(["web-2"]);
    expect(await names(`ancestor=${image}`, "name=done")).toEqual(["done"]);
    expect(await engine.fails(1, "ps", "-f", "bogus=1")).toMatch(/invalid filter 'bogus'/i);
    await engine.ok("rm", "web-1", "web-2", "done");
  });

  test("an empty format is none, -q goes before any, and the user's configuration has its own", async () => {
    await engine.ok("create", "--name", "there", "--health-cmd", "true", "--expose", "80", image, "true");
    const id = (await engine.ok("inspect", "-f", "{{.Id}}", "there")).slice(0, 12);
    expect(await engine.ok("ps", "-a", "--format", "")).toStartWith("CONTAINER ID ");
    const quiet = await engine.ctr("ps", "-aq", "--format", "{{.Names}}");
    expect([quiet.stdout, quiet.stderr, quiet.status]).toEqual([
      `${id}\n`,
      "WARNING: Ignoring custom format, because both --format and --quiet are set.\n",
      0,
    ]);
    for (const [filters, found] of [
      [["", "name=there"], id],
      [["health=none"], id],
      [["health=starting"], ""],
      [["expose=80"], ""],
    ] as const) {
      expect(await engine.ok("ps", "-aq", ...filters.flatMap((filter) => ["-f", filter]))).toBe(found);
    }
    const DOCKER_CONFIG = `${engine.scratch}/docker`;
    mkdirSync(DOCKER_CONFIG);
    const asked = (...words: readonly string[]) => engine.ctrWith({ env: { DOCKER_CONFIG } }, ...words);
    writeFileSync(`${DOCKER_CONFIG}/config.json`, '{"psFormat":"own {{.Names}}","volumesFormat":"own {{.Name}}"}');
    expect((await asked("ps", "-a")).stdout).toBe("own there\n");
    expect((await asked("ps", "-aq")).stdout).toBe(`${id}\n`);
    expect((await asked("ps", "-a", "--format", "{{.Names}}")).stdout).toBe("there\n");
    await engine.ok("volume", "create", "shown");
    expect((await asked("volume", "ls")).stdout).toBe("own shown\n");
    await engine.ok("volume", "rm", "shown");
    writeFileSync(`${DOCKER_CONFIG}/config.json`, '{"psFormat":');
    const broken = await asked("ps", "-a");
    expect([broken.status, broken.stdout.split("\n").length]).toEqual([0, 3]);
    const warning = `WARNING: Error parsing config file (${DOCKER_CONFIG}/config.json): `;
    expect(broken.stderr).toStartWith(warning);
    for (const text of ['{"psFormat":', "[]", "7"]) {
      writeFileSync(`${DOCKER_CONFIG}/config.json`, text);
      const { stdout, stderr, status } = await asked("run", "--rm", "--network", "none", image, "echo", "hi");
      expect([stdout, stderr.startsWith(warning), stderr.split("\n").length, status]).toEqual(["hi\n", true, 2, 0]);
    }
    expect((await asked("create", "--name", "warned", image, "sleep", "9")).stderr).toStartWith(warning);
    await engine.ok("start", "warned");
    expect((await asked("exec", "warned", "true")).stderr).toStartWith(warning);
    writeFileSync(`${DOCKER_CONFIG}/config.json`, "");
    expect((await asked("exec", "warned", "true")).stderr).toBe("");
    // As in Docker: the programs that run in it, of exec and of health checks.
    const ids = async () => JSON.parse(await engine.ok("inspect", "-f", "{{json .ExecIDs}}", "warned"));
    expect(await ids()).toBeNull();
    await engine.ok("exec", "-d", "warned", "sleep", "100");
    const told = await engine.ok("exec", "-d", "warned", "sleep", "100");
    expect([told, (await ids()).map((id: string) => /^[0-9a-f]{64}$/.test(id))]).toEqual(["", [true, true]]);
    await engine.ok("exec", "warned", "sh", "-c", "kill $(pidof sleep | tr ' ' '\\n' | grep -v '^1$')");
    await waitFor("their end", async () => (await ids()) === null);
    await engine.ok("rm", "-f", "warned");
    await engine.ok("rm", "there");
  });

  test("a field that is not there: 1", async () => {
    await engine.ok("create", "--name", "there", image, "true");
    expect(await engine.fails(1, "ps", "-a", "--format", "{{.Bogus}}")).toContain("can't evaluate field Bogus in type");
    expect(await engine.fails(1, "inspect", "-f", "{{.Bogus}}", "there")).toContain('map has no entry for key "Bogus"');
    await engine.ok("rm", "there");
  });

  test("the status of a paused and of a stopped one", async () => {
    await engine.ok(...DETACHED, "--name", "held", image, "sleep", "1000");
    const status = () => engine.ok("ps", "-a", "--format", "{{.Status}}");
    expect(await engine.ok("pause", "held")).toBe("held");
    expect(await status()).toMatch(/^Up .* \(Paused\)$/);
    expect(await engine.fails(1, "pause", "held")).toContain("is already paused");
    expect(await engine.ok("unpause", "held")).toBe("held");
    expect(await engine.fails(1, "unpause", "held")).toContain("is not paused");
    expect(await engine.ok("kill", "held")).toBe("held");
    await engine.ok("wait", "held");
    expect(await status()).toMatch(/^Exited \(137\) .* ago$/);
    expect(await engine.fails(1, "kill", "held")).toContain("is not running");
    await engine.ok("rm", "held");
  });
});

test.if(needs("ctr"))(
  "after kill -9 of a supervisor ps tells the truth, and stop, rm -f and wait still work",
  async () => {
    for (const [name, command, ...more] of [
      ["listed", "ps", "-a"],
      ["stopped", "stop"],
      ["waited", "wait"],
      ["removed", "rm", "-f"],
    ] as const) {
      await engine.ok(...DETACHED, "--name", name, image, "sleep", "1000");
      const pid = Number(await engine.ok("inspect", "-f", "{{.State.Pid}}", name));
      const supervisor = parentOf(pid);
      process.kill(supervisor, "SIGKILL");
      // A signal is taken when the process gets a turn, not before.
      await waitFor("the supervisor's end", () => !isAlive(supervisor));
      const { stdout, status } = await engine.ctr(command, ...more, ...(command === "ps" ? [] : [name]));
      expect(status).toBe(0);
      if (command === "ps") expect(stdout).toContain("Exited (137)");
      if (command === "wait") expect(stdout).toBe("137\n");
      await waitFor(`process ${pid} to end`, () => !isAlive(pid));
      await engine.ctr("rm", "-f", name);
    }
  },
);

test.if(needs("ctr"))("wait answers when the supervisor is killed meanwhile", async () => {
  await engine.ok(...DETACHED, "--name", "waited", image, "sleep", "1000");
  const waiting = engine.ctr("wait", "waited");
  const pid = Number(await engine.ok("inspect", "-f", "{{.State.Pid}}", "waited"));
  process.kill(parentOf(pid), "SIGKILL");
  expect(await waiting).toMatchObject({ stdout: "137\n", status: 0 });
  await engine.ok("rm", "waited");
});

const found = (pid: number) => processes().find((process) => process.pid === pid && process.state !== "Z");
const parentOf = (pid: number) => found(pid)?.parent ?? 0;
const isAlive = (pid: number) => found(pid) !== undefined;

test("inspect: Docker's names, nulls and never-times", async () => {
  const id = await engine.ok("create", "--name", "seen", "-e", "A=1", "-l", "k=v", image, "sleep", "5");
  const [object] = JSON.parse(await engine.ok("inspect", "seen"));
  expect(object).toMatchObject({
    Id: id,
    Path: "sleep",
    Args: ["5"],
    Name: "/seen",
    RestartCount: 0,
    State: {
      Status: "created",
      Running: false,
      Pid: 0,
      ExitCode: 0,
      StartedAt: "0001-01-01T00:00:00Z",
      FinishedAt: "0001-01-01T00:00:00Z",
    },
    Config: { Image: image, Cmd: ["sleep", "5"], Entrypoint: null, Labels: { k: "v" }, Hostname: id.slice(0, 12) },
    HostConfig: {
      CapAdd: null,
      CapDrop: null,
      Dns: [],
      Devices: [],
      PidsLimit: null,
      RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
    },
    Mounts: [],
  });
  expect(object.Config.Env).toContain("A=1");
  expect(
    await engine.ok(
      "inspect",
      "-f",
      '{{.Config.Labels.k}} {{index .Config.Labels "none"}}|{{.HostConfig.CapAdd}}|{{json .HostConfig.CapAdd}}',
      "seen",
    ),
  ).toBe("v |[]|null");
  expect(await engine.ok("container", "inspect", "-f", "{{.Name}}", "seen")).toBe("/seen");
  expect(await engine.fails(1, "image", "inspect", "seen")).toMatch(/No such image: seen/);
  const [shown] = JSON.parse(await engine.ok("inspect", image));
  expect(shown).toMatchObject({ Os: "linux", RepoTags: [`${image}:latest`], RootFS: { Type: "layers" } });
  await engine.ok("rm", "seen");
});

test("top: the container's processes under the columns of ps", async () => {
  await engine.ok(...DETACHED, "--name", "busy", image, "sh", "-c", "sleep 1000 & sleep 1000; true");
  const rows = async () => (await engine.ok("top", "busy")).split("\n");
  const [header] = await rows();
  expect(header?.split(/\s+/)).toEqual(["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
  await waitFor("three processes", async () => (await rows()).length === 4);
  expect((await engine.ok("top", "busy", "-o", "pid,comm")).split("\n")[0]?.split(/\s+/)).toEqual(["PID", "COMMAND"]);
  expect(await engine.fails(1, "top", "busy", "-o", "comm")).toContain("Couldn't find PID field in ps output");
  await engine.ok("rm", "-f", "busy");
  await engine.ok("create", "--name", "idle", image, "true");
  expect(await engine.fails(1, "top", "idle")).toContain("is not running");
  await engine.ok("rm", "idle");
});

test("port: one that is not published: 1", async () => {
  await engine.ok("create", "--name", "closed", image, "true");
  expect(await engine.fails(1, "port", "closed", "9999")).toContain("No public port '9999' published for closed");
  expect(await engine.ok("port", "closed")).toBe("");
  await engine.ok("rm", "closed");
});

test.if(needs("ctr"))("version and info, as text and by field", async () => {
  expect(await engine.ok("--version")).toMatch(/^ctr version \d+\.\d+\.\d+, build \w+$/);
  expect(await engine.ok("version", "--format", "{{.Client.Version}}")).toMatch(/^\d+\.\d+\.\d+$/);
  expect(JSON.parse(await engine.ok("info", "--format", "json"))).toMatchObject({
    Driver: "overlay2",
    DockerRootDir: engine.root,
  });
  expect(await engine.ok("info")).toContain(" Storage Driver: overlay2\n");
});

test.if(needs("ctr"))("a failure is one line without control characters; --debug adds where it came from", async () => {
  const { stderr } = await engine.ctr("stop", "\x1b[31mred\nline");
  expect(stderr).toBe("ctr: No such container: \\x1b[31mred\\nline\n");
  expect(await engine.fails(1, "-D", "logs", "nosuch")).toMatch(/^ctr: No such container: nosuch\n(.*\n)*.*at /);
});

test("a reader that goes away ends the command quietly", async () => {
  const child = Bun.spawn(
    ["sh", "-c", `"$0" "$@" --help | true`, process.env["CTR_BIN"] ?? `${import.meta.dir}/../../dist/ctr`, "run"],
    {
      env: { ...process.env, ...engine.env },
      stderr: "pipe",
      stdout: "pipe",
    },
  );
  expect(await child.stderr.text()).toBe("");
});
