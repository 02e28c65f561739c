/** What a container could do to its engine, or to a neighbour, through its network: nothing. */
import { expect } from "bun:test";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { test } from "../lib/test.ts";
import { fetchFrom, PAGE, startWeb } from "../lib/web.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
await engine.ok("network", "create", "ours");
await engine.ok("network", "create", "theirs");
await engine.ok("network", "create", "more");

test("a hosts file that a container made 100 GB long: connect and disconnect work, and read none of it", async () => {
  await engine.ok("run", "-d", "--name", "huge", "--network", "ours", image, "sleep", "60");
  await engine.ok("exec", "huge", "truncate", "-s", "100G", "/etc/hosts");
  await engine.ok("network", "connect", "more", "huge");
  expect(await engine.ok("exec", "huge", "ip", "-4", "addr", "show", "eth1")).toContain("inet ");
  await engine.ok("network", "disconnect", "more", "huge");
  expect(await engine.ok("exec", "huge", "stat", "-c", "%s", "/etc/hosts")).toBe(String(100 * 2 ** 30));
  await engine.ok("rm", "-f", "huge");
});

test("links in place of hosts, resolv.conf and hostname, in the image and made inside, lead nowhere outside", async () => {
  const canary = `${engine.scratch}/canary`;
  writeFileSync(canary, "untouched\n");
  const names = ["hosts", "resolv.conf", "hostname"];
  const replace = names.map((name) => `umount /etc/${name}; ln -sf ${canary} /etc/${name}`).join("; ");
  await engine.ok("run", "--name", "links", "--privileged", image, "sh", "-c", replace);
  await engine.ok("commit", "links", "linked");
  for (const flags of [["--privileged"], []]) {
    await engine.ok("run", "-d", "--name", "liar", ...flags, "--network", "ours", "linked", "sleep", "60");
    if (flags.length > 0) await engine.ok("exec", "liar", "sh", "-c", replace);
    await engine.ok("network", "connect", "more", "liar");
    await engine.ok("network", "disconnect", "more", "liar");
    await engine.ok("restart", "-t", "0", "liar");
    await engine.ok("rm", "-f", "liar");
  }
  expect(readFileSync(canary, "utf8")).toBe("untouched\n");
  expect(statSync(canary).nlink).toBe(1);
  await engine.ok("rm", "links");
});

test("names with odd characters are refused before anything is made", async () => {
  const odd = ["a b", "a\nb", "a/b", "-a", "a;b", "..", "a\t1.2.3.4", "ä", "a'b"];
  for (const name of odd) {
    const run = (...flags: string[]) => engine.fails(125, "run", "--rm", ...flags, image, "true");
    expect(await run("--network", "ours", "--network-alias", name)).toContain("invalid network alias");
    expect(await run("--network", name)).not.toBe("");
    expect(await run("--name", name)).toContain("Invalid container name");
    expect(await engine.fails(1, "network", "create", `--opt=com.docker.network.bridge.name=${name}`, "odd")).toContain(
      "is no name of a link",
    );
  }
  expect(await engine.fails(1, "network", "create", "a\nb")).toContain("invalid network name");
  expect(await engine.ok("network", "ls", "--format", "{{.Name}}")).not.toContain("odd");
  expect(await engine.ok("ps", "-aq")).toBe("");
});

test("a container reaches neither netd nor the name server of another, whose names it is not told", async () => {
  await startWeb(engine, "secret", "--network", "theirs");
  await engine.ok("run", "-d", "--name", "curious", "--network", "ours", image, "sleep", "60");
  await engine.ok("run", "-d", "--name", "near", "--network", "host", image, "sleep", "60");
  const ask = async (from: string, name: string, ...server: string[]) =>
    (await engine.ctr("exec", from, "timeout", "2", "nslookup", name, ...server)).stdout;
  const format = '{{(index .NetworkSettings.Networks "theirs").IPAddress}}';
  const address = await engine.ok("inspect", "-f", format, "secret");
  expect(await ask("secret", "secret")).toContain(address);
  const told = ["secret", "secret.theirs", address].map(async (name) => {
    const answers = [await ask("curious", name), await ask("curious", name, address)];
    for (const answer of answers) expect(answer).not.toMatch(name === address ? /secret/ : /^Address: [0-9.]+$/m);
  });
  await Promise.all(told);
  // Where netd's sockets listen in secret's namespace is loopback there.
  const sockets = await engine.ok("exec", "secret", "cat", "/proc/net/udp");
  const ports = [...sockets.matchAll(/: 0B00007F:([0-9A-F]{4}) /g)].map(([, port]) => Number.parseInt(port ?? "", 16));
  expect(ports.length).toBeGreaterThan(0);
  const pid = await engine.ok("inspect", "-f", "{{.State.Pid}}", "curious");
  for (const port of ports) {
    const query = ["dig", "+time=1", "+tries=1", "+short", "-p", String(port), `@${address}`, "secret"];
    const answer = Bun.spawnSync(["nsenter", "--net", "-t", pid, "--", ...query]).stdout.toString();
    expect(answer.split("\n")).not.toContain(address);
  }
  // netd's socket is a file of the host, and its namespace is not its container's.
  const path = `${engine.state}/netd.sock`;
  expect(existsSync(path)).toBe(true);
  for (const from of ["curious", "near"]) {
    const found = await engine.ctr("exec", from, "ls", path, `/proc/1/root${path}`);
    expect(found.stdout).toBe("");
  }
  expect(await fetchFrom(engine, "secret", "127.0.0.1")).toBe(PAGE);
  await engine.ok("rm", "-f", "secret", "curious", "near");
});

test("the end", async () => {
  await engine.ok("network", "rm", "ours", "theirs", "more");
  await engine.ok("rmi", "linked");
  await engine.expectNothingLeft();
});
