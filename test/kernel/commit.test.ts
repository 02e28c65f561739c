/** `ctr commit`: a container's changes become an image. */
import { describe, expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { isDocker, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { tree } from "../lib/tree.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const { scratch } = engine;

/** Runs a tool that must succeed; its standard output. */
function tool(...command: readonly string[]): string {
  const ran = Bun.spawnSync([...command]);
  if (ran.exitCode !== 0) throw new Error(`${command.join(" ")}: ${ran.stderr.toString()}`);
  return ran.stdout.toString();
}

/** A container that ran this script and ended; its id. */
async function changed(script: string, from = image, ...flags: readonly string[]): Promise<string> {
  const id = await engine.ok("create", "--network", "none", ...flags, from, "sh", "-ec", script);
  await engine.ok("start", "-a", id);
  return id;
}

const inside = (from: string, script: string) =>
  engine.ok("run", "--rm", "--network", "none", from, "sh", "-ec", script);

/** The saved image's layers, topmost last, as paths of their tars. */
async function layersOf(name: string): Promise<readonly string[]> {
  const directory = `${scratch}/saved-${crypto.randomUUID()}`;
  mkdirSync(directory);
  await engine.ok("save", "-o", `${directory}.tar`, name);
  tool("tar", "-xf", `${directory}.tar`, "-C", directory);
  const [manifest] = JSON.parse(readFileSync(`${directory}/manifest.json`, "utf8"));
  return manifest.Layers.map((layer: string) => `${directory}/${layer}`);
}

/** Names in the topmost layer. */
async function topLayer(name: string): Promise<readonly string[]> {
  const layers = await layersOf(name);
  return tool("tar", "-tf", layers.at(-1) ?? "")
    .trim()
    .split("\n");
}

describe("what is committed", () => {
  test("commit: a container run from the image has the changes, and nothing else changed", async () => {
    const script = `
      echo new > /new; rm /etc/motd; rm -r /home; mkdir /home; echo other > /home/file
      echo linked > /a; ln /a /b; ln -s a /c; mkfifo /d; mknod /e c 1 5
      chown 12:34 /new; chmod 4711 /new; touch -d @1234567890 /new
      mkdir -p /dir/sub; echo x > /dir/sub/x; touch -d @1000000000 /dir/sub; touch -d @1100000000 /dir`;
    const container = await changed(script);
    const id = await engine.ok("commit", container, "changed:1");
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    const seen = await inside(
      "changed:1",
      `cat /new; ls /etc/motd 2>/dev/null || echo gone; ls /home; cat /b; readlink /c
       [ $(stat -c %i /a) = $(stat -c %i /b) ] && echo one file
       stat -c '%F %a %u:%g %Y' /new /d /dir /dir/sub; stat -c '%F %t,%T' /e`,
    );
    expect(seen.split("\n")).toEqual([
      "new",
      "gone",
      "file",
      "linked",
      "a",
      "one file",
      "regular file 4711 12:34 1234567890",
      `fifo 644 0:0 ${seen.split("\n")[7]?.split(" ").at(-1)}`,
      "directory 755 0:0 1100000000",
      "directory 755 0:0 1000000000",
      "character special file 1,5",
    ]);
    await engine.ok("rm", container);
    await engine.ok("rmi", "changed:1");
  });

  test("commit: what the engine put into the container is not in the layer", async () => {
    const container = await changed("echo x > /only");
    await engine.ok("commit", container, "only");
    expect(await topLayer("only")).toEqual(["only"]);
    await engine.ok("rm", container);
    await engine.ok("rmi", "only");
  });

  test("commit: /.dockerenv, /etc/mtab are seen inside and never in the layer; what was mounted on is there, empty", async () => {
    const script = `
      [ -f /.dockerenv ] && stat -c '%a %s' /.dockerenv; readlink /etc/mtab
      mount | grep -q ' /far/away/volume ' && [ -f /far/file ] && touch /only`;
    const mounts = ["-v", "/far/away/volume", "-v", "/etc/hostname:/far/file:ro", "--tmpfs", "/scratch"];
    const id = await engine.ok("create", "--network", "none", ...mounts, image, "sh", "-ec", script);
    expect(await engine.ok("start", "-a", id)).toBe("755 0\n/proc/mounts");
    await engine.ok("commit", id, "places");
    const places = ["far", "far/away", "far/away/volume", "far/file", "only", "scratch"];
    expect((await topLayer("places")).map((name) => name.replace(/\/$/, "")).sort()).toEqual(places);
    expect(await inside("places", "find /far /scratch -type f -size 0; find /far /scratch -type f ! -size 0")).toBe(
      "/far/file",
    );
    await engine.ok("rm", "-v", id);
    await engine.ok("rmi", "places");
  });

  test.if(needs("ctr"))("commit: removing what the engine put there is no change of the image", async () => {
    const container = await changed("rm /.dockerenv /etc/mtab; echo x > /only");
    await engine.ok("commit", container, "removed");
    const names = await topLayer("removed");
    expect(names.filter((name) => name.includes(".wh."))).toEqual([]);
    expect(names).toContain("only");
    expect(await inside("removed", "readlink /etc/mtab")).toBe("/proc/mounts");
    await engine.ok("rm", container);
    await engine.ok("rmi", "removed");
  });

  test("commit: a container that changed nothing gives an empty layer", async () => {
    const container = await changed("true");
    await engine.ok("commit", container, "same");
    expect(tool("tar", "-tf", (await layersOf("same")).at(-1) ?? "")).toBe("");
    expect(await inside("same", "cat /etc/motd")).toBe("hello from the image");
    await engine.ok("rm", container);
    await engine.ok("rmi", "same");
  });

  test("commit: volumes and tmpfs are left out", async () => {
    const container = await changed(
      "echo v > /volume/x; echo t > /scratch/x",
      image,
      "-v",
      "/volume",
      "--tmpfs",
      "/scratch",
    );
    await engine.ok("commit", container, "volumes");
    const names = await topLayer("volumes");
    expect(names.filter((name) => name.endsWith("x"))).toEqual([]);
    await engine.ok("rm", "-v", container);
    await engine.ok("rmi", "volumes");
  });

  test.if(needs("umoci", "ctr"))("commit twice: umoci unpacks the same tree as the container saw", async () => {
    const first = await changed("echo 1 > /one; mkdir /d; echo a > /d/a; echo b > /d/b; rm /etc/motd");
    await engine.ok("commit", first, "twice:1");
    const second = await changed(
      "echo 2 > /one; rm -r /d; mkdir /d; echo c > /d/c; echo back > /etc/motd; chmod 700 /",
      "twice:1",
    );
    await engine.ok("commit", second, "twice:2");
    const archive = `${scratch}/twice.tar`;
    const layout = `${scratch}/twice`;
    await engine.ok("save", "-o", archive, "twice:2");
    mkdirSync(layout);
    tool("tar", "-xf", archive, "-C", layout);
    tool("umoci", "unpack", "--image", `${layout}:2`, `${layout}-bundle`);
    // The same layers as overlayfs shows them.
    const lower = JSON.parse(await engine.ok("inspect", "twice:2"))[0].GraphDriver.Data;
    const merged = `${scratch}/merged`;
    mkdirSync(merged);
    tool("mount", "-t", "overlay", "-o", `lowerdir=${lower.UpperDir}:${lower.LowerDir}`, "overlay", merged);
    try {
      expect(tree(merged)).toEqual(tree(`${layout}-bundle/rootfs`));
      expect(readdirSync(`${merged}/d`)).toEqual(["c"]);
    } finally {
      tool("umount", merged);
    }
    await engine.ok("rm", first, second);
    await engine.ok("rmi", "twice:2", "twice:1");
  });
});

describe("configuration", () => {
  test("commit: the container's configuration with the changes over it; author and message are kept", async () => {
    const container = await changed("true", image, "-e", "A=1", "-w", "/tmp", "-l", "x=y");
    const changes = [
      "-c",
      "ENV B=$A",
      "-c",
      'CMD ["cat", "/etc/motd"]',
      "-c",
      "USER alice",
      "-a",
      "me",
      "-m",
      "by hand",
    ];
    await engine.ok("commit", ...changes, container, "configured");
    const [inspected] = JSON.parse(await engine.ok("inspect", "configured"));
    expect(inspected.Config.Env).toContain("A=1");
    expect(inspected.Config.Env).toContain("B=1");
    expect(inspected.Config.Cmd).toEqual(["cat", "/etc/motd"]);
    expect([inspected.Config.User, inspected.Config.WorkingDir]).toEqual(["alice", "/tmp"]);
    expect(inspected.Config.Labels).toEqual({ x: "y" });
    expect([inspected.Author, inspected.Comment]).toEqual(["me", "by hand"]);
    expect(await engine.ok("run", "--rm", "--network", "none", "configured")).toBe("hello from the image");
    await engine.ok("rm", container);
    await engine.ok("rmi", "configured");
  });

  test("commit: a bad name or change, and a missing container, are refused and leave nothing", async () => {
    const container = await changed("true");
    const count = async () => (await engine.ok("images", "-aq")).split("\n").length;
    const before = await count();
    expect(await engine.fails(1, "commit", container, "Upper")).toContain("repository name must be lowercase");
    expect(await engine.fails(1, "commit", "-c", "RUN x", container)).toContain("RUN is not a valid change command");
    expect(await engine.fails(1, "commit", "nosuch")).toContain("No such container: nosuch");
    expect(await count()).toBe(before);
    await engine.ok("rm", container);
  });
});

describe("a running container", () => {
  test("commit: it is frozen meanwhile, and goes on afterwards", async () => {
    const id = await engine.ok(
      "run",
      "-d",
      "--network",
      "none",
      image,
      "sh",
      "-c",
      "echo x > /made; while :; do sleep 0.05; echo y >> /log; done",
    );
    await waitFor("the first lines", async () => (await engine.ctr("exec", id, "test", "-s", "/log")).status === 0);
    await engine.ok("commit", id, "running");
    expect(await engine.ok("inspect", "-f", "{{.State.Status}}", id)).toBe("running");
    const size = async () => Number(await engine.ok("exec", id, "stat", "-c", "%s", "/log"));
    const then = await size();
    await waitFor("it to go on writing", async () => (await size()) > then);
    expect(await inside("running", "cat /made")).toBe("x");
    await engine.ok("commit", "--pause=false", id, "running");
    await engine.ok("rm", "-f", id);
    await engine.ok("rmi", "running");
  });

  test("commit: a paused one stays paused", async () => {
    const id = await engine.ok("run", "-d", "--network", "none", image, "sleep", "100");
    await engine.ok("pause", id);
    await engine.ok("commit", id, "paused");
    expect(await engine.ok("inspect", "-f", "{{.State.Status}}", id)).toBe("paused");
    await engine.ok("rm", "-f", id);
    await engine.ok("rmi", "paused");
  });

  test.if(needs("ctr"))("commit: the image may be gone, the container's layers are still there", async () => {
    await engine.ok("import", `${await archiveOf("base")}`, "base");
    const container = await changed("echo x > /x", "base");
    await engine.ok("rmi", "-f", "base");
    await engine.ok("commit", container, "from-gone");
    expect(await inside("from-gone", "cat /x")).toBe("x");
    await engine.ok("rm", container);
    await engine.ok("rmi", "from-gone");
    expect(isDocker()).toBe(false);
  });
});

/** The minimal root file system with one more file: an image nothing else shares a layer with. */
async function archiveOf(name: string): Promise<string> {
  const directory = `${scratch}/${name}`;
  const [layer = ""] = await layersOf(image);
  mkdirSync(directory);
  tool("tar", "-xf", layer, "-C", directory);
  writeFileSync(`${directory}/name`, name);
  tool("tar", "-C", directory, "--numeric-owner", "-cf", `${directory}.tar`, ".");
  return `${directory}.tar`;
}
