/** Wrong input: one clear line, Docker's status, and nothing half made. */
import { afterEach, describe, expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { type Result, tempEngine } from "../lib/engine.ts";
import { isDocker, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const RUN = ["run", "--rm", "--network", "none"] as const;

/** One line for the person: no stack, no second thought. Docker adds usage to some; ctr's own rule is asked of ctr. */
function expectOneLine(result: Result): void {
  if (isDocker()) return;
  const lines = result.stderr.trimEnd().split("\n");
  expect(lines[0]?.length).toBeGreaterThan(10);
  expect(result.stderr).not.toMatch(/\n\s+at |TypeError|ENOENT|undefined|\[object/);
}

async function refused(status: number, ...operands: readonly string[]): Promise<Result> {
  const result = await engine.ctr(...operands);
  expect(result.status).toBe(status);
  expect(result.stderr).not.toBe("");
  expectOneLine(result);
  return result;
}

afterEach(async () => {
  // Whatever was refused, no container came of it.
  const left = await engine.ok("ps", "-aq");
  if (left !== "") await engine.ok("rm", "-f", ...left.split("\n"));
  expect(left).toBe("");
});

describe("the program", () => {
  test("a name that is not on PATH: 127", async () => {
    expect((await refused(127, ...RUN, image, "no-such-program")).stderr).toContain("no-such-program");
  });
  test("an absolute path that is not there: 127", async () => {
    await refused(127, ...RUN, image, "/no/such/program");
  });
  test("a file without the x bit: 126", async () => {
    expect((await refused(126, ...RUN, image, "/etc/motd")).stderr).toMatch(/permission denied/i);
  });
  test("a directory: 126", async () => {
    await refused(126, ...RUN, image, "/etc");
  });
  test("nothing to run: 125", async () => {
    expect((await refused(125, ...RUN, image)).stderr).toMatch(/no command specified/i);
  });
  test("run -d of what cannot run: the id is printed, the container stays Created", async () => {
    const result = await engine.ctr("run", "-d", "--network", "none", "--name", "stays", image, "no-such-program");
    expect(result.status).toBe(127);
    expect(result.stdout).toMatch(/^[0-9a-f]{64}\n$/);
    expect(await engine.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "stays")).toBe("created 127");
    await engine.ok("rm", "stays");
  });
  test("create then start of what cannot run: 1, and the reason is recorded", async () => {
    const id = await engine.ok("create", "--network", "none", image, "no-such-program");
    expect((await engine.ctr("start", id)).status).toBe(1);
    expect(await engine.ok("inspect", "-f", "{{.State.Error}}", id)).toContain("no-such-program");
    await engine.ok("rm", id);
  });
});

describe("flags of run", () => {
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ["an unknown flag", ["--no-such-flag"]],
    ["a memory size that is none", ["-m", "much"]],
    ["less memory than a container can have", ["-m", "1k"]],
    ["more processors than there are", ["--cpus", "10000"]],
    ["a negative number of processors", ["--cpus", "-1"]],
    ["a processor that is not there", ["--cpuset-cpus", "4095"]],
    ["a capability nobody knows", ["--cap-add", "CAP_NONSENSE"]],
    ["a user that is not in the image", ["-u", "nosuch"]],
    ["a group that is not in the image", ["-u", "root:nosuch"]],
    ["a relative working directory", ["-w", "relative"]],
    ["a mount on the root", ["-v", "/tmp:/"]],
    ["a mount on a relative path", ["-v", "/tmp:relative"]],
    ["an unknown mount option", ["-v", "/tmp:/mnt:nonsense"]],
    ["a volume name with a slash", ["-v", "a/b:/mnt"]],
    ["an environment variable without a name", ["-e", "=x"]],
    ["an env file that is not there", ["--env-file", "/no/such/file"]],
    ["a port out of range", ["-p", "99999:80"]],
    ["a host address that is none", ["-p", "nowhere:80:80"]],
    ["a protocol that is none", ["-p", "80:80/bogus"]],
    ["port ranges of unequal length", ["-p", "80-81:80-82"]],
    ["a network that is not there", ["--network", "nosuch"]],
    ["the network of a container that is not there", ["--network", "container:nosuch"]],
    ["a name with a space", ["--name", "a b"]],
    ["a security option nobody knows", ["--security-opt", "nonsense"]],
    ["a flag's value missing its meaning", ["--read-only=maybe"]],
    ["an empty size", ["-m", ""]],
    ["an empty number of processors", ["--cpus", ""]],
    ["an empty size of shared memory", ["--shm-size", ""]],
    ["an empty time", ["--health-interval", "", "--health-cmd", "true"]],
    ["a network without a name", ["--network", ""]],
    ["a label with a blank", ["-l", "a b=c"]],
    ["a capability that is a set", ["--cap-add", "CAP_ALL"]],
    ["three limits in one", ["--ulimit", "nofile=1:2:3"]],
    ["an id file that cannot be made", ["--cidfile", "/no/such/directory/id"]],
  ];
  test.each(rows)("%s: 125", async (_name, flags) => {
    // The network flags come last, so that those of a row win.
    await refused(
      125,
      "run",
      "--rm",
      ...(flags.includes("--network") || flags.includes("-p") ? [] : ["--network", "none"]),
      ...flags,
      image,
      "true",
    );
  });

  test("a taken name: 125, with the owner's id", async () => {
    const id = await engine.ok("create", "--name", "taken", "--network", "none", image, "true");
    const { stderr } = await refused(125, ...RUN, "--name", "taken", image, "true");
    expect(stderr).toContain(`The container name "/taken" is already in use by container "${id}"`);
    await engine.ok("rm", "taken");
  });

  test("a source file that cannot be a directory", async () => {
    writeFileSync(`${engine.scratch}/file`, "x");
    await refused(125, ...RUN, "-v", `${engine.scratch}/file:/etc`, image, "true");
  });

  test("the container's name is free again after a refusal", async () => {
    await refused(127, ...RUN, "--name", "again", image, "no-such-program");
    await engine.ok(...RUN, "--name", "again", image, "true");
  });
});

describe("images", () => {
  test("run of a reference that cannot be one: 125", async () => {
    expect((await refused(125, ...RUN, "UPPER/case", "true")).stderr).toContain("invalid reference format");
  });
  test.if(needs("ctr"))("run of an image that is not there: 125", async () => {
    expect((await refused(125, ...RUN, "nosuch-image:v9", "true")).stderr).toContain("nosuch-image:v9");
  });
  test("import of a file that is no archive: 1, and no image", async () => {
    writeFileSync(`${engine.scratch}/not.tar`, "this is no archive at all, however long it may be ".repeat(40));
    await refused(1, "import", `${engine.scratch}/not.tar`, "broken");
    expect(await engine.ok("images", "-q", "broken")).toBe("");
  });
  test("import of a cut archive: 1, and no image", async () => {
    const { imageArchive } = await import("../lib/engine.ts");
    const whole = await Bun.file(imageArchive("minimal")).bytes();
    writeFileSync(`${engine.scratch}/cut.tar`, whole.subarray(0, 1_000_000));
    await refused(1, "import", `${engine.scratch}/cut.tar`, "cut");
    expect(await engine.ok("images", "-q", "cut")).toBe("");
  });
  test("import of a missing file, a directory: 1", async () => {
    await refused(1, "import", "/no/such/file.tar", "x");
    mkdirSync(`${engine.scratch}/dir`, { recursive: true });
    await refused(1, "import", `${engine.scratch}/dir`, "x");
  });
  test("load of what is no image archive: 1", async () => {
    const { imageArchive } = await import("../lib/engine.ts");
    await refused(1, "load", "-i", imageArchive("minimal"));
  });
  test("import -c with a change nobody knows: 1", async () => {
    const { imageArchive } = await import("../lib/engine.ts");
    expect((await refused(1, "import", "-c", "NONSENSE x", imageArchive("minimal"), "x")).stderr).toMatch(
      /not a valid change command|unknown instruction/i,
    );
  });
  test("tag, save and rmi of what is not there: 1", async () => {
    expect((await refused(1, "tag", "nosuch", "other")).stderr).toContain("No such image: nosuch");
    await refused(1, "save", "-o", `${engine.scratch}/out.tar`, "nosuch");
    await refused(1, "rmi", "nosuch");
  });
  test.if(needs("ctr"))("an archive that leaves its directory harms nothing", async () => {
    const dir = `${engine.scratch}/evil`;
    mkdirSync(`${dir}/in`, { recursive: true });
    writeFileSync(`${dir}/payload`, "evil\n");
    const made = Bun.spawnSync([
      "tar",
      "-C",
      `${dir}/in`,
      "-P",
      "--transform",
      `s,.*payload,../../../../../..${engine.scratch}/escaped,`,
      "-cf",
      `${dir}/evil.tar`,
      "../payload",
    ]);
    expect(made.exitCode).toBe(0);
    await engine.ctr("import", `${dir}/evil.tar`, "evil");
    expect(await Bun.file(`${engine.scratch}/escaped`).exists()).toBe(false);
    await engine.ctr("rmi", "evil");
  });
});

describe("commands", () => {
  test("an unknown command: 1", async () => {
    expect((await engine.ctr("no-such-command")).status).toBe(1);
    expect((await engine.ctr("constructor")).status).toBe(1);
  });
  test("too few operands: 1; an unknown flag: 125", async () => {
    expect((await engine.ctr("rm")).status).toBe(1);
    expect((await engine.ctr("run")).status).toBe(1);
    expect((await engine.ctr("ps", "--no-such-flag")).status).toBe(125);
  });
  test("a container that is not there: 1, named", async () => {
    for (const command of ["start", "stop", "kill", "restart", "rm", "wait", "logs", "top", "port", "attach"]) {
      const result = await engine.ctr(command, "nosuch");
      expect([command, result.status]).toEqual([command, 1]);
      expect(result.stderr).toContain("No such container: nosuch");
    }
    expect((await engine.ctr("exec", "nosuch", "true")).status).toBe(1);
  });
  test("a signal nobody knows: 1", async () => {
    const id = await engine.ok("run", "-d", "--network", "none", image, "probe", "pause");
    expect((await engine.ctr("kill", "-s", "NONSENSE", id)).status).toBe(1);
    expect(await engine.ok("inspect", "-f", "{{.State.Running}}", id)).toBe("true");
    await engine.ok("rm", "-f", id);
  });
});

test.if(needs("ctr"))("a full disk: one line, status 125, and the store works again afterwards", async () => {
  const full = `${engine.scratch}/full`;
  mkdirSync(full);
  expect(Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", full]).exitCode).toBe(0);
  try {
    const { imageArchive } = await import("../lib/engine.ts");
    const env = { CTR_ROOT: `${full}/root`, CTR_STATE: `${full}/state` };
    const result = await engine.ctrWith({ env }, "import", imageArchive("minimal"), "minimal");
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/no space left on device/);
    expectOneLine(result);
    const after = await engine.ctrWith({ env }, "images", "-q");
    expect([after.status, after.stdout]).toEqual([0, ""]);
  } finally {
    Bun.spawnSync(["umount", full]);
  }
});

test.if(needs("ctr"))("not root: one line, status 1, nothing made", async () => {
  const child = Bun.spawnSync([
    "setpriv",
    "--reuid",
    "65534",
    "--regid",
    "65534",
    "--clear-groups",
    `${import.meta.dir}/../../dist/ctr`,
    "--root",
    engine.root,
    "ps",
  ]);
  expect(child.exitCode).toBe(1);
  expect(child.stderr.toString().trim().split("\n").length).toBe(1);
});
