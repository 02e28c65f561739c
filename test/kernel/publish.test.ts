/** Published ports: who reaches what, from where. netd alone, with namespaces instead of containers. */
import { expect } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { CtrError } from "../../internal/errors/error.ts";
import { testHome } from "../lib/home.ts";
import { requirePrivateHost } from "../lib/host.ts";
import { attach, call, host, makeNeighbour, makeSandbox, serve, startNetd } from "../lib/sandbox.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

requirePrivateHost();
// Without it bridged frames do not pass the packet filter, and nothing may depend on their doing so.
if (existsSync("/proc/sys/net/bridge")) writeFileSync("/proc/sys/net/bridge/bridge-nf-call-iptables", "0");
const home = testHome("publish");
const { client } = await startNetd({ root: `${home}/root`, state: `${home}/state` });
const neighbour = await makeNeighbour();
const web = await makeSandbox();
const other = await makeSandbox();
const endpoint = await attach(client, web, {
  containerId: "web",
  ports: [
    { containerPort: 80, protocol: "tcp", hostPort: 18080 },
    { containerPort: 81, protocol: "tcp", hostPort: 18081, hostIp: "127.0.0.1" },
    { containerPort: 82, protocol: "tcp", hostPort: 18082, hostIp: "10.99.0.1" },
    { containerPort: 53, protocol: "udp", hostPort: 18053 },
    { containerPort: 80, protocol: "tcp" },
  ],
});
const { address } = endpoint.interface;
const { gateway } = endpoint;
const random = endpoint.ports[4]?.hostPort ?? 0;
await attach(client, other, { containerId: "other" });
await Promise.all([
  serve(web.pid, "tcp", 80, "http"),
  serve(web.pid, "tcp", 81, "local"),
  serve(web.pid, "tcp", 82, "bound"),
  serve(web.pid, "tcp", 83, "unpublished"),
  serve(web.pid, "udp", 53, "dns"),
]);

async function failure(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => "no failure",
    (error: unknown) => (error instanceof CtrError ? `${error.kind}: ${error.message}` : String(error)),
  );
}

test("publish: reachable from this host by 127.0.0.1 and by the host's own addresses", async () => {
  // The loopback caller is seen as the gateway: no container could answer 127.0.0.1.
  expect(await call(undefined, "tcp", "127.0.0.1", 18080)).toBe(`http ${gateway}`);
  expect(await call(undefined, "tcp", neighbour.hostAddress, 18080)).toStartWith("http ");
  expect(await call(undefined, "tcp", gateway, 18080)).toStartWith("http ");
});

test("publish: reachable from another host, which the container sees as it is", async () => {
  expect(await call(neighbour.pid, "tcp", neighbour.hostAddress, 18080)).toBe(`http ${neighbour.address}`);
});

test("publish: reachable from another container and from the container itself (hairpin)", async () => {
  expect(await call(other.pid, "tcp", neighbour.hostAddress, 18080)).toStartWith("http ");
  expect(await call(web.pid, "tcp", neighbour.hostAddress, 18080)).toStartWith("http ");
  expect(await call(other.pid, "tcp", gateway, 18080)).toBe(`http ${gateway}`);
  expect(await call(web.pid, "tcp", gateway, 18080)).toBe(`http ${gateway}`);
});

test("publish: UDP from this host, from another host, from a container", async () => {
  expect(await call(undefined, "udp", "127.0.0.1", 18053)).toBe(`dns ${gateway}`);
  expect(await call(neighbour.pid, "udp", neighbour.hostAddress, 18053)).toBe(`dns ${neighbour.address}`);
  expect(await call(other.pid, "udp", gateway, 18053)).toStartWith("dns ");
  expect(await call(web.pid, "udp", gateway, 18053)).toStartWith("dns ");
});

test("publish: a port without a host port gets a free one of the ephemeral range", async () => {
  const [first = 0, last = 0] = host("cat", "/proc/sys/net/ipv4/ip_local_port_range").trim().split(/\s+/).map(Number);
  expect(random).toBeWithin(first, last + 1);
  expect(await call(neighbour.pid, "tcp", neighbour.hostAddress, random)).toStartWith("http ");
});

test("publish on 127.0.0.1: this host only, even for a neighbour that sends to 127.0.0.1 or to the container", async () => {
  expect(await call(undefined, "tcp", "127.0.0.1", 18081)).toStartWith("local ");
  expect(await call(neighbour.pid, "tcp", neighbour.hostAddress, 18081)).toBe("refused");
  expect(await call(neighbour.pid, "tcp", address, 81)).toBe("timeout");
  // The attack of a host on the same wire: a route to 127.0.0.1 through us.
  const inside = (...words: string[]) => host("nsenter", "--net", "-t", String(neighbour.pid), "--", ...words);
  inside("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet");
  inside("ip", "route", "add", "127.0.0.1/32", "via", neighbour.hostAddress, "table", "99");
  inside("ip", "rule", "add", "pref", "1", "to", "127.0.0.1/32", "table", "99");
  inside("ip", "rule", "add", "pref", "2", "table", "local");
  inside("ip", "rule", "delete", "pref", "0");
  host("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet");
  try {
    expect(await call(neighbour.pid, "tcp", "127.0.0.1", 18081)).not.toStartWith("local");
  } finally {
    host("sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/all/route_localnet");
  }
});

