/** The networks of `ctr run`, seen from inside containers and from the host. */
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { kernelFile, links, processes, rules } from "../lib/host.ts";
import { isNetd } from "../lib/leaks.ts";
import { isDocker, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";
import { startWeb } from "../lib/web.ts";

const engine = tempEngine();
const image = await engine.image("minimal");

/** Runs a program in a container and gives its output. */
const inside = (flags: readonly string[], ...program: readonly string[]) =>
  engine.ok("run", "--rm", ...flags, image, ...program);

/** GET, from this host. */
async function get(url: string): Promise<string> {
  return await (await fetch(url, { signal: AbortSignal.timeout(2000), keepalive: false })).text();
}

test("bridge: eth0 with an address, the default route by the gateway, loopback", async () => {
  expect(await inside([], "ip", "-4", "addr", "show", "eth0")).toMatch(/inet 172\.\d+\.0\.\d+\/16/);
  expect(await inside([], "ip", "route")).toMatch(/default via 172\.\d+\.0\.1 dev eth0/);
  expect(await inside([], "ip", "addr", "show", "lo")).toContain("127.0.0.1/8");
});

test("bridge: the container's name in /etc/hosts leads to its own address", async () => {
  const output = await inside(["-h", "box"], "sh", "-c", "ip -4 addr show eth0; cat /etc/hosts");
  const [, address] = /inet ([0-9.]+)\//.exec(output) ?? [];
  expect(output).toContain(`${address}\tbox`);
});

test("none: loopback only", async () => {
  expect(await inside(["--network", "none"], "ls", "/sys/class/net")).toBe("lo");
});

test("host: the host's own links", async () => {
  const shown = (await inside(["--network", "host"], "cat", "/proc/net/dev")).split("\n").slice(2);
  const names = shown.map((line) => line.split(":")[0]?.trim() ?? "");
  expect(names.toSorted()).toEqual(
    links()
      .filter((name) => names.includes(name))
      .toSorted(),
  );
  expect(names).toContain("lo");
});

test("container: shares another container's namespace", async () => {
  await startWeb(engine, "donor");
  const donor = await engine.ok("exec", "donor", "readlink", "/proc/self/ns/net");
  expect(await inside(["--network", "container:donor"], "readlink", "/proc/self/ns/net")).toBe(donor);
  expect(await inside(["--network", "container:donor"], "wget", "-q", "-O", "-", "http://127.0.0.1/")).toBe("hello");
  await engine.ok("rm", "-f", "donor");
});

test("containers reach each other by address", async () => {
  await startWeb(engine, "web");
  const address = await engine.ok("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "web");
  expect(await inside([], "wget", "-q", "-O", "-", `http://${address}/`)).toBe("hello");
  await engine.ok("rm", "-f", "web");
});

test.if(needs("iptables"))("-p: from the host, by port, and again after a restart", async () => {
  await startWeb(engine, "published", "-p", "127.0.0.1:0:80", "-p", "18085:80");
  expect(await get("http://127.0.0.1:18085/")).toBe("hello\n");
  const shown = await engine.ok("port", "published", "80");
  expect(shown).toContain("0.0.0.0:18085");
  const [, random] = /127\.0\.0\.1:(\d+)/.exec(shown) ?? [];
  expect(await get(`http://127.0.0.1:${random}/`)).toBe("hello\n");
  await engine.ok("restart", "-t", "0", "published");
  expect(await waitFor("the server", () => get("http://127.0.0.1:18085/").catch(() => undefined))).toBe("hello\n");
  await engine.ok("rm", "-f", "published");
  expect(rules().filter((rule) => rule.includes("18085"))).toEqual([]);
});

test("-p: a taken port is 125 with the reason, and nothing is left of the try", async () => {
  await startWeb(engine, "first", "-p", "18086:80");
  const stderr = await engine.fails(125, "run", "--rm", "-p", "18086:80", image, "true");
  expect(stderr).toContain("Bind for 0.0.0.0:18086 failed: port is already allocated");
  using taken = Bun.listen({ hostname: "0.0.0.0", port: 0, socket: { data() {} } });
  expect(await engine.fails(125, "run", "--rm", "-p", `${taken.port}:80`, image, "true")).toContain(
    "bind: address already in use",
  );
  expect(await get("http://127.0.0.1:18086/")).toBe("hello\n");
  await engine.ok("rm", "-f", "first");
});

test.if(needs("ctr"))("netd killed: the container is reached, and the next command works and cleans up", async () => {
  await startWeb(engine, "kept", "-p", "18087:80");
  const netd = engine.netd();
  expect(netd).toBeDefined();
  process.kill(netd ?? 0, "SIGKILL");
  expect(await get("http://127.0.0.1:18087/")).toBe("hello\n");
  expect(await inside([], "true")).toBe("");
  expect(engine.netd()).not.toBe(netd);
  await engine.ok("rm", "-f", "kept");
  await engine.expectNothingLeft();
});

test.if(needs("ctr"))(
  "netd killed and needed by several at once: one is started, and all get their network",
  async () => {
    const running = () => processes().filter((found) => isNetd(found) && found.state !== "Z");
    expect(running()).toHaveLength(1);
    for (const { pid } of running()) process.kill(pid, "SIGKILL");
    await Promise.all(Array.from({ length: 5 }, () => inside([], "true")));
    expect(running()).toHaveLength(1);
  },
);

test.if(needs("ctr"))("a supervisor and its container killed: the endpoint is collected", async () => {
  await startWeb(engine, "victim", "-p", "18088:80");
  const pid = Number(await engine.ok("inspect", "-f", "{{.State.Pid}}", "victim"));
  const supervisor = Number(/PPid:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  process.kill(supervisor, "SIGKILL");
  process.kill(pid, "SIGKILL");
  await waitFor(
    "its end",
    () => kernelFile(`/proc/${pid}/stat`) === "" || kernelFile(`/proc/${pid}/stat`).includes(") Z"),
  );
  await waitFor("netd to notice", () => rules().every((rule) => !rule.includes("18088")));
  await engine.ok("rm", "-f", "victim");
  await engine.expectNothingLeft();
});

test.if(!isDocker())("many at once: each its own address", async () => {
  const outputs = await Promise.all(
    Array.from({ length: 6 }, () => inside([], "sh", "-c", "ip -4 addr show eth0; sleep 1")),
  );
  const addresses = outputs.map((output) => /inet ([0-9.]+)\//.exec(output)?.[1]);
  expect(new Set(addresses).size).toBe(6);
});
