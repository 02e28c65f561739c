/** `rename`: Docker's rules, and who hears of it. */
import { Database } from "bun:sqlite";
import { expect } from "bun:test";
import { readdirSync, readlinkSync, symlinkSync, unlinkSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { isDocker } from "../lib/needs.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const QUIET = ["--network", "none"] as const;

const nameOf = (container: string) => engine.ok("inspect", "-f", "{{.Name}}", container);

test("a running container is renamed: ps, inspect and the old name know, hostname and id stay", async () => {
  const id = await engine.ok("run", "-d", ...QUIET, "--name", "old", image, "sleep", "100");
  expect(await engine.ok("rename", "old", "new")).toBe("");
  expect(await nameOf("new")).toBe("/new");
  expect(await engine.ok("ps", "--format", "{{.Names}}")).toBe("new");
  expect(await engine.fails(1, "inspect", "old")).toContain("No such object: old");
  expect(await engine.ok("exec", "new", "hostname")).toBe(id.slice(0, 12));
  // Its supervisor says the new name too, and the old one is free.
  await engine.ok("pause", "new");
  expect(await engine.fails(1, "exec", "new", "true")).toContain("Container new is paused");
  await engine.ok("create", ...QUIET, "--name", "old", image, "true");
  await engine.ok("rm", "-f", "old", "new");
});

test("netd knows the new name of who is in its network", async () => {
  if (isDocker()) return;
  const id = await engine.ok("run", "-d", "--name", "linked", image, "sleep", "100");
  await engine.ok("rename", "linked", "relinked");
  using netd = new Database(`${engine.root}/netd.db`, { readonly: true });
  const names = netd.query<{ name: string }, [string]>("SELECT name FROM endpoint WHERE container_id = ?").all(id);
  expect(names).toEqual([{ name: "relinked" }]);
  await engine.ok("rm", "-f", "relinked");
});

test("a stopped one too, by a part of its id, and with Docker's slash", async () => {
  const id = await engine.ok("create", ...QUIET, "--name", "idle", image, "true");
  await engine.ok("rename", id.slice(0, 10), "/slashed");
  expect(await nameOf(id)).toBe("/slashed");
  await engine.ok("start", "slashed");
  await engine.ok("wait", "slashed");
  expect(await nameOf(id)).toBe("/slashed");
  await engine.ok("rm", "slashed");
});

test("names that are taken, bad, empty or its own are refused, and nothing changes", async () => {
  const id = await engine.ok("create", ...QUIET, "--name", "first", image, "true");
  await engine.ok("create", ...QUIET, "--name", "second", image, "true");
  expect(await engine.fails(1, "rename", "second", "first")).toContain(
    `Error when allocating new name: Conflict. The container name "/first" is already in use by container "${id}". ` +
      "You have to remove (or rename) that container to be able to reuse that name.",
  );
  expect(await engine.fails(1, "rename", "second", "a b")).toContain(
    "Error when allocating new name: Invalid container name (/a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
  );
  expect(await engine.fails(1, "rename", "second", "")).toContain("Neither old nor new names may be empty");
  expect(await engine.fails(1, "rename", "second", "second")).toContain(
    "Renaming a container with the same name as its current name",
  );
  expect(await engine.fails(1, "rename", "nosuch", "other")).toContain("No such container: nosuch");
  expect(await engine.fails(1, "rename", "second")).toContain("requires 2 arguments");
  expect(await nameOf("second")).toBe("/second");
  await engine.ok("rm", "first", "second");
});

test("exec finds a container by what it is called now, whatever a link says that was left behind", async () => {
  if (isDocker()) return;
  const names = `${engine.state}/names`;
  const id = await engine.ok("run", "-d", ...QUIET, "--name", "one", image, "sleep", "100");
  const other = await engine.ok("run", "-d", ...QUIET, "--name", "other", image, "sleep", "100");
  const host = (name: string) => engine.ok("exec", name, "hostname");
  expect(readlinkSync(`${names}/one`)).toBe(id);
  for (const word of ["one", id.slice(0, 12), id, id.slice(0, 7)]) expect(await host(word)).toBe(id.slice(0, 12));
  // Names that change hands, and links that lie.
  await engine.ok("rename", "one", "was-one");
  await engine.ok("rename", "other", "one");
  expect(await host("one")).toBe(other.slice(0, 12));
  unlinkSync(`${names}/one`);
  symlinkSync(id, `${names}/one`);
  expect(await host("one")).toBe(other.slice(0, 12));
  const echoed = await engine.ctrWith({ stdin: "input\n" }, "exec", "-i", "one", "cat");
  expect(echoed).toMatchObject({ stdout: "input\n", status: 0 });
  symlinkSync(id, `${names}/nosuch`);
  expect(await engine.fails(1, "exec", "nosuch", "true")).toContain("No such container: nosuch");
  unlinkSync(`${names}/nosuch`);
  unlinkSync(`${names}/one`);
  symlinkSync("f".repeat(64), `${names}/one`);
  expect(await host("one")).toBe(other.slice(0, 12));
  await engine.ok("pause", "was-one");
  expect(await engine.fails(1, "exec", "was-one", "true")).toContain("Container was-one is paused");
  await engine.ok("rm", "-f", "one", "was-one");
  unlinkSync(`${names}/one`);
  expect(readdirSync(names)).toEqual([]);
});
