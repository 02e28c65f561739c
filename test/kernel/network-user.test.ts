/** Networks that users make: who reaches whom, addresses, the commands, containers that come and go. */
import { expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { links, rules } from "../lib/host.ts";
import { needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";
import { fetchFrom, startWeb } from "../lib/web.ts";

const engine = tempEngine();
const image = await engine.image("minimal");

const addressOf = (name: string, network: string) =>
  engine.ok("inspect", "-f", `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, name);

test("network create: the id, the next free subnet, a bridge named after the id; rm removes it", async () => {
  const id = await engine.ok("network", "create", "--label", "a=b", "one");
  expect(id).toMatch(/^[0-9a-f]{64}$/);
  const shown = JSON.parse(await engine.ok("network", "inspect", "one"))[0];
  expect(shown).toMatchObject({
    Name: "one",
    Id: id,
    Scope: "local",
    Driver: "bridge",
    EnableIPv6: false,
    Internal: false,
    Attachable: false,
    Containers: {},
    Options: {},
    Labels: { a: "b" },
  });
  expect(JSON.parse(await engine.ok("inspect", "--type", "network", "one"))).toEqual([shown]);
  expect(shown.IPAM.Config).toEqual([{ Subnet: "172.18.0.0/16", Gateway: "172.18.0.1" }]);
  expect(links()).toContain(`br-${id.slice(0, 12)}`);
  expect(await engine.fails(1, "network", "create", "one")).toContain("network with name one already exists");
  expect(await engine.ok("network", "rm", "one")).toBe("one");
  expect(links()).not.toContain(`br-${id.slice(0, 12)}`);
  expect(rules().filter((rule) => rule.includes("br-"))).toEqual([]);
});

test("network create: what cannot be is refused in Docker's words", async () => {
  await engine.ok("network", "create", "--subnet", "10.50.0.0/24", "base");
  const refused = async (...flags: readonly string[]) => await engine.fails(1, "network", "create", ...flags, "other");
  expect(await refused("--subnet", "10.50.0.128/25")).toContain("Pool overlaps with other one on this address space");
  for (const name of ["bridge", "host", "none", "default"])
    expect(await engine.fails(1, "network", "create", name)).toContain(
      `operation is not permitted on predefined ${name} network`,
    );
  expect(await refused("--gateway", "10.51.0.1")).toContain(
    "every ip-range or gateway must have a corresponding subnet",
  );
  expect(await refused("--subnet", "10.51.0.0/24", "--gateway", "10.52.0.1")).toContain(
    "no matching subnet for gateway 10.52.0.1",
  );
  expect(await refused("--subnet", "10.51.0.0/24", "--ip-range", "10.52.0.0/25")).toContain(
    "no matching subnet for range 10.52.0.0/25",
  );
  expect(await refused("-d", "host")).toContain('only one instance of "host" network is allowed');
  expect(await refused("-d", "nosuch")).toContain('plugin "nosuch" not found');
  expect(await engine.fails(1, "network", "rm", "bridge")).toContain("bridge is a pre-defined network");
  expect(await engine.fails(1, "network", "rm", "nosuch")).toContain("network nosuch not found");
  await engine.ok("network", "rm", "base");
  // An address of the subnet says which one, as in many a compose file.
  await engine.ok("network", "create", "--ipv6", "--subnet", "10.51.0.5/24", "--subnet", "fd51::7/64", "base");
  const config = await engine.ok("network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", "base");
  if (needs("ctr")) expect(config).toBe("10.51.0.0/24 fd51::/64 ");
  await engine.ok("network", "rm", "base");
  await engine.ok("network", "create", "--subnet", "fd51::/64", "base");
  expect(await engine.ok("network", "inspect", "-f", "{{.EnableIPv6}}", "base")).toBe("false");
  await engine.ok("network", "rm", "base");
});

test("names as in Docker: blanks, other languages, slashes; nothing unseen, and no blank at the ends", async () => {
  const names = ["a b", "netz ä", "web/front", "-x", ".x", "n".repeat(128)];
  const ids: string[] = [];
  for (const name of names) ids.push(await engine.ok("network", "create", "--", name));
  expect(await engine.ok("network", "inspect", "-f", "{{.Id}}", "--", ...names)).toBe(ids.join("\n"));
  await engine.ok("run", "-d", "--name", "odd", "--network", "a b", image, "sleep", "100");
  await engine.ok("network", "connect", "netz ä", "odd");
  const format = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}},{{end}}";
  expect(await engine.ok("inspect", "-f", format, "odd")).toBe("a b,netz ä,");
  const long = await engine.ok(
    "run",
    "--rm",
    "--network",
    "name=a b,alias=near",
    image,
    "nslookup",
    "odd",
    "127.0.0.11",
  );
  expect(long).toContain(await addressOf("odd", "a b"));
  expect(await engine.ok("ps", "-q", "--filter", "network=a b", "--no-trunc")).toHaveLength(64);
  await engine.ok("network", "disconnect", "a b", "odd");
  await engine.ok("rm", "-f", "odd");
  expect(await engine.ok("network", "rm", "--", ...names)).toBe(names.join("\n"));
  for (const name of ["", " ", " a", "a ", "a\tb", "a\nb", "a\u202eb", "\u00a0", "container:web", "n".repeat(129)]) {
    expect(await engine.fails(1, "network", "create", name)).toContain("invalid network name");
    expect(await engine.fails(1, "network", "rm", name)).toContain("not found");
    if (name !== "" && name !== "container:web")
      expect(await engine.fails(125, "run", "--rm", "--network", name, image, "true")).toContain("not found");
  }
});

test("inspect: a container that has ended keeps the ids of its networks, one that never ran has none", async () => {
  await engine.ok("network", "create", "mine");
  const ids = new Map<string, string>();
  for (const name of ["mine", "bridge", "host", "none"])
    ids.set(name, await engine.ok("network", "inspect", "-f", "{{.Id}}", name));
  const idOf = (container: string, network: string) =>
    engine.ok("inspect", "-f", `{{(index .NetworkSettings.Networks "${network}").NetworkID}}`, container);
  for (const [network, id] of ids) {
    await engine.ok("run", "--name", "over", "--network", network, image, "true");
    expect(await idOf("over", network)).toBe(id);
    await engine.ok("rm", "over");
    await engine.ok("create", "--name", "idle", "--network", network, image, "true");
    expect(await idOf("idle", network)).toBe("");
    await engine.ok("rm", "idle");
  }
  await engine.ok("network", "rm", "mine");
});

test("network ls: table, quiet, formats and filters", async () => {
  await engine.ok("network", "create", "--label", "tier=front", "front");
  const table = await engine.ok("network", "ls");
  expect(table.split("\n")[0]).toMatch(/^NETWORK ID +NAME +DRIVER +SCOPE$/);
  const names = async (...flags: readonly string[]) =>
    (await engine.ok("network", "ls", "--format", "{{.Name}} {{.Driver}}", ...flags)).split("\n");
  expect(await names()).toEqual(["bridge bridge", "front bridge", "host host", "none null"]);
  expect(await names("-f", "type=custom")).toEqual(["front bridge"]);
  expect(await names("-f", "label=tier=front")).toEqual(["front bridge"]);
  expect(await names("-f", "driver=null")).toEqual(["none null"]);
  expect(await names("-f", "dangling=true")).toEqual(["front bridge"]);
  expect(await engine.fails(1, "network", "ls", "-f", "color=red")).toContain("invalid filter 'color'");
  expect(await engine.fails(1, "network", "ls", "-f", "type=odd")).toContain("invalid filter: 'type'='odd'");
  expect(JSON.parse(await engine.ok("network", "ls", "--format", "json", "-f", "name=front"))).toMatchObject({
    Name: "front",
    Driver: "bridge",
    IPv6: "false",
    Internal: "false",
    Labels: "tier=front",
  });
  expect(await engine.ok("network", "prune", "-f")).toBe("Deleted Networks:\nfront\n");
});

test("containers of a network reach each other, those of others do not, a published port everybody", async () => {
  await engine.ok("network", "create", "left");
  await engine.ok("network", "create", "right");
  await startWeb(engine, "na", "--network", "left", "-p", "18311:80");
  await startWeb(engine, "nb", "--network", "left");
  await startWeb(engine, "nc", "--network", "right");
  await startWeb(engine, "nd");
  const [a, b, c, d] = [
    await addressOf("na", "left"),
    await addressOf("nb", "left"),
    await addressOf("nc", "right"),
    await addressOf("nd", "bridge"),
  ];
  expect(await fetchFrom(engine, "nb", a)).toBe("hello");
  expect(await fetchFrom(engine, "na", b)).toBe("hello");
  for (const [from, to] of [
    ["na", c],
    ["nc", a],
    ["na", d],
    ["nd", a],
    ["nc", d],
    ["nd", c],
  ] as const)
    expect({ from, to, answer: await fetchFrom(engine, from, to) }).toEqual({ from, to, answer: "" });
  const gateway = await engine.ok("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "right");
  expect(await fetchFrom(engine, "nc", `${gateway}:18311`)).toBe("hello");
  expect(await (await fetch("http://127.0.0.1:18311/")).text()).toBe("hello\n");
  expect(await engine.fails(1, "network", "rm", "left")).toContain("network left has active endpoints");
  const shown = JSON.parse(await engine.ok("network", "inspect", "left"))[0].Containers;
  const byName = (x: { Name: string }, y: { Name: string }) => (x.Name < y.Name ? -1 : 1);
  expect(Object.values<{ Name: string }>(shown).sort(byName)).toEqual([
    expect.objectContaining({ Name: "na", IPv4Address: `${a}/16`, IPv6Address: "" }),
    expect.objectContaining({ Name: "nb", IPv4Address: `${b}/16` }),
  ]);
  await engine.ok("rm", "-f", "na", "nb", "nc", "nd");
  await engine.ok("network", "rm", "left", "right");
});

test("--ip, --ip-range, --aux-address, --gateway, --mac-address", async () => {
  const flags = ["--subnet", "10.60.0.0/24", "--ip-range", "10.60.0.128/29", "--gateway", "10.60.0.254"];
  await engine.ok("network", "create", ...flags, "--aux-address", "x=10.60.0.128", "plan");
  const show = ["sh", "-c", "ip -4 addr show eth0; ip route; cat /sys/class/net/eth0/address"];
  const free = await engine.ok("run", "--rm", "--network", "plan", image, ...show);
  expect(free).toContain("inet 10.60.0.129/24");
  expect(free).toContain("default via 10.60.0.254");
  const asked = ["--network", "plan", "--ip", "10.60.0.9", "--mac-address", "02:42:00:00:00:09"];
  const own = await engine.ok("run", "--rm", ...asked, image, ...show);
  expect(own).toContain("inet 10.60.0.9/24");
  expect(own).toContain("02:42:00:00:00:09");
  expect(await engine.fails(125, "run", "--rm", "--network", "plan", "--ip", "10.61.0.9", image, "true")).toContain(
    "It does not belong to any of this network's subnets",
  );
  expect(await engine.fails(125, "run", "--rm", "--ip", "10.61.0.9", image, "true")).toContain(
    "user specified IP address is supported on user defined networks only",
  );
  await engine.ok("network", "rm", "plan");
});

test("a /29 has five addresses: the sixth container is refused, a released one is given again", async () => {
  await engine.ok("network", "create", "--subnet", "10.62.0.0/29", "small");
  for (let number = 0; number < 5; number++)
    await engine.ok("run", "-d", "--name", `s${number}`, "--network", "small", image, "sleep", "60");
  expect(await engine.fails(125, "run", "--rm", "--network", "small", image, "true")).toContain(
    "no available IPv4 addresses",
  );
  const address = await addressOf("s2", "small");
  await engine.ok("rm", "-f", "s2");
  expect(await engine.ok("run", "--rm", "--network", "small", image, "ip", "-4", "addr", "show", "eth0")).toContain(
    address,
  );
  await engine.ok("rm", "-f", "s0", "s1", "s3", "s4");
  await engine.ok("network", "rm", "small");
});

test("--internal: no way out and none in, but for its own", async () => {
  await engine.ok("network", "create", "--internal", "inside");
  await startWeb(engine, "in1", "--network", "inside", "-p", "18312:80");
  await startWeb(engine, "in2", "--network", "inside");
  await startWeb(engine, "out");
  expect(await fetchFrom(engine, "in1", await addressOf("in2", "inside"))).toBe("hello");
  expect(await engine.ok("exec", "in1", "ip", "route")).not.toContain("default");
  // Not even with a route of its own.
  await engine.ok("exec", "--privileged", "in1", "ip", "route", "add", "default", "dev", "eth0");
  expect(await fetchFrom(engine, "in1", await addressOf("out", "bridge"))).toBe("");
  expect(await fetchFrom(engine, "out", await addressOf("in1", "inside"))).toBe("");
  expect(await engine.ok("port", "in1")).toBe("");
  await engine.ok("rm", "-f", "in1", "in2", "out");
  await engine.ok("network", "rm", "inside");
});

test("bridge options: name, MTU, host binding", async () => {
  const options = ["com.docker.network.bridge.name=br-mine", "com.docker.network.driver.mtu=1400"];
  const flags = [...options, "com.docker.network.bridge.host_binding_ipv4=127.0.0.1"].flatMap((text) => ["-o", text]);
  await engine.ok("network", "create", ...flags, "tuned");
  expect(links()).toContain("br-mine");
  await startWeb(engine, "tt", "--network", "tuned", "-p", "18314:80");
  expect(await engine.ok("exec", "tt", "cat", "/sys/class/net/eth0/mtu")).toBe("1400");
  expect(await engine.ok("port", "tt")).toBe("80/tcp -> 127.0.0.1:18314");
  await engine.ok("rm", "-f", "tt");
  await engine.ok("network", "rm", "tuned");
  expect(await engine.fails(1, "network", "create", "-o", "com.docker.network.driver.mtu=x", "y")).toContain("mtu");
});

test("several networks: an interface each, the default route by name, or by priority", async () => {
  await engine.ok("network", "create", "--subnet", "10.70.0.0/24", "n1");
  await engine.ok("network", "create", "--subnet", "10.71.0.0/24", "n2");
  const routes = async (...flags: readonly string[]) =>
    await engine.ok("run", "--rm", ...flags, image, "sh", "-c", "ip -4 addr; ip route; cat /etc/hosts");
  const both = await routes("--network", "n2", "--network", "n1");
  expect(both).toMatch(/10\.71\.0\.2\/24.*eth0/);
  expect(both).toMatch(/10\.70\.0\.2\/24.*eth1/);
  expect(both).toContain("default via 10.70.0.1 dev eth1");
  expect(both).toMatch(/^10\.71\.0\.2\t/m);
  expect(both).toMatch(/^10\.70\.0\.2\t/m);
  const preferred = await routes("--network", "n1", "--network", "name=n2,gw-priority=1,ip=10.71.0.77");
  expect(preferred).toContain("default via 10.71.0.1 dev eth1");
  expect(preferred).toContain("10.71.0.77/24");
  expect(await engine.fails(125, "run", "--rm", "--network", "n1", "--network", "bridge", image, "true")).toContain(
    "cannot attach both user-defined and non-user-defined network-modes",
  );
  expect(await engine.fails(125, "run", "--rm", "--network", "nosuch", image, "true")).toContain(
    "network nosuch not found",
  );
  await engine.ok("network", "rm", "n1", "n2");
});

test("connect and disconnect of a running container: interface, routes, hosts; and of a stopped one", async () => {
  await engine.ok("network", "create", "--subnet", "10.72.0.0/24", "aa");
  await engine.ok("network", "create", "--subnet", "10.73.0.0/24", "zz");
  await engine.ok("run", "-d", "--name", "live", "--network", "zz", image, "sleep", "600");
  const inside = (...words: string[]) => engine.ok("exec", "live", ...words);
  await engine.ok("network", "connect", "--ip", "10.72.0.50", "--alias", "other", "aa", "live");
  expect(await inside("ip", "-4", "addr", "show", "eth1")).toContain("10.72.0.50/24");
  expect(await inside("ip", "route")).toContain("default via 10.72.0.1 dev eth1");
  expect(await inside("cat", "/etc/hosts")).toMatch(/^10\.72\.0\.50\t/m);
  expect(await engine.fails(1, "network", "connect", "aa", "live")).toContain("already exists in network aa");
  expect(await engine.fails(1, "network", "connect", "host", "live")).toContain("or connected to host network");
  expect(await engine.fails(1, "network", "connect", "none", "live")).toContain(
    "container cannot be connected to multiple networks with one of the networks in private (none) mode",
  );
  await engine.ok("network", "disconnect", "aa", "live");
  expect(await inside("ls", "/sys/class/net")).not.toContain("eth1");
  expect(await inside("ip", "route")).toContain("default via 10.73.0.1 dev eth0");
  expect(await inside("cat", "/etc/hosts")).not.toMatch(/^10\.72\./m);
  expect(await engine.fails(1, "network", "disconnect", "aa", "live")).toContain("is not connected to network aa");
  await engine.ok("stop", "-t", "0", "live");
  await engine.ok("network", "connect", "--gw-priority", "-1", "aa", "live");
  await engine.ok("start", "live");
  expect(await inside("ip", "route")).toContain("default via 10.73.0.1 dev eth0");
  expect(await inside("ip", "-4", "addr")).toContain("10.72.0.2/24");
  expect(await engine.ok("ps", "--format", "{{.Networks}}", "-f", "name=live")).toBe("zz,aa");
  await engine.ok("network", "disconnect", "zz", "live");
  expect(await inside("ip", "route")).toContain("default via 10.72.0.1 dev eth1");
  await engine.ok("rm", "-f", "live");
  await engine.ok("network", "rm", "aa", "zz");
});

test("events of networks, in order", async () => {
  const since = Math.floor(Date.now() / 1000);
  await engine.ok("network", "create", "told");
  await engine.ok("run", "--rm", "--network", "told", image, "true");
  await engine.ok("network", "rm", "told");
  const flags = ["--since", String(since), "--until", String(Math.ceil(Date.now() / 1000)), "--filter", "type=network"];
  const events = await engine.ok("events", ...flags, "--format", "{{.Action}} {{.Actor.Attributes.name}}");
  expect(events.split("\n").filter((line) => line.endsWith(" told"))).toEqual([
    "create told",
    "connect told",
    "disconnect told",
    "destroy told",
  ]);
});

test.if(needs("ctr"))("netd check tells what somebody changed, --fix repairs it, and traffic flows again", async () => {
  const id = await engine.ok("network", "create", "broken");
  const device = `br-${id.slice(0, 12)}`;
  await startWeb(engine, "wx", "--network", "broken", "-p", "18315:80");
  await startWeb(engine, "wy", "--network", "broken");
  expect(await engine.ok("netd", "check")).toBe("");
  const host = (...command: string[]) => expect(Bun.spawnSync(command).exitCode).toBe(0);
  host("iptables", "-t", "nat", "-F", "CTR");
  host("iptables", "-I", "CTR-FORWARD", "-j", "DROP");
  host("ip", "address", "flush", "dev", device);
  const told = (await engine.ctr("netd", "check")).stdout;
  expect(told).toContain("iptables: nat CTR lacks");
  expect(told).toContain("iptables: filter CTR-FORWARD has");
  expect(told).toContain(`${device} lacks its address`);
  expect(await engine.ok("netd", "check", "--fix")).toContain(`repaired: ${device} lacks its address`);
  expect(await engine.ok("netd", "check")).toBe("");
  expect(await (await fetch("http://127.0.0.1:18315/")).text()).toBe("hello\n");
  host("ip", "link", "delete", device);
  await waitFor("the bridge to come back", () => links().includes(device));
  await engine.ok("netd", "reconcile");
  expect(await fetchFrom(engine, "wy", await addressOf("wx", "broken"))).toBe("hello");
  await engine.ok("rm", "-f", "wx", "wy");
  await engine.ok("network", "rm", "broken");
});

test.if(needs("ctr"))("netd killed: user networks go on, and the next netd knows them", async () => {
  await engine.ok("network", "create", "kept");
  await startWeb(engine, "k1", "--network", "kept");
  await startWeb(engine, "k2", "--network", "kept");
  process.kill(engine.netd() ?? 0, "SIGKILL");
  expect(await fetchFrom(engine, "k2", await addressOf("k1", "kept"))).toBe("hello");
  expect(await engine.ok("netd", "check")).toBe("");
  const shown = JSON.parse(await engine.ok("network", "inspect", "kept"))[0];
  expect(Object.values(shown.Containers)).toHaveLength(2);
  await engine.ok("rm", "-f", "k1", "k2");
  await engine.ok("network", "rm", "kept");
});
