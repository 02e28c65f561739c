/**
 * What every storage driver keeps: layers and containers behave the same, whatever they lie on. `snapshotter.test.ts`
 * runs it for each driver.
 */
import { expect } from "bun:test";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { imageArchive, type TestEngine } from "../lib/engine.ts";
import { layeredArchive } from "../lib/layered-image.ts";
import { storeProblems } from "../lib/store-shape.ts";
import { test } from "../lib/test.ts";
import { tree } from "../lib/tree.ts";

export interface Contract {
  /** `vfs on ext4`. */
  readonly title: string;
  /** Names it. */
  readonly driver: "overlay" | "vfs" | "btrfs";
  readonly engine: TestEngine;
  /** A directory on the file system where the driver is tried. */
  readonly place: string;
}

/** Registers the suite; returns what runs commands in the driver's store. */
export function snapshotterContract({ title, driver, engine, place }: Contract): void {
  const root = `${place}/root`;
  const slug = title.replaceAll(" ", "-");
  const env = { CTR_ROOT: root };
  const ctr = (...words: readonly string[]) => engine.ctrWith({ env, timeoutMs: 60_000 }, ...words);
  const ok = async (...words: readonly string[]) => {
    const { stdout, stderr, status } = await ctr(...words);
    if (status !== 0) throw new Error(`${words.join(" ")}: status ${status}: ${stderr}`);
    return stdout.replace(/\n$/, "");
  };
  const shown = driver === "overlay" ? "overlay2" : driver;
  const archive = () =>
    layeredArchive(engine.scratch, `layers-${slug}`, imageArchive("minimal"), [
      { files: { "a/one": "1\n", "a/two": "2\n", "b/gone/deep": "x", "c/file": "c" } },
      { files: { "a/three": "3\n", "c/file/now-a-directory": "d" }, removed: ["a/one", "b/gone", "c/file"] },
    ]);
  const name = `layers-${slug}`;
  const run = (...words: readonly string[]) => ok("run", "--network", "none", ...words);

  test(`${title}: is recorded with the first image, and told`, async () => {
    await ok("--storage-driver", driver, "load", "-i", archive());
    expect(await ok("info", "-f", "{{.Driver}}")).toBe(shown);
    expect(await ok("image", "inspect", "-f", "{{.GraphDriver.Name}}", name)).toBe(shown);
  });

  test(`${title}: layers add, replace and remove`, async () => {
    const listing = await run("--rm", name, "sh", "-c", "cd /; find a b c | sort; cat a/two a/three");
    expect(listing.split("\n")).toEqual([
      ...["a", "a/three", "a/two", "b", "c", "c/file", "c/file/now-a-directory"],
      ...["2", "3"],
    ]);
  });

  test(`${title}: a container has what it wrote, and nobody else does`, async () => {
    await run("--name", "writer", name, "sh", "-c", "echo new > /new; rm /a/two; echo more >> /a/three");
    expect(await ok("inspect", "-f", "{{.GraphDriver.Name}} {{.Driver}}", "writer")).toBe(`${shown} ${shown}`);
    expect(await run("--rm", name, "sh", "-c", "ls /new /a 2>&1; cat /a/three")).toMatch(
      /No such file or directory\n\/a:\nthree\ntwo\n3$/,
    );
    expect(await ok("ps", "-as", "--format", "{{.Size}}")).toStartWith("11B (virtual ");
    await ok("start", "-a", "writer");
    expect(await ok("ps", "-as", "--format", "{{.Size}}")).toStartWith("16B (virtual ");
    expect(await ok("diff", "writer")).toBe(["C /a", "C /a/three", "D /a/two", "A /new"].join("\n"));
  });

  test(`${title}: commit has the changes and nothing else`, async () => {
    await ok("commit", "writer", "committed");
    const seen = await run("--rm", "committed", "sh", "-c", "ls -A / | tr '\\n' ' '; cat /new /a/three; ls /a");
    expect(seen).toEndWith("new\n3\nmore\nmore\nthree");
    const saved = `${engine.scratch}/committed-${slug}.tar`;
    await ok("save", "-o", saved, "committed");
    // The topmost layer as any tar reads it.
    const work = `${engine.scratch}/committed-${slug}`;
    mkdirSync(work);
    expect(Bun.spawnSync(["tar", "-xf", saved, "-C", work]).exitCode).toBe(0);
    const [manifest] = JSON.parse(await Bun.file(`${work}/manifest.json`).text());
    const listed = Bun.spawnSync(["tar", "-tf", `${work}/${manifest.Layers.at(-1)}`]);
    expect(listed.stdout.toString().trim().split("\n").sort()).toEqual(["a/", "a/.wh.two", "a/three", "new"]);
    await ok("rm", "writer");
    await ok("rmi", "committed");
    await ok("load", "-i", saved);
    expect(await run("--rm", "committed", "cat", "/new")).toBe("new");
  });

  test(`${title}: what is told of a file survives: owners, modes, times, links, devices, attributes`, async () => {
    const make =
      "mkdir /kinds; cd /kinds; echo x > file; ln file link; ln -s file symlink; mkfifo fifo; mknod dev c 1 3; " +
      "chmod 6711 file; chown 5:6 file; chown -h 7:8 symlink; mkdir dir; chmod 1777 dir; touch -d @1234567890 dir file";
    await run("--name", "kinds", name, "sh", "-c", make);
    await ok("commit", "kinds", "kinds");
    // How many links a directory has is the file system's own affair.
    const stat =
      "cd /kinds; for f in *; do stat -c '%n %F %f %u:%g %h %t:%T' $f; done | sed '/^dir/s/ [12] / - /'; stat -c %Y dir file; cat link";
    const wanted = [
      "dev character special file 21a4 0:0 1 1:3",
      "dir directory 43ff 0:0 - 0:0",
      "fifo fifo 11a4 0:0 1 0:0",
      "file regular file 81c9 5:6 2 0:0",
      "link regular file 81c9 5:6 2 0:0",
      "symlink symbolic link a1ff 7:8 1 0:0",
      ...["1234567890", "1234567890", "x"],
    ];
    expect((await run("--rm", "kinds", "sh", "-c", stat)).split("\n")).toEqual(wanted);
    await run("--name", "more", "kinds", "sh", "-c", "chmod 600 /kinds/file; ln /kinds/fifo /kinds/other");
    await ok("commit", "more", "more");
    const again = await run("--rm", "more", "sh", "-c", "cd /kinds; stat -c '%n %a %h' file link fifo other");
    // overlayfs copies up one name of a file, which parts it from the others.
    const names = driver === "overlay" ? ["file 600 1", "link 711 2"] : ["file 600 2", "link 600 2"];
    expect(again.split("\n")).toEqual([...names, "fifo 644 2", "other 644 2"]);
    await ok("rm", "kinds", "more");
    await ok("rmi", "more", "kinds");
  });

  test(`${title}: export, cp and a read-only root file system`, async () => {
    await run("--name", "out", name, "sh", "-c", "rm /a/two; echo y > /a/y");
    const exported = `${engine.scratch}/export-${slug}.tar`;
    await ok("export", "-o", exported, "out");
    const listed = Bun.spawnSync(["tar", "-tf", exported, "--wildcards", "a/*"]).stdout.toString().trim().split("\n");
    expect(listed.filter((path) => !path.endsWith("/")).sort()).toEqual(["a/three", "a/y"]);
    const readOnly = await ctr("run", "--rm", "--network", "none", "--read-only", name, "touch", "/x");
    expect(readOnly.stderr).toContain("Read-only file system");
    await ok("rm", "out");
  });

  test(`${title}: cp into a container that never ran, and out of it`, async () => {
    await ok("create", "--network", "none", "--name", "copied", name, "cat", "/a/copied");
    await Bun.write(`${engine.scratch}/copied`, "from outside");
    await ok("cp", `${engine.scratch}/copied`, "copied:/a/copied");
    expect(await ok("start", "-a", "copied")).toBe("from outside");
    await ok("cp", "copied:/a/three", `${engine.scratch}/three-${slug}`);
    expect(await Bun.file(`${engine.scratch}/three-${slug}`).text()).toBe("3\n");
    expect(await ok("diff", "copied")).toBe("C /a\nA /a/copied");
    await ok("rm", "copied");
  });

  test(`${title}: several commands that want a new container's files at once all find them`, async () => {
    await ok("create", "--network", "none", "--name", "wanted", name, "sh", "-c", "echo z > /z");
    const looks = [
      ["diff", "wanted"],
      ["export", "-o", `${engine.scratch}/wanted-${slug}`, "wanted"],
      ["start", "-a", "wanted"],
    ];
    for (const result of await Promise.all([...looks, ...looks.slice(0, 2)].map((words) => ctr(...words))))
      expect([result.status, result.stderr]).toEqual([0, ""]);
    expect(await ok("diff", "wanted")).toBe("A /z");
    await ok("rm", "wanted");
  });

  test(`${title}: another driver is refused while there is anything`, async () => {
    const other = driver === "vfs" ? "overlay" : "vfs";
    for (const words of [["images"], ["run", "--rm", name, "true"], ["import", imageArchive("minimal"), "x"]]) {
      const { stderr, status } = await ctr("--storage-driver", other, ...words);
      expect([words[0], status !== 0]).toEqual([words[0], true]);
      expect(stderr).toMatch(/storage driver (vfs|overlay2): .* has images or containers of \w+: remove them/);
    }
    const { stderr, status } = await engine.ctrWith({ env: { ...env, CTR_STORAGE_DRIVER: "zfs" } }, "images");
    expect([status, stderr]).toEqual([1, 'ctr: unknown storage driver "zfs": there are overlay, vfs and btrfs\n']);
  });

  test(`${title}: df agrees with what is there, and prune leaves nothing`, async () => {
    await run("--name", "sized", name, "sh", "-c", "head -c 300000 /dev/urandom > /big");
    const lines = (await ok("system", "df", "--format", "{{.Type}} {{.Size}}")).split("\n");
    expect(lines[1]).toBe("Containers 300kB");
    expect(storeProblems(root)).toEqual([]);
    await ok("system", "prune", "-a", "-f", "--volumes");
    for (const directory of ["layers", "containers", "ingest", "content/blobs/sha256"])
      expect([directory, readdirSync(`${root}/${directory}`)]).toEqual([directory, []]);
    expect(storeProblems(root)).toEqual([]);
  });

  test(`${title}: kill -9 of a start and of a load leaves nothing`, async () => {
    await ok("import", imageArchive("minimal"), "small");
    for (let delayMs = 5; delayMs <= 65; delayMs += 20) {
      const child = Bun.spawn(
        [process.env["CTR_BIN"] ?? `${import.meta.dir}/../../dist/ctr`, "run", "--network", "none", "small", "true"],
        {
          env: { ...process.env, ...engine.env, ...env },
          stdio: ["ignore", "ignore", "ignore"],
        },
      );
      await Bun.sleep(delayMs); // the moment is what is tried here
      child.kill("SIGKILL");
      await child.exited;
    }
    const ids = (await ok("ps", "-aq")).split("\n").filter((id) => id !== "");
    if (ids.length > 0) await ok("rm", "-f", ...ids);
    expect(readdirSync(`${root}/containers`)).toEqual([]);
    expect(await run("--rm", "small", "cat", "/etc/motd")).toBe("hello from the image");
    await ok("rmi", "small");
    expect(readdirSync(`${root}/layers`)).toEqual([]);
  });

  test(`${title}: an empty store may take another driver`, async () => {
    await ok("--storage-driver", "vfs", "images");
    expect(await ok("info", "-f", "{{.Driver}}")).toBe("vfs");
    expect(existsSync(`${root}/ctr.db`)).toBe(true);
    expect(tree(`${root}/layers`).length).toBe(1);
  });
}
