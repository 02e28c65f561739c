/** `ctr diff`: Docker's lines for Docker's changes. Passes on Docker too, whose lines come in no order. */
import { expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { isDocker } from "../lib/needs.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const image = await engine.image("minimal");

async function diff(id: string): Promise<string> {
  const lines = (await engine.ok("diff", id)).split("\n");
  return (isDocker() ? lines.sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1)) : lines).join("\n");
}

const rows: readonly (readonly [string, string, string])[] = [
  ["nothing", "true", ""],
  ["a new file", "echo a > /new", "A /new"],
  ["new directories", "mkdir -p /nd/a/b; echo c > /nd/a/b/c", "A /nd\nA /nd/a\nA /nd/a/b\nA /nd/a/b/c"],
  ["a file removed", "rm /etc/motd", "C /etc\nD /etc/motd"],
  ["a file written to", "echo x >> /etc/motd", "C /etc\nC /etc/motd"],
  ["a file renamed", "mv /etc/motd /etc/renamed", "C /etc\nD /etc/motd\nA /etc/renamed"],
  ["a directory's mode", "chmod 700 /home", "C /home"],
  ["a directory's owner", "chown 1:1 /root", "C /root"],
  ["a directory's time alone", "touch /etc; touch -d @0 /tmp", ""],
  ["a file's mode set to what it was", "chmod 0644 /etc/motd", ""],
  ["a file's time", "touch /etc/motd", "C /etc\nC /etc/motd"],
  ["a directory replaced by a file", "rm -rf /var; echo f > /var", "C /var"],
  ["a directory removed", "rmdir /run", "D /run"],
  ["a tree removed", "rm -rf /home", "D /home"],
  ["a directory made anew", "rm -rf /home; mkdir -p /home/alice; touch /home/x", "C /home\nC /home/alice\nA /home/x"],
  ["links, pipes and devices", "ln -s x /l; mkfifo /p; mknod /n c 1 3", "A /l\nA /n\nA /p"],
  ["a hard link", "ln /etc/motd /linked", "A /linked"],
  ["made and removed again", "touch /gone; rm /gone; mkdir /gone2; rmdir /gone2", ""],
  ["what the engine put there", "rm /.dockerenv /etc/mtab", "D /.dockerenv\nC /etc\nD /etc/mtab"],
  ["in /proc, /dev and /sys", "echo > /dev/x; mkdir /dev/y", ""],
];

test("diff: A, C and D as Docker has them, of stopped containers", async () => {
  for (const [what, script, expected] of rows) {
    const id = await engine.ok("create", "--network", "none", image, "sh", "-c", script);
    await engine.ok("start", "-a", id);
    expect([what, await diff(id)]).toEqual([what, expected]);
    await engine.ok("rm", id);
  }
}, 90_000);

test("diff: a directory emptied and made anew tells each name that is gone", async () => {
  const id = await engine.ok("create", "--network", "none", image, "sh", "-c", "rm -rf /usr; mkdir /usr; touch /usr/x");
  await engine.ok("start", "-a", id);
  expect(await diff(id)).toBe("C /usr\nD /usr/bin\nA /usr/x");
  await engine.ok("rm", id);
});

test("diff: of a running container, of one that never ran, and of none", async () => {
  const id = await engine.ok("run", "-d", "--network", "none", image, "sh", "-c", "touch /a; exec probe pause");
  await engine.ok("exec", id, "touch", "/b");
  expect(await diff(id)).toBe("A /a\nA /b");
  await engine.ok("rm", "-f", id);
  const created = await engine.ok("create", image, "true");
  expect(await diff(created)).toBe("");
  await engine.ok("rm", created);
  expect(await engine.fails(1, "diff", "nosuch")).toContain("No such container: nosuch");
});

test("diff: places made to mount on are seen, what is in the mounts is not", async () => {
  const flags = ["-v", "/volume", "-v", `${engine.scratch}:/x/y`, "--tmpfs", "/ram", "-w", "/work/dir"];
  const id = await engine.ok("create", "--network", "none", ...flags, image, "touch", "/volume/f", "/ram/f");
  await engine.ok("start", "-a", id);
  expect(await diff(id)).toBe("A /ram\nA /volume\nA /work\nA /work/dir\nA /x\nA /x/y");
  await engine.ok("rm", "-v", id);
});

test("diff: a copy into a container is a change like any other", async () => {
  const id = await engine.ok("create", "--network", "none", image, "true");
  await Bun.write(`${engine.scratch}/copied`, "x\n");
  await engine.ok("cp", `${engine.scratch}/copied`, `${id}:/etc/motd`);
  await engine.ok("cp", `${engine.scratch}/copied`, `${id}:/copied`);
  expect(await diff(id)).toBe("A /copied\nC /etc\nC /etc/motd");
  await engine.ok("rm", id);
});
