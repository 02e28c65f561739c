/**
 * A disk that is full at any moment: what cannot be written is said in one line, what was there stays whole, what ends or
 * removes something works, and everything goes on when there is room.
 */
import { expect } from "bun:test";
import { closeSync, existsSync, openSync, readdirSync, unlinkSync, writeSync } from "node:fs";
import { imageArchive, tempEngine } from "../lib/engine.ts";
import { mountedFileSystem, unmountFileSystems } from "../lib/file-system.ts";
import { layeredArchive } from "../lib/layered-image.ts";
import { needs } from "../lib/needs.ts";
import { startRegistry } from "../lib/registry.ts";
import { storeProblems, storeShape } from "../lib/store-shape.ts";
import { test as kernelTest } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const test = kernelTest.if(needs("ctr"));
const engine = tempEngine();
const minimal = imageArchive("minimal");
const debian = imageArchive("debian");
const layered = layeredArchive(engine.scratch, "layered", minimal, [{ files: { "one/file": "1\n" } }]);
const NO_SPACE = "no space left on device";

/** Takes what is left of a file system, to the last byte. */
function fill(place: string): void {
  const fd = openSync(`${place}/filling`, "w");
  for (let size = 1 << 20; size >= 1; size = size >> 1) {
    const zeros = new Uint8Array(size);
    try {
      for (;;) if (writeSync(fd, zeros) < size) break;
    } catch {
      // that much does not fit any more
    }
  }
  closeSync(fd);
}

const empty = (place: string) => unlinkSync(`${place}/filling`);

const registry = await startRegistry();
/** Images in the registry, pushed from a store of their own. */
async function pushed(archive: string, name: string): Promise<string> {
  const env = { CTR_ROOT: `${engine.scratch}/pushing` };
  const reference = `${registry.host}/${name}:1`;
  for (const words of [
    ["import", archive, reference],
    ["push", "-q", reference],
    ["rmi", reference],
  ]) {
    const { status, stderr } = await engine.ctrWith({ env, timeoutMs: 60_000 }, ...words);
    if (status !== 0) throw new Error(`${words.join(" ")}: ${stderr}`);
  }
  return reference;
}
const remoteSmall = await pushed(minimal, "small");
const remoteLarge = await pushed(debian, "large");

