/**
 * Layers, blobs and snapshots go with their last user, whatever is killed on the way: commands are killed before calls that
 * change the store, and what the next one finds is the store from before or from after, with nothing else.
 */
import { Database } from "bun:sqlite";
import { expect } from "bun:test";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { imageArchive, tempEngine } from "../lib/engine.ts";
import { layeredArchive } from "../lib/layered-image.ts";
import { binary, needs } from "../lib/needs.ts";
import { startRegistry } from "../lib/registry.ts";
import { drawn, killedBefore, recordedSteps, recording, type Step } from "../lib/steps.ts";
import { storeProblems, storeShape } from "../lib/store-shape.ts";
import { test as kernelTest } from "../lib/test.ts";

const test = kernelTest.if(needs("ctr"));
const traced = kernelTest.if(needs("ctr", "strace"));
const engine = tempEngine();
const { ok } = engine;
const base = imageArchive("minimal");
const archive = layeredArchive(engine.scratch, "layered", base, [
  { files: { "a/one": "1\n", "a/two": "2\n" } },
  { files: { "b/three": "3\n" }, removed: ["a/one"] },
]);

const shape = () => storeShape(engine.root);
const layers = () => readdirSync(`${engine.root}/layers`).length;
const blobs = () => readdirSync(`${engine.root}/content/blobs/sha256`).length;

/** The calls that change a store, and how many of each are looked at: all of the few, some of the many. */
const CALLS: { readonly [call: string]: (n: number) => number } = {
  renameat2: (n) => n + 1,
  fsync: (n) => n + 2,
  unlink: (n) => n + 1,
  ftruncate: (n) => n + 2,
  mkdirat: (n) => n * 2,
  pwrite64: (n) => n + Math.ceil(n / 2),
  unlinkat: (n) => n * 3,
};
const NAMES = Object.keys(CALLS);
/** Of the steps of one command. */
const MAX_STEPS = 6;

