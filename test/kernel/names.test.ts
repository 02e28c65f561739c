/** Containers that find each other by name: `ctr run` on networks that users made. */
import { expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { dig, fakeServer, values } from "../lib/dns.ts";
import { tempEngine } from "../lib/engine.ts";
import { isDocker, needs } from "../lib/needs.ts";
import { host } from "../lib/sandbox.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("debian");

/** Whom a container on the default bridge asks is not there to answer. */
const HASTY = ["--dns-option", "timeout:1", "--dns-option", "attempts:1"];

async function start(name: string, ...flags: readonly string[]): Promise<string> {
  await engine.ok("run", "-d", "--name", name, ...flags, image, "sleep", "infinity");
  return await engine.ok("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", name);
}

/** `getent hosts` in a container: its words, or "" when the name is not known. */
async function getent(container: string, name: string): Promise<string> {
  const { stdout } = await engine.ctr("exec", container, "getent", "ahostsv4", name);
  return stdout.split("\n")[0]?.split(/\s+/)[0] ?? "";
}

const pidOf = async (container: string): Promise<number> =>
  Number(await engine.ok("inspect", "-f", "{{.State.Pid}}", container));

test("names: containers of a network find each other by name, alias and short id, and come and go at once", async () => {
  await engine.ok("network", "create", "backend");
  const web = (await start("web", "--network", "backend")).trim();
  const db = (await start("db", "--network", "backend", "--network-alias", "postgres")).trim();
  expect(await getent("web", "db")).toBe(db);
  expect(await getent("web", "db.backend")).toBe(db);
  expect(await getent("web", "postgres")).toBe(db);
  expect(await getent("db", "web")).toBe(web);
  const id = await engine.ok("inspect", "-f", "{{.Id}}", "db");
  expect(await getent("web", id.slice(0, 12))).toBe(db);
  expect(await engine.ok("exec", "web", "getent", "hosts", db)).toContain("db.backend");
  expect(await engine.ok("exec", "web", "cat", "/etc/resolv.conf")).toMatch(
    /^nameserver 127\.0\.0\.11\noptions.*ndots:0/m,
  );

  await engine.ok("rename", "db", "store");
  expect(await getent("web", "store")).toBe(db);
  await engine.ok("rm", "-f", "store");
  expect(await getent("web", "store")).toBe("");
  const again = (await start("db", "--network", "backend")).trim();
  expect(await getent("web", "db")).toBe(again);
  await engine.ok("rm", "-f", "web", "db");
});

test("names: a network connected to a container that runs brings names, and disconnected takes them", async () => {
  await engine.ok("network", "create", "late");
  const other = (await start("other", "--network", "late")).trim();
  await start("guest", ...HASTY);
  expect(await getent("guest", "other")).toBe("");
  await engine.ok("network", "connect", "--alias", "visitor", "late", "guest");
  expect(await getent("guest", "other")).toBe(other);
  expect(await getent("other", "visitor")).not.toBe("");
  await engine.ok("network", "disconnect", "late", "guest");
  expect(await getent("guest", "other")).toBe("");
  expect(await getent("other", "visitor")).toBe("");
  expect(await engine.ok("exec", "guest", "cat", "/etc/resolv.conf")).not.toContain("127.0.0.11");
  await engine.ok("rm", "-f", "guest", "other");
});

test("names: on the default bridge there are none", async () => {
  await start("one", ...HASTY);
  await start("two", ...HASTY);
  expect(await getent("one", "two")).toBe("");
  await engine.ok("rm", "-f", "one", "two");
});

test.if(needs("ctr", "dig"))(
  "names: netd killed: the names are back with the next one, for living containers",
  async () => {
    await engine.ok("network", "create", "kept");
    const web = (await start("web", "--network", "kept")).trim();
    await start("db", "--network", "kept");
    process.kill(engine.netd() ?? 0, "SIGKILL");
    await engine.ok("network", "ls");
    expect(await waitFor("an answer", async () => (await getent("db", "web")) || undefined)).toBe(web);
    expect(values(await dig(await pidOf("db"), "+tcp", "web"))).toEqual([web]);
    await engine.ok("restart", "-t", "0", "db");
    expect(values(await dig(await pidOf("db"), "web"))).toEqual([web]);
    await engine.ok("rm", "-f", "web", "db");
  },
);

test.if(needs("ctr", "dig"))("names: other names come from the host's servers, or from those of --dns", async () => {
  // A file of the test's own in this mount namespace: below it is the machine's, which a pretend host shares.
  const resolvConf = `${engine.scratch}/resolv.conf`;
  writeFileSync(resolvConf, "nameserver 127.0.0.53\n");
  host("mount", "--bind", resolvConf, "/etc/resolv.conf");
  using _mount = { [Symbol.dispose]: () => void host("umount", "/etc/resolv.conf") };
  using _host = await fakeServer("127.0.0.53", "192.0.2.1");
  await engine.ok("network", "create", "--internal", "closed");
  await engine.ok("network", "create", "open");
  await start("asker", "--network", "open");
  await start("inner", "--network", "closed");
  expect(values(await dig(await pidOf("asker"), "example.org"))).toEqual(["192.0.2.1"]);
  expect((await dig(await pidOf("inner"), "example.org")).code).toBe("SERVFAIL");
  expect(values(await dig(await pidOf("inner"), "inner"))).toHaveLength(1);
  // Nobody else wakes netd while it waits for a server that says nothing.
  const asked = performance.now();
  expect((await dig(await pidOf("asker"), "silent.example.org")).code).toBe("SERVFAIL");
  expect(performance.now() - asked).toBeLessThan(5_000);
  const gateway = await engine.ok("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "open");
  using own = await fakeServer(gateway, "192.0.2.77");
  await start("special", "--network", "open", "--dns", gateway);
  expect(values(await dig(await pidOf("special"), "example.org"))).toEqual(["192.0.2.77"]);
  expect(own.received).toHaveLength(1);
  await engine.ok("rm", "-f", "asker", "inner", "special");
});

test.if(!isDocker())("names: 12 containers started at once all find each other", async () => {
  await engine.ok("network", "create", "crowd");
  const names = Array.from({ length: 12 }, (_, index) => `n${index}`);
  await Promise.all(names.map((name) => start(name, "--network", "crowd", "--network-alias", "all")));
  const pid = await pidOf("n0");
  expect(new Set(values(await dig(pid, "all"))).size).toBe(12);
  const found = await Promise.all(names.map((name) => getent("n7", name)));
  expect(new Set(found).size).toBe(12);
  expect(found).not.toContain("");
  await engine.ok("rm", "-f", ...names);
});

test.if(needs("ctr", "dig"))("names: netd with containers to answer for sleeps, and stays small", async () => {
  await engine.ok("network", "create", "quiet");
  for (const name of ["web", "db"]) await start(name, "--network", "quiet");
  const pid = await pidOf("web");
  for (let round = 0; round < 5; round++) expect(values(await dig(pid, "db"))).toHaveLength(1);
  expect(values(await dig(pid, "+tcp", "db"))).toHaveLength(1);
  const netd = engine.netd();
  const switches = () =>
    /^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/${netd}/task/${netd}/status`, "utf8"))?.[1];
  let before = switches();
  await waitFor(
    "netd to fall asleep",
    async () => {
      before = switches();
      // Longer than the pauses between the steps in which it gives memory back (internal/sys/idle.ts).
      await Bun.sleep(3000);
      return switches() === before;
    },
    20_000,
  );
  await Bun.sleep(2500);
  expect(switches()).toBe(before);
  const anonymous = /Anonymous:\s+(\d+) kB/.exec(readFileSync(`/proc/${netd}/smaps_rollup`, "utf8"))?.[1];
  expect(Number(anonymous)).toBeLessThan(20_000);
  // And wakes up for the first question.
  const asked = performance.now();
  expect(values(await dig(pid, "db"))).toHaveLength(1);
  expect(performance.now() - asked).toBeLessThan(1_000);
  await engine.ok("rm", "-f", "web", "db");
});
