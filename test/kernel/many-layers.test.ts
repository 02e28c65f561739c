/** Images of 200 layers: run, changed, committed, saved and loaded again; on the mount API and on mount(2) alone. */
import { expect } from "bun:test";
import { mkdirSync } from "node:fs";
import { mountOverlayByString } from "../../internal/rootfs/overlay-mount.ts";
import { imageArchive, tempEngine } from "../lib/engine.ts";
import { layeredArchive } from "../lib/layered-image.ts";
import { needs } from "../lib/needs.ts";
import { test as kernelTest } from "../lib/test.ts";
import { tree } from "../lib/tree.ts";

const test = kernelTest.if(needs("ctr"));
const engine = tempEngine();
const LAYERS = 200;

/** Each layer has a file of its own, takes away the one before the last, and writes over a common one. */
const content = Array.from({ length: LAYERS - 1 }, (_, index) => ({
  files: { [`many/${index}`]: `layer ${index}\n`, "many/last": `${index}\n` },
  removed: index > 1 ? [`many/${index - 2}`] : [],
}));
const last = LAYERS - 2;
const archive = layeredArchive(engine.scratch, "many", imageArchive("minimal"), content);
await engine.ok("load", "-i", archive);

/** The directories of an image's layers, topmost first. */
async function lowerOf(image: string): Promise<readonly string[]> {
  const data = JSON.parse(await engine.ok("image", "inspect", "-f", "{{json .GraphDriver.Data}}", image));
  return [data.UpperDir, ...data.LowerDir.split(":")];
}

const run = (image: string, ...words: readonly string[]) =>
  engine.ok("run", "--rm", "--network", "none", image, ...words);

test("an image of 200 layers runs, and every layer has its say", async () => {
  expect((await lowerOf("many")).length).toBe(LAYERS);
  expect(await run("many", "sh", "-c", "ls /many | sort; cat /many/last")).toBe(
    [`${last - 1}`, `${last}`, "last", `${last}`].join("\n"),
  );
  expect(await run("many", "cat", `/many/${last - 1}`)).toBe(`layer ${last - 1}`);
});

test("a limit on open files does not limit the layers", async () => {
  expect(
    await engine.ok("run", "--rm", "--network", "none", "--ulimit", "nofile=32", "many", "sh", "-c", "ulimit -n"),
  ).toBe("32");
});

test("what a container of it changed is committed, saved, removed, loaded and run", async () => {
  await engine.ok(
    "run",
    "--name",
    "changed",
    "--network",
    "none",
    "many",
    "sh",
    "-c",
    `echo new > /many/new; rm /many/${last}`,
  );
  expect(await engine.ok("diff", "changed")).toBe(`C /many\nD /many/${last}\nA /many/new`);
  await engine.ok("cp", `changed:/many/${last - 1}`, `${engine.scratch}/copied`);
  expect(await Bun.file(`${engine.scratch}/copied`).text()).toBe(`layer ${last - 1}\n`);
  const id = await engine.ok("commit", "changed", "more");
  expect((await lowerOf("more")).length).toBe(LAYERS + 1);
  const seen = ["sh", "-c", "ls /many | sort; cat /many/new"];
  const expected = [`${last - 1}`, "last", "new", "new"].join("\n");
  expect(await run("more", ...seen)).toBe(expected);
  const saved = `${engine.scratch}/more.tar`;
  await engine.ok("save", "-o", saved, "more");
  await engine.ok("rm", "changed");
  await engine.ok("rmi", "more");
  await engine.ok("load", "-i", saved);
  expect(await engine.ok("image", "inspect", "-f", "{{.Id}}", "more")).toBe(id);
  expect(await run("more", ...seen)).toBe(expected);
  await engine.ok("rmi", "more");
});

test("mount(2) alone mounts the same tree: by names where they fit into the page, by descriptors where not", async () => {
  const lower = await lowerOf("many");
  const mountpoint = (name: string) => {
    for (const part of ["", "/upper", "/work", "/at"]) mkdirSync(`${engine.scratch}/${name}${part}`);
    return `${engine.scratch}/${name}`;
  };
  const mounted = (name: string, layers: readonly string[]) => {
    const home = mountpoint(name);
    const cwd = process.cwd();
    mountOverlayByString(`${home}/at`, [
      `lowerdir=${layers.join(":")}`,
      `upperdir=${home}/upper`,
      `workdir=${home}/work`,
    ]).close();
    expect(process.cwd()).toBe(cwd);
    try {
      return tree(`${home}/at`).filter((line) => !line.startsWith(". "));
    } finally {
      Bun.spawnSync(["umount", `${home}/at`]);
    }
  };
  const whole = mounted("whole", lower);
  expect(whole.filter((line) => /^many\//.test(line)).map((line) => line.split(" ")[0])).toEqual([
    `many/${last - 1}`,
    `many/${last}`,
    "many/last",
  ]);
  // A few layers fit: the two lowest.
  const few = mounted("few", lower.slice(-2));
  expect(few.filter((line) => !line.startsWith("many"))).toEqual(whole.filter((line) => !line.startsWith("many")));
  expect(few.some((line) => line.startsWith("many/0 "))).toBe(true);
  // What separates options is no obstacle.
  const odd = `${engine.scratch}/a,b:c\\d`;
  mkdirSync(odd);
  await Bun.write(`${odd}/file`, "odd");
  const escaped = odd.replace(/[\\:]/g, (character) => `\\${character}`);
  expect(mounted("odd", [escaped, lower.at(-1) ?? ""]).some((line) => line.startsWith("file "))).toBe(true);
});

test("nothing is left", async () => {
  await engine.ok("rmi", "many");
  await engine.expectNothingLeft();
});