test("publish on one address: reachable by that one only", async () => {
  expect(await call(neighbour.pid, "tcp", "10.99.0.1", 18082)).toBe(`bound ${neighbour.address}`);
  expect(await call(undefined, "tcp", "127.0.0.1", 18082)).toBe("refused");
});

test("unpublished ports: reachable on the bridge, not from outside", async () => {
  expect(await call(other.pid, "tcp", address, 83)).toStartWith("unpublished ");
  expect(await call(undefined, "tcp", address, 83)).toStartWith("unpublished ");
  expect(await call(neighbour.pid, "tcp", address, 83)).toBe("timeout");
  expect(await call(neighbour.pid, "tcp", address, 80)).toBe("timeout");
});

test("a container reaches other hosts by the host's address, and not the host's loopback", async () => {
  await serve(neighbour.pid, "tcp", 9000, "neighbour");
  expect(await call(other.pid, "tcp", neighbour.address, 9000)).toBe(`neighbour ${neighbour.hostAddress}`);
  await serve(process.pid, "tcp", 9001, "loopback");
  host(
    "nsenter",
    "--net",
    "-t",
    String(other.pid),
    "--",
    "sh",
    "-c",
    "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet",
  );
  const inside = (...words: string[]) => host("nsenter", "--net", "-t", String(other.pid), "--", ...words);
  inside("ip", "route", "add", "127.0.0.2/32", "via", gateway, "table", "99");
  inside("ip", "rule", "add", "pref", "1", "to", "127.0.0.2/32", "table", "99");
  inside("ip", "rule", "add", "pref", "2", "table", "local");
  inside("ip", "rule", "delete", "pref", "0");
  expect(await call(other.pid, "tcp", "127.0.0.2", 9001)).not.toStartWith("loopback");
});

test("conflicts: a port of ours, a port of another program, an address that is not here", async () => {
  const sandbox = await makeSandbox();
  const publish = (hostPort: number, hostIp = "0.0.0.0") =>
    failure(
      client.attach({
        containerId: "late",
        name: "late",
        sandbox: { pid: sandbox.pid },
        network: "bridge",
        ports: [{ containerPort: 80, protocol: "tcp", hostIp, hostPort }],
      }),
    );
  expect(await publish(18080)).toBe("conflict: Bind for 0.0.0.0:18080 failed: port is already allocated");
  using taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  expect(await publish(taken.port)).toBe(`conflict: listen tcp4 0.0.0.0:${taken.port}: bind: address already in use`);
  expect(await publish(18099, "192.0.2.1")).toEndWith(
    "listen tcp4 192.0.2.1:18099: bind: cannot assign requested address",
  );
  expect(await publish(18099, "localhost")).toBe("invalid: invalid IP address: localhost");
  expect(await client.endpoints("late")).toEqual([]);
  expect(() => Bun.listen({ hostname: "0.0.0.0", port: 18080, socket: { data() {} } })).toThrow();
  await sandbox.end();
});

test("a range of host ports: the first free one", async () => {
  const sandbox = await makeSandbox();
  const late = await attach(client, sandbox, {
    containerId: "range",
    ports: [{ containerPort: 80, protocol: "tcp", hostPort: 18080, hostPortLast: 18090 }],
  });
  expect(late.ports[0]?.hostPort).toBe(18083);
  await client.detach("range");
  await sandbox.end();
});

test("UDP: a client that keeps sending is led to the container that has the port now", async () => {
  const socket = await Bun.udpSocket({ socket: { data: (_socket, data) => void answers.push(data.toString()) } });
  const answers: string[] = [];
  const answered = async (text: string) =>
    await waitFor(text, () => {
      socket.send("hello", 18054, "127.0.0.1");
      return answers.some((answer) => answer.startsWith(text));
    });
  for (const name of ["one", "two"]) {
    const sandbox = await makeSandbox();
    // Another address each time, or the flow would happen to be right.
    const spacer = await makeSandbox();
    await attach(client, spacer, { containerId: `${name}-spacer` });
    await attach(client, sandbox, {
      containerId: name,
      ports: [{ containerPort: 53, protocol: "udp", hostPort: 18054 }],
    });
    await serve(sandbox.pid, "udp", 53, name);
    await answered(name);
    await client.detach(name);
  }
  socket.close();
});

test("detach: the port is free again, its rules are gone, the others stay", async () => {
  const sandbox = await makeSandbox();
  await attach(client, sandbox, {
    containerId: "brief",
    ports: [{ containerPort: 80, protocol: "tcp", hostPort: 18070 }],
  });
  expect(host("iptables-save")).toContain("--dport 18070");
  await client.detach("brief");
  expect(host("iptables-save")).not.toContain("18070");
  expect(host("iptables-save")).toContain("--dport 18080");
  using mine = Bun.listen({ hostname: "0.0.0.0", port: 18070, socket: { data() {} } });
  expect(mine.port).toBe(18070);
  await sandbox.end();
});
