/** Storage drivers: overlay, vfs and btrfs keep the same contract; which one is taken where nobody says. */
import { expect } from "bun:test";
import { mkdirSync } from "node:fs";
import { imageArchive, tempEngine } from "../lib/engine.ts";
import { mountedFileSystem, unmountFileSystems } from "../lib/file-system.ts";
import { needs } from "../lib/needs.ts";
import { test as kernelTest } from "../lib/test.ts";
import { snapshotterContract } from "./snapshotter.contract.ts";

const engine = tempEngine();
const hasBtrfs = needs("ctr", "btrfs");
const test = kernelTest.if(needs("ctr"));

const directory = (name: string) => {
  mkdirSync(`${engine.scratch}/${name}`);
  return `${engine.scratch}/${name}`;
};

snapshotterContract({ title: "overlay", driver: "overlay", engine, place: directory("plain-overlay") });
snapshotterContract({ title: "vfs", driver: "vfs", engine, place: directory("plain-vfs") });

const btrfs = hasBtrfs ? mountedFileSystem(engine.scratch, "btrfs", 512 << 20) : undefined;
if (btrfs !== undefined) snapshotterContract({ title: "btrfs", driver: "btrfs", engine, place: btrfs });

/** An overlay, on which overlayfs cannot write: what a container's own root file system is. */
function mountedOverlay(): string {
  const home = directory("on-overlay");
  for (const name of ["lower", "upper", "work", "at"]) mkdirSync(`${home}/${name}`);
  const options = `lowerdir=${home}/lower,upperdir=${home}/upper,workdir=${home}/work`;
  const ran = Bun.spawnSync(["mount", "-t", "overlay", "overlay", "-o", options, `${home}/at`]);
  if (ran.exitCode !== 0) throw new Error(ran.stderr.toString());
  return `${home}/at`;
}

const onOverlay = mountedOverlay();
mkdirSync(`${onOverlay}/contract`);

test("where overlayfs does not work, vfs is found by itself and does", async () => {
  const env = { CTR_ROOT: `${onOverlay}/root` };
  const ctr = async (...words: readonly string[]) => {
    const { stdout, stderr, status } = await engine.ctrWith({ env }, ...words);
    return [status, stdout.trim() || stderr.trim()];
  };
  expect(await ctr("--storage-driver", "overlay", "images")).toEqual([
    1,
    expect.stringContaining("storage driver overlay2 does not work here: "),
  ]);
  expect(await ctr("--storage-driver", "btrfs", "images")).toEqual([
    1,
    "ctr: storage driver btrfs does not work here: the store is not on btrfs",
  ]);
  expect((await ctr("import", imageArchive("minimal"), "found"))[0]).toBe(0);
  expect(await ctr("info", "-f", "{{.Driver}}")).toEqual([0, "vfs"]);
  expect(await ctr("run", "--rm", "--network", "none", "found", "cat", "/etc/motd")).toEqual([
    0,
    "hello from the image",
  ]);
  await ctr("system", "prune", "-a", "-f");
});

snapshotterContract({
  title: "vfs on overlayfs",
  driver: "vfs",
  engine,
  place: `${onOverlay}/contract`,
});

test("the configuration chooses where the command line does not", async () => {
  const config = `${engine.scratch}/engine.toml`;
  const env = { CTR_ROOT: `${engine.scratch}/configured`, CTR_CONFIG: config };
  const ctr = (...words: readonly string[]) => engine.ctrWith({ env }, ...words);
  await Bun.write(config, 'storage-driver = "vfs"\n');
  expect((await ctr("import", imageArchive("minimal"), "one")).status).toBe(0);
  expect((await ctr("info", "-f", "{{.Driver}}")).stdout).toBe("vfs\n");
  await Bun.write(config, 'storage-driver = "overlay2"\n');
  const changed = await ctr("import", imageArchive("minimal"), "two");
  expect([changed.status, changed.stderr]).toEqual([1, expect.stringContaining("has images or containers of vfs")]);
  expect((await ctr("run", "--rm", "--network", "none", "one", "echo", "still")).stdout).toBe("still\n");
  expect((await ctr("-s", "vfs", "run", "--rm", "--network", "none", "one", "echo", "still")).stdout).toBe("still\n");
  await Bun.write(config, "storage-driver = 1\n");
  expect((await ctr("import", imageArchive("minimal"), "two")).stderr).toBe(
    `ctr: ${config}: storage-driver is not a string\n`,
  );
});

kernelTest.if(btrfs !== undefined)("btrfs: subvolumes that a container made go with it", async () => {
  const env = { CTR_ROOT: `${btrfs}/nested` };
  const ctr = async (...words: readonly string[]) => {
    const { stdout, stderr, status } = await engine.ctrWith({ env }, ...words);
    expect([words[0], status, stderr]).toEqual([words[0], 0, ""]);
    return stdout.trim();
  };
  await ctr("--storage-driver", "btrfs", "import", imageArchive("minimal"), "small");
  const id = await ctr("create", "--network", "none", "small", "true");
  await ctr("start", "-a", id);
  const inside = `${btrfs}/nested/containers/${id}/flat/tmp`;
  const btrfsTool = (...words: readonly string[]) => expect(Bun.spawnSync(["btrfs", ...words]).exitCode).toBe(0);
  btrfsTool("subvolume", "create", `${inside}/sub`);
  await Bun.write(`${inside}/sub/file`, "x");
  btrfsTool("subvolume", "snapshot", "-r", `${inside}/sub`, `${inside}/read-only`);
  await ctr("rm", id);
  await ctr("rmi", "small");
  const left = Bun.spawnSync(["btrfs", "subvolume", "list", `${btrfs}/nested`]).stdout.toString();
  expect(left.split("\n").filter((line) => line.includes("nested"))).toEqual([]);
});

test("nothing is left", async () => {
  unmountFileSystems();
  expect(Bun.spawnSync(["umount", onOverlay]).exitCode).toBe(0);
  await engine.expectNothingLeft();
});
