/** `container prune`, `image prune`, `volume prune`, `system prune` and `system df`: what goes, what stays, what is said. */
import { beforeEach, expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { isDocker, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const { ok, fails } = engine;

const run = (...words: readonly string[]) => ok("run", "--network", "none", ...words);
const lines = (text: string) => text.split("\n").filter((line) => line !== "");
const answer = (text: string, ...words: readonly string[]) => engine.ctrWith({ stdin: text }, ...words);

beforeEach(async () => {
  const ids = lines(await ok("ps", "-aq"));
  if (ids.length > 0) await ok("rm", "-f", "-v", ...ids);
  await ok("volume", "prune", "-f");
});

test("container prune: what is at rest goes, what runs or is paused stays", async () => {
  const running = await run("-d", "--name", "stays-running", image, "probe", "pause");
  const paused = await run("-d", "--name", "stays-paused", image, "probe", "pause");
  await ok("pause", "stays-paused");
  const created = await ok("create", "--network", "none", "--name", "goes-created", image, "true");
  await run("--name", "goes-exited", image, "sh", "-c", "echo 123456789 > /file");
  const exited = await ok("inspect", "-f", "{{.Id}}", "goes-exited");
  const output = await ok("container", "prune", "-f");
  expect(output).toBe(`Deleted Containers:\n${exited}\n${created}\n\nTotal reclaimed space: 10B`);
  expect(lines(await ok("ps", "-aq", "--no-trunc")).sort()).toEqual([running, paused].sort());
  expect(await ok("container", "prune", "-f")).toBe("Total reclaimed space: 0B");
});

test("container prune: until and labels choose", async () => {
  await run("--name", "plain", image, "true");
  await run("--name", "keep", "--label", "keep=yes", image, "true");
  await run("--name", "other", "--label", "keep=no", image, "true");
  expect(await ok("container", "prune", "-f", "--filter", "until=1h")).toBe("Total reclaimed space: 0B");
  expect(await ok("container", "prune", "-f", "--filter", "until=2001-01-01")).toBe("Total reclaimed space: 0B");
  const names = async () => lines(await ok("ps", "-a", "--format", "{{.Names}}")).sort();
  await ok("container", "prune", "-f", "--filter", "label=keep=no");
  expect(await names()).toEqual(["keep", "plain"]);
  await ok("container", "prune", "-f", "--filter", "label!=keep=yes");
  expect(await names()).toEqual(["keep"]);
  await ok("container", "prune", "-f", "--filter", "label=keep", "--filter", "label=missing");
  expect(await names()).toEqual(["keep"]);
  await ok("container", "prune", "-f", "--filter", "until=0s");
  expect(await names()).toEqual([]);
});

test("the question is asked unless -f, and only y is a yes", async () => {
  await run("--name", "asked", image, "true");
  const warning = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ";
  for (const no of ["", "\n", "n\n", "yes\n", "no"]) {
    const { stdout, status } = await answer(no, "container", "prune");
    expect([stdout, status]).toEqual([warning, 0]);
  }
  expect(await ok("ps", "-aq")).not.toBe("");
  const { stdout, status } = await answer("y\n", "container", "prune");
  expect(status).toBe(0);
  expect(stdout).toStartWith(`${warning}Deleted Containers:\n`);
  expect(await ok("ps", "-aq")).toBe("");
  const warnings: readonly (readonly [readonly string[], string])[] = [
    [["image", "prune"], "WARNING! This will remove all dangling images.\n"],
    [
      ["image", "prune", "-a"],
      "WARNING! This will remove all images without at least one container associated to them.\n",
    ],
  ];
  for (const [words, text] of warnings)
    expect((await answer("n\n", ...words)).stdout).toBe(`${text}Are you sure you want to continue? [y/N] `);
  expect((await answer("n\n", "system", "prune", "-a", "--volumes", "--filter", "label=x")).stdout).toBe(
    "WARNING! This will remove:\n  - all stopped containers\n" +
      "  - all networks not used by at least one container\n" +
      "  - all anonymous volumes not used by at least one container\n" +
      "  - all images without at least one container associated to them\n  - all build cache\n\n" +
      "  Items to be pruned will be filtered with:\n  - label=x\n\nAre you sure you want to continue? [y/N] ",
  );
});

test("bad filters: what is wrong with them, and nothing goes", async () => {
  await run("--name", "untouched", image, "true");
  expect(await fails(1, "container", "prune", "-f", "--filter", "until=abc")).toContain(
    'failed to parse value as time or duration: "abc"',
  );
  expect((await fails(1, "container", "prune", "-f", "--filter", "foo=abc")).toLowerCase()).toContain(
    "invalid filter 'foo'",
  );
  expect(await fails(125, "container", "prune", "-f", "--filter", "foo")).toContain(
    'invalid argument "foo" for "--filter" flag: bad format of filter (expected name=value)',
  );
  expect(await fails(1, "container", "prune", "-f", "--filter", "until=1h", "--filter", "until=2h")).toContain(
    "more than one until filter specified",
  );
  expect(await fails(1, "system", "prune", "-f", "--volumes", "--filter", "until=1h")).toContain(
    'The "until" filter is not supported with "--volumes"',
  );
  expect((await fails(1, "volume", "prune", "-f", "--filter", "until=1h")).toLowerCase()).toContain(
    "invalid filter 'until'",
  );
  expect(await ok("ps", "-a", "--format", "{{.Names}}")).toBe("untouched");
});

/** An image of its own on top of `image`, with a label; gives its id. */
async function committed(name: string, tag: string | undefined, ...changes: readonly string[]): Promise<string> {
  await run("--name", name, image, "sh", "-c", `echo ${name} > /file`);
  const id = await ok(
    "commit",
    ...changes.flatMap((change) => ["-c", change]),
    name,
    ...(tag === undefined ? [] : [tag]),
  );
  await ok("rm", name);
  return id;
}

test("image prune: only what has no name; -a also what no container uses", async () => {
  const dangling = await committed("one", undefined);
  const named = await committed("two", "named", "LABEL kind=test");
  const used = await committed("three", "used");
  await ok("create", "--network", "none", "--name", "user", "used", "true");
  const output = await ok("image", "prune", "-f");
  expect(output).toMatch(/^Deleted Images:\ndeleted: sha256:[0-9a-f]{64}\n(deleted: sha256:[0-9a-f]{64}\n)?\nTotal/);
  expect(output).toContain(`deleted: ${dangling}`);
  const ids = async () => lines(await ok("images", "-q", "--no-trunc"));
  expect(await ids()).toContain(named);
  expect(await ok("image", "prune", "-f")).toBe("Total reclaimed space: 0B");
  expect(await ok("image", "prune", "-a", "-f", "--filter", "until=1h")).toBe("Total reclaimed space: 0B");
  await ok("image", "prune", "-a", "-f", "--filter", "label!=kind", "--filter", "label=kind");
  expect(await ids()).toContain(named);
  const all = await ok("image", "prune", "-a", "-f", "--filter", "label=kind=test");
  expect(lines(all).slice(0, 3)).toEqual(["Deleted Images:", "untagged: named:latest", `deleted: ${named}`]);
  expect(await ids()).not.toContain(named);
  expect(await ids()).toContain(used);
  await ok("rm", "user");
  await ok("rmi", "used");
});

test("system prune: containers, then images, and with --volumes anonymous volumes", async () => {
  await ok("volume", "create", "with-a-name");
  await run("--name", "stopped", "-v", "/anonymous", image, "sh", "-c", "echo 12345 > /anonymous/file");
  const id = await ok("inspect", "-f", "{{.Id}}", "stopped");
  const dangling = await committed("base", undefined);
  const output = await ok("system", "prune", "-f", "--volumes");
  expect(lines(output)[0]).toBe("Deleted Containers:");
  expect(lines(output)).toContain(id);
  // Docker before 23.0 takes those with a name too.
  expect(output).toMatch(isDocker() ? /\n\nDeleted Volumes:\n/ : /\n\nDeleted Volumes:\n[0-9a-f]{64}\n\n/);
  expect(output).toContain(`deleted: ${dangling}`);
  expect(output).toMatch(/\n\nTotal reclaimed space: [\d.]+k?B$/);
  if (!isDocker()) expect(await ok("volume", "rm", "with-a-name")).toBe("with-a-name");
  expect(await ok("images", "-q", image)).not.toBe("");
  expect(await ok("system", "prune", "-f")).toBe("Total reclaimed space: 0B");
});

test("volume prune: anonymous ones nobody uses; -a those with a name too", async () => {
  await ok("volume", "create", "--label", "keep", "labelled");
  await ok("volume", "create", "plain");
  await run("--name", "has", "-v", "used:/used", image, "true");
  if (!isDocker()) {
    expect(await ok("volume", "prune", "-f")).toBe("Total reclaimed space: 0B");
    expect((await answer("n\n", "volume", "prune")).stdout).toStartWith(
      "WARNING! This will remove anonymous local volumes not used by at least one container.\n",
    );
    expect((await answer("n\n", "volume", "prune", "-a")).stdout).toStartWith(
      "WARNING! This will remove all local volumes not used by at least one container.\n",
    );
    expect(await ok("volume", "prune", "-a", "-f", "--filter", "label!=keep")).toStartWith("Deleted Volumes:\nplain\n");
    expect(lines(await ok("volume", "ls", "-q"))).toEqual(["labelled", "used"]);
    await ok("volume", "prune", "--filter", "all=1", "-f");
    expect(lines(await ok("volume", "ls", "-q"))).toEqual(["used"]);
  }
  await ok("rm", "has");
  await ok("volume", "rm", "used");
});

test("system df: a line of each kind, and what -v says of each thing", async () => {
  await run(
    "--name",
    "writer",
    "-v",
    "sized:/data",
    image,
    "sh",
    "-c",
    "head -c 5000 /dev/zero > /data/x; echo 12345 > /y",
  );
  const summary = lines(await ok("system", "df"));
  expect(summary.map((line) => line.slice(0, 16).trim())).toEqual([
    "TYPE",
    "Images",
    "Containers",
    "Local Volumes",
    "Build Cache",
  ]);
  expect(summary[0]).toBe("TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE");
  expect(summary[2]).toBe("Containers      1         0         6B        6B (100%)");
  expect(summary[3]).toBe("Local Volumes   1         1         5kB       0B (0%)");
  expect(summary[4]).toBe("Build Cache     0         0         0B        0B");
  expect(lines(await ok("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}"))).toEqual([
    "Images 1 1",
    "Containers 1 0",
    "Local Volumes 1 1",
    "Build Cache 0 0",
  ]);
  const json = lines(await ok("system", "df", "--format", "json")).map((line) => JSON.parse(line));
  expect(json[2]).toEqual({ Active: "1", Reclaimable: "0B (0%)", Size: "5kB", TotalCount: "1", Type: "Local Volumes" });
  const verbose = await ok("system", "df", "-v");
  expect(verbose).toMatch(
    /^Images space usage:\n\nREPOSITORY +TAG +IMAGE ID +CREATED +SIZE +SHARED SIZE +UNIQUE SIZE +CONTAINERS\n/,
  );
  expect(verbose).toMatch(
    /\n\nContainers space usage:\n\nCONTAINER ID +IMAGE +COMMAND +LOCAL VOLUMES +SIZE +CREATED +STATUS +NAMES\n/,
  );
  expect(verbose).toMatch(/\n[0-9a-f]{12} +minimal +"sh -c 'head -c 5000…" +1 +6B +.* ago +Exited \(0\) .* +writer\n/);
  expect(verbose).toMatch(
    /\n\nLocal Volumes space usage:\n\nVOLUME NAME +LINKS +SIZE\nsized +1 +5kB\n\nBuild cache usage: 0B\n\n/,
  );
  const detail = await ok("system", "df", "-v", "--format", "{{range .Containers}}{{.Names}} {{.Size}}{{end}}");
  expect(detail.trim()).toBe("writer 6B");
  expect(await fails(1, "system", "df", "--format", "{{.Nope}}")).toContain("can't evaluate field Nope");
  await ok("rm", "writer");
  await ok("volume", "rm", "sized");
});

test.if(needs("ctr"))("system prune -a: an engine that nobody uses holds nothing any more", async () => {
  await run("--name", "last", "-v", "/anonymous", image, "true");
  await ok("system", "prune", "-a", "-f", "--volumes");
  expect(await ok("ps", "-aq")).toBe("");
  expect(await ok("images", "-aq")).toBe("");
  expect(lines(await ok("system", "df", "--format", "{{.TotalCount}} {{.Size}}"))[0]).toBe("0 0B");
});
