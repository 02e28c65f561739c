/** Networks with IPv6, and SCTP: addresses, routes, who reaches whom, published ports. */
import { expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";
import { fetchFrom, startWeb } from "../lib/web.ts";

const engine = tempEngine();
const image = await engine.image("minimal");

const ip6tables = () => Bun.spawnSync(["ip6tables-save"]).stdout.toString();

test("--ipv6: addresses and routes of both kinds; containers reach each other, other networks do not", async () => {
  await engine.ok("network", "create", "--ipv6", "--subnet", "fd00:77::/64", "six");
  await engine.ok("network", "create", "--ipv6", "other");
  const other = JSON.parse(await engine.ok("network", "inspect", "other"))[0];
  expect(other).toMatchObject({ EnableIPv6: true });
  expect(other.IPAM.Config[1].Subnet).toMatch(/^fd[0-9a-f]{2}:.*::\/64$/);
  await startWeb(engine, "v1", "--network", "six", "-p", "18321:80");
  await startWeb(engine, "v2", "--network", "six", "--ip6", "fd00:77::99");
  await startWeb(engine, "v3", "--network", "other");
  expect(await engine.ok("exec", "v1", "ip", "-6", "addr", "show", "eth0")).toContain("fd00:77::2/64");
  expect(await engine.ok("exec", "v1", "ip", "-6", "route")).toContain("default via fd00:77::1 dev eth0");
  expect(await engine.ok("exec", "v2", "cat", "/etc/hosts")).toMatch(/^fd00:77::99\t/m);
  expect(await fetchFrom(engine, "v1", "[fd00:77::99]")).toBe("hello");
  expect(await fetchFrom(engine, "v3", "[fd00:77::99]")).toBe("");
  expect(await fetchFrom(engine, "v3", "[fd00:77::2]")).toBe("");
  const settings = '{{with index .NetworkSettings.Networks "six"}}{{.GlobalIPv6Address}} {{.IPv6Gateway}}{{end}}';
  expect(await engine.ok("inspect", "-f", settings, "v2")).toBe("fd00:77::99 fd00:77::1");
  // Published for both kinds: from this host by its address on the bridge, which is one of its own.
  expect((await engine.ok("port", "v1")).split("\n").sort()).toEqual([
    "80/tcp -> 0.0.0.0:18321",
    "80/tcp -> [::]:18321",
  ]);
  expect(await (await fetch("http://[fd00:77::1]:18321/")).text()).toBe("hello\n");
  expect(await fetchFrom(engine, "v3", "[fd00:77::1]:18321")).toBe("hello");
  expect(ip6tables()).toContain("--to-destination [fd00:77::2]:80");
  expect(await engine.ok("netd", "check")).toBe("");
  await engine.ok("rm", "-f", "v1", "v2", "v3");
  expect(ip6tables()).not.toContain("18321");
  await engine.ok("network", "rm", "six", "other");
});

const ECHO = `
import socket, sys
wire = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
wire.bind(("::", 53))
print("ready", flush=True)
while True:
    data, peer = wire.recvfrom(64)
    wire.sendto(sys.argv[1].encode(), peer)
`;

test("UDP over IPv6: a client that keeps sending is led to the container that has the port now", async () => {
  await engine.ok("network", "create", "--ipv6", "--subnet", "fd00:78::/64", "flows");
  const answers: string[] = [];
  const socket = await Bun.udpSocket({
    hostname: "::",
    socket: { data: (_socket, data) => void answers.push(data.toString()), error: () => {} },
  });
  for (const name of ["first", "second"]) {
    // Another address each time, or the flow would happen to be right.
    await engine.ok("run", "-d", "--name", `${name}-spacer`, "--network", "flows", image, "sleep", "60");
    await engine.ok("run", "-d", "--name", name, "--network", "flows", "-p", "18324:53/udp", image, "sleep", "60");
    const pid = await engine.ok("inspect", "-f", "{{.State.Pid}}", name);
    const server = Bun.spawn(["nsenter", "--net", "-t", pid, "--", "python3", "-c", ECHO, name], { stdout: "pipe" });
    const reader = server.stdout.getReader();
    await reader.read();
    await waitFor(name, () => {
      socket.send("hello", 18324, "fd00:78::1");
      return answers.includes(name);
    });
    server.kill("SIGKILL");
    await engine.ok("rm", "-f", name);
  }
  socket.close();
  await engine.ok("rm", "-f", "first-spacer", "second-spacer");
  await engine.ok("network", "rm", "flows");
});

test("a container on a network without IPv6 has no port of an IPv6 address", async () => {
  expect(await engine.fails(125, "run", "--rm", "-p", "[::1]:18322:80", image, "true")).toContain(
    "the container's network has no IPv6",
  );
});

test("-p of SCTP: its rule is there, and shown", async () => {
  await engine.ok("run", "-d", "--name", "sctp", "-p", "18323:80/sctp", image, "sleep", "60");
  expect(await engine.ok("port", "sctp")).toBe("80/sctp -> 0.0.0.0:18323");
  expect(Bun.spawnSync(["iptables-save", "-t", "nat"]).stdout.toString()).toMatch(/-p sctp .*--dport 18323 -j DNAT/);
  expect(await engine.fails(125, "run", "--rm", "-p", "18323:80/sctp", image, "true")).toContain(
    "port is already allocated",
  );
  await engine.ok("rm", "-f", "sctp");
});