for (const type of ["ext4", "tmpfs"] as const) {
  const place = mountedFileSystem(engine.scratch, type, 28 << 20);
  const root = `${place}/root`;
  const ctr = (...words: readonly string[]) => engine.ctrWith({ env: { CTR_ROOT: root } }, ...words);
  const ok = async (...words: readonly string[]) => {
    const { stdout, stderr, status } = await ctr(...words);
    if (status !== 0) throw new Error(`${words.join(" ")}: status ${status}: ${stderr}`);
    return stdout.replace(/\n$/, "");
  };
  /** Must fail for want of room, and say so in one line that names what was written. */
  const full = async (...words: readonly string[]) => {
    const { stderr, status } = await ctr(...words);
    expect([words[0], [1, 125].includes(status)]).toEqual([words[0], true]);
    const lines = stderr.trim().split("\n");
    expect([words[0], lines.length]).toEqual([words[0], 1]);
    expect(lines[0]).toMatch(
      /^ctr: .*(write|mkdir|open|fallocate|setxattr|symlink|link|fsync|chown)[^:]* \S+.*: no space left/,
    );
    expect(lines[0]).toEndWith(NO_SPACE);
  };
  const run = (...words: readonly string[]) => ok("run", "--network", "none", ...words);

  test(`${type}: an image that does not fit leaves nothing, and what fits still does`, async () => {
    await ok("import", minimal, "small");
    const before = storeShape(root);
    await full("import", debian, "large");
    expect(readdirSync(`${root}/ingest`)).toEqual([]);
    expect(storeShape(root)).toEqual(before);
    const large = layeredArchive(engine.scratch, "large", debian, [{ files: { x: "y" } }]);
    await full("load", "-i", large);
    const { stderr, status } = await engine.ctrWith({ env: { CTR_ROOT: root }, stdin: Bun.file(large) }, "load");
    expect([status, stderr.trim().endsWith(NO_SPACE)]).toEqual([1, true]);
    expect(storeShape(root)).toEqual(before);
    expect(storeProblems(root)).toEqual([]);
    expect(await run("--rm", "small", "cat", "/etc/motd")).toBe("hello from the image");
    await ok("load", "-i", layered);
  }, 60_000);

  test(`${type}: a pull that does not fit leaves nothing in the way of one that does`, async () => {
    const before = storeShape(root);
    const { status, stderr } = await ctr("pull", "-q", remoteLarge);
    expect([status, stderr.trim().endsWith(NO_SPACE), stderr.trim().split("\n").length]).toEqual([1, true, 1]);
    expect(storeProblems(root)).toEqual([]);
    await ok("image", "prune", "-f");
    const notDownloads = (line: string) => !line.startsWith("downloads");
    expect(storeShape(root).filter(notDownloads)).toEqual(before.filter(notDownloads));
    expect(storeShape(root).filter((line) => line.startsWith("downloads/"))).toEqual([]);
    fill(place);
    const nothing = await ctr("pull", "-q", remoteSmall);
    expect([nothing.status, nothing.stderr.trim().endsWith(NO_SPACE)]).toEqual([1, true]);
    empty(place);
    await ok("pull", "-q", remoteSmall);
    expect(await run("--rm", remoteSmall, "cat", "/etc/motd")).toBe("hello from the image");
    await ok("rmi", remoteSmall);
  }, 60_000);

  test(`${type}: nothing can be made on a full disk; what is there can be looked at`, async () => {
    await run("--name", "resting", "small", "sh", "-c", "head -c 200000 /dev/urandom > /x; echo logged");
    const before = storeShape(root);
    fill(place);
    await full("import", minimal, "again");
    await full("load", "-i", layered);
    await full("commit", "resting", "committed");
    await full("tag", "small", "other");
    await full("run", "--network", "none", "--name", "never", "layered", "true");
    const copied = await ctr("cp", debian, "resting:/copied");
    expect([copied.status !== 0, copied.stderr.includes(NO_SPACE)]).toEqual([true, true]);
    expect(await ok("logs", "resting")).toBe("logged");
    expect(await ok("images", "-q", "small")).not.toBe("");
    expect(await ok("ps", "-a", "--filter", "name=resting", "--format", "{{.State}}")).toBe("exited");
    await ok("inspect", "resting", "small");
    await ok("system", "df");
    expect(storeProblems(root)).toEqual([]);
    empty(place);
    await ctr("rm", "never");
    expect([...storeShape(root)].filter((line) => !line.includes("/copied"))).toEqual([...before]);
    await ok("rm", "resting");
  }, 60_000);

  test(`${type}: a container goes on when the disk is full, and can be stopped, read and removed`, async () => {
    const counts = "i=0; while [ ! -e /stop ]; do i=$((i+1)); echo $i; sleep 0.02; done; exit 7";
    await ok("volume", "create", "data");
    await run("-d", "--name", "counting", "-v", "data:/data", "small", "sh", "-c", counts);
    await run("-d", "--name", "killed", "small", "probe", "pause");
    const lines = async () => (await ok("logs", "counting")).split("\n").length;
    await waitFor("the log to grow", async () => (await lines()) > 3);
    fill(place);
    expect(await ok("exec", "counting", "echo", "alive")).toBe("alive");
    expect(await ok("ps", "--format", "{{.Names}}")).toBe("killed\ncounting");
    await ok("kill", "killed");
    expect(await ok("wait", "killed")).toBe("137");
    await ok("rm", "killed");
    const seen = await lines();
    empty(place);
    await waitFor("the log to grow again", async () => (await lines()) > seen + 3);
    // What is started makes the reserve again.
    await run("--rm", "small", "true");
    fill(place);
    await ok("stop", "-t", "0", "counting");
    expect(await ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "counting")).toBe("exited 137");
    await ok("rm", "counting");
    await ok("volume", "rm", "data");
    expect(storeProblems(root)).toEqual([]);
    empty(place);
  }, 60_000);

  test(`${type}: on a full disk images can be removed, which makes room`, async () => {
    await run("--name", "old", "layered", "sh", "-c", "echo x > /x");
    fill(place);
    await ok("rmi", "-f", "layered");
    await ok("rm", "old");
    expect(await ok("system", "prune", "-a", "-f")).toContain("deleted: sha256:");
    expect(await ok("images", "-q")).toBe("");
    for (const directory of ["layers", "containers", "ingest", "content/blobs/sha256"])
      expect([directory, readdirSync(`${root}/${directory}`)]).toEqual([directory, []]);
    // What they took is free for the next, and so is the reserve.
    expect(existsSync(`${root}/reserve`)).toBe(true);
    await Bun.write(`${engine.scratch}/tiny/file`, "x".repeat(100_000));
    Bun.spawnSync(["tar", "-C", `${engine.scratch}/tiny`, "-cf", `${engine.scratch}/tiny.tar`, "file"]);
    await ok("import", `${engine.scratch}/tiny.tar`, "tiny");
    empty(place);
    await ok("import", minimal, "small");
    expect(await run("--rm", "small", "echo", "works")).toBe("works");
    expect(storeProblems(root)).toEqual([]);
    await ok("system", "prune", "-a", "-f", "--volumes");
  }, 60_000);
}

test("nothing is left", async () => {
  unmountFileSystems();
  await engine.expectNothingLeft();
});