/** Runs a command under strace; false if that has killed it. */
async function isWhole(options: readonly string[], words: readonly string[]): Promise<boolean> {
  const child = Bun.spawn(["strace", "-f", "-qq", ...options, binary(), ...words], {
    env: { ...process.env, ...engine.env },
    cwd: engine.scratch,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const [stderr, status] = await Promise.all([child.stderr.text(), child.exited]);
  if (child.signalCode === "SIGKILL" || status === 137) return false;
  if (status !== 0) throw new Error(`${words.join(" ")}: status ${status}: ${stderr}`);
  return true;
}

/** The steps that are worth a look. */
function worthwhile(steps: readonly Step[]): readonly Step[] {
  return steps.filter(([call, number]) => {
    let n = 1;
    while (n < number) n = CALLS[call]?.(n) ?? number;
    return n === number;
  });
}

/**
 * Kills `words` at every step, or at some (test/lib/steps.ts). `prepare` makes the store it starts from (from nothing, or
 * from what the last one left); afterwards, with one `image prune`, the store is as before the command or as after it (or,
 * if it is not one step, somewhere in between), and the command done again ends as if nothing had been.
 */
async function killedOnTheWay(words: readonly string[], prepare: () => Promise<void>, isOneStep = true): Promise<void> {
  await prepare();
  await ok("image", "prune", "-f");
  const before = shape();
  const log = `${engine.scratch}/steps`;
  expect(await isWhole(recording(log, NAMES, true), words)).toBe(true);
  const all = worthwhile(recordedSteps(log, NAMES));
  expect(all.length).toBeGreaterThan(10);
  await ok("image", "prune", "-f");
  const after = shape();
  expect(after).not.toEqual(before);
  let killed = 0;
  const steps = drawn(all, MAX_STEPS);
  for (const [call, n] of steps) {
    await prepare();
    // One that some other time is made by another thread may not have been reached.
    if (await isWhole(killedBefore([call, n]), words)) continue;
    killed++;
    // What the rows say is true, before anything puts it right.
    expect([call, n, ...storeProblems(engine.root)]).toEqual([call, n]);
    await ok("image", "prune", "-f");
    const left = shape();
    if (!isOneStep) expect([call, n, left.filter((line) => line.startsWith("ingest/"))]).toEqual([call, n, []]);
    else if (Bun.deepEquals(left, after)) continue;
    else expect([call, n, ...left]).toEqual([call, n, ...before]);
    // Done again it does what was left to do; what was done already is no reason to fail but for what it says.
    await engine.ctr(...words);
    await ok("volume", "prune", "-f");
    expect([call, n, ...shape()]).toEqual([call, n, ...after]);
  }
  expect(killed).toBeGreaterThan(steps.length / 2);
}

async function empty(): Promise<void> {
  const ids = (await ok("ps", "-aq")).split("\n").filter((id) => id !== "");
  if (ids.length > 0) await ok("rm", "-f", "-v", ...ids);
  await ok("image", "prune", "-a", "-f");
}

test("what several images share goes with the last of them", async () => {
  await ok("load", "-i", archive);
  await ok("import", base, "alone");
  // The root file system is one layer and one blob, whoever has it.
  expect([layers(), blobs()]).toEqual([3, 3 + 2 + 2]);
  await ok("run", "--name", "box", "--network", "none", "layered", "sh", "-c", "echo 4 > /four");
  await ok("commit", "box", "more");
  expect([layers(), blobs()]).toEqual([4, 4 + 2 + 2 + 2]);
  await ok("rm", "box");
  await ok("rmi", "more");
  expect([layers(), blobs()]).toEqual([3, 7]);
  await ok("rmi", "layered");
  expect([layers(), blobs()]).toEqual([1, 3]);
  await ok("rmi", "alone");
  expect([layers(), blobs()]).toEqual([0, 0]);
});

test("a container keeps its layers when its image is removed by force, and takes them along when it goes", async () => {
  await ok("load", "-i", archive);
  await ok("create", "--name", "last", "--network", "none", "layered", "cat", "/b/three");
  await ok("rmi", "-f", "layered");
  expect(layers()).toBe(3);
  expect(await ok("start", "-a", "last")).toBe("3");
  await ok("rm", "last");
  expect([layers(), blobs()]).toEqual([0, 0]);
});

test("df agrees with du", async () => {
  await empty();
  await ok("import", imageArchive("debian"), "debian");
  await ok("load", "-i", archive);
  const volume =
    (await ok(
      "run",
      "--name",
      "writer",
      "--network",
      "none",
      "-v",
      "/data",
      "debian",
      "sh",
      "-c",
      "cp -r /usr/share/doc /copy; head -c 3000000 /dev/urandom > /data/x; ln /data/x /data/y; truncate -s 1G /data/hole; echo ok",
    )) === "ok";
  expect(volume).toBe(true);
  /** What du says of the files below, in bytes: without the directories themselves, hard links once. */
  const du = (...paths: readonly string[]) => {
    const files = Bun.spawnSync(["find", ...paths, "-type", "f", "-print0"]).stdout;
    const ran = Bun.spawnSync(["du", "--files0-from=-", "-c", "-B1", "--apparent-size"], { stdin: files });
    return Number(/(\d+)\ttotal\n$/.exec(ran.stdout.toString())?.[1]);
  };
  const sizes = (await ok("system", "df", "--format", "{{.Size}}")).split("\n").map(bytesOf);
  const close = (said: number | undefined, real: number) => {
    // df rounds to four digits.
    expect(Math.abs((said ?? 0) - real)).toBeLessThanOrEqual(real * 0.001 + 1);
  };
  close(sizes[0], du(`${engine.root}/layers`, `${engine.root}/content/blobs`));
  const [id = ""] = readdirSync(`${engine.root}/containers`);
  close(sizes[1], du(`${engine.root}/containers/${id}/upper`));
  // A hole is not on the disk: that is what du says without --apparent-size.
  close(sizes[2], 3_000_000);
  const before = du(engine.root);
  const reclaimed = /Total reclaimed space: (\S+)$/.exec(await ok("system", "prune", "-a", "-f", "--volumes"))?.[1];
  const [container = 0, volumes = 0] = [sizes[1], sizes[2]];
  close(bytesOf(reclaimed ?? ""), (sizes[0] ?? 0) + container + volumes);
  expect(before - du(engine.root)).toBeGreaterThan((sizes[0] ?? 0) + container);
}, 60_000);

/** `1.98MB` as a number. */
function bytesOf(text: string): number {
  const [, amount = "0", unit = ""] = /^([\d.]+)([kMG]?)B$/.exec(text) ?? [];
  return Number(amount) * ({ k: 1e3, M: 1e6, G: 1e9 }[unit] ?? 1);
}

test("what commands left that nobody names is found, whatever it is", async () => {
  await empty();
  await ok("import", base, "kept");
  const whole = shape();
  mkdirSync(`${engine.root}/ingest/0123/layer-x/deep`, { recursive: true });
  writeFileSync(`${engine.root}/ingest/0123/layer-x/deep/file`, "x".repeat(1000));
  mkdirSync(`${engine.root}/layers/cafe/etc`, { recursive: true });
  writeFileSync(`${engine.root}/layers/cafe/etc/file`, "y".repeat(2000));
  writeFileSync(`${engine.root}/content/blobs/sha256/${"ab".repeat(32)}`, "z".repeat(3000));
  writeFileSync(`${engine.root}/content/index.json.77.tmp`, "{");
  expect(shape()).not.toEqual(whole);
  expect(await ok("image", "prune", "-f")).toBe("Total reclaimed space: 6.001kB");
  expect(shape()).toEqual(whole);
  expect(await ok("run", "--rm", "--network", "none", "kept", "echo", "well")).toBe("well");
  await ok("rmi", "kept");
});

traced(
  "kill -9 before calls of import",
  async () => {
    await killedOnTheWay(["import", base, "half"], empty);
  },
  240_000,
);

traced(
  "kill -9 before calls of load",
  async () => {
    await killedOnTheWay(["load", "-i", archive], empty);
  },
  240_000,
);

traced(
  "kill -9 before calls of commit",
  async () => {
    await empty();
    await ok("import", base, "under");
    await ok(
      "run",
      "--name",
      "box",
      "--network",
      "none",
      "under",
      "sh",
      "-c",
      "mkdir /d; echo new > /d/new; rm /etc/motd",
    );
    await killedOnTheWay(["commit", "box", "over"], async () => {
      if ((await ok("images", "-q", "over")) !== "") await ok("rmi", "over");
    });
    await ok("rm", "box");
  },
  240_000,
);

traced(
  "kill -9 before calls of pull",
  async () => {
    await empty();
    const registry = await startRegistry();
    const remote = `${registry.host}/layered:1`;
    await ok("load", "-i", archive);
    await ok("tag", "layered", remote);
    await ok("push", "-q", remote);
    await killedOnTheWay(["pull", "-q", remote], empty);
  },
  240_000,
);

traced(
  "kill -9 before calls of rmi",
  async () => {
    await empty();
    await killedOnTheWay(["rmi", "layered"], async () => {
      if ((await ok("images", "-q", "layered")) === "") await ok("load", "-i", archive);
    });
  },
  240_000,
);

traced(
  "kill -9 before calls of rm, which takes the last layers along",
  async () => {
    await empty();
    await killedOnTheWay(["rm", "last"], async () => {
      if ((await ok("ps", "-aq", "--filter", "name=last")) !== "") return;
      await ok("load", "-i", archive);
      await ok("run", "--name", "last", "--network", "none", "layered", "sh", "-c", "mkdir /x; echo y > /x/y");
      await ok("rmi", "-f", "layered");
    });
  },
  240_000,
);

traced(
  "kill -9 before calls of rm -v and of volume rm",
  async () => {
    await empty();
    await ok("import", base, "under");
    const filled = "mkdir -p /a/b/c; echo 1 > /a/b/c/d; echo 2 > /a/e";
    const rm = async () => {
      if ((await ok("ps", "-aq", "--filter", "name=has")) === "")
        await ok("run", "--name", "has", "--network", "none", "-v", "/a", "under", "sh", "-c", filled);
    };
    await killedOnTheWay(["rm", "-v", "has"], rm, false);
    const volumeRm = async () => {
      if ((await ok("volume", "ls", "-q")) !== "full")
        await ok("run", "--rm", "--network", "none", "-v", "full:/a", "under", "sh", "-c", filled);
    };
    await killedOnTheWay(["volume", "rm", "full"], volumeRm, false);
  },
  240_000,
);

traced(
  "kill -9 before calls of system prune",
  async () => {
    await empty();
    await killedOnTheWay(
      ["system", "prune", "-a", "-f"],
      async () => {
        await empty();
        await ok("load", "-i", archive);
        await ok("run", "--name", "box", "--network", "none", "layered", "sh", "-c", "mkdir /x; echo y > /x/y");
      },
      false,
    );
  },
  300_000,
);

/** Milliseconds; CTR_RACES makes it that many times as long. */
const RACE_MS = 4000 * Number(process.env["CTR_RACES"] ?? 1);

test(
  "loads, pulls and runs come to their end beside removals of everything",
  async () => {
    const registry = await startRegistry();
    const [name, copy] = ["layered", `${registry.host}/layered:1`];
    await ok("load", "-q", "-i", archive);
    await ok("tag", name, copy);
    await ok("push", "-q", copy);
    const end = Date.now() + RACE_MS;
    const counts = new Map<string, number>();
    const repeat = async (words: readonly string[], mayFailWith: RegExp = /^$/) => {
      for (let count = 0; Date.now() < end; count++) {
        const { status, stderr } = await engine.ctr(...words);
        expect(`${words.join(" ")}: ${status === 0 || mayFailWith.test(stderr) ? "done" : stderr}`).toBe(
          `${words.join(" ")}: done`,
        );
        counts.set(words[0] ?? "", count + 1);
      }
    };
    await Promise.all([
      repeat(["image", "prune", "-af"]),
      repeat(["load", "-q", "-i", archive]),
      repeat(["pull", "-q", copy]),
      repeat(["run", "--rm", "--network", "none", copy, "true"]),
      repeat(["rmi", "-f", copy]),
      repeat(["save", "-o", `${engine.scratch}/raced.tar`, copy], /No such image|was removed by another command/),
    ]);
    expect([...counts.keys()].sort()).toEqual(["image", "load", "pull", "rmi", "run", "save"]);
    await ok("image", "prune", "-af");
    expect(storeProblems(engine.root)).toEqual([]);
    expect([layers(), blobs()]).toEqual([0, 0]);
  },
  60_000 + RACE_MS,
);

test("the database is whole after all this", async () => {
  await empty();
  await ok("system", "prune", "-a", "-f", "--volumes");
  expect(storeProblems(engine.root)).toEqual([]);
  using db = new Database(`${engine.root}/ctr.db`);
  for (const table of ["image", "layer", "tag", "image_layer", "image_blob", "container", "repo_digest"])
    expect([table, db.query(`SELECT count(*) AS n FROM ${table}`).get()]).toEqual([table, { n: 0 }]);
  rmSync(`${engine.scratch}/layered.tar`);
});
