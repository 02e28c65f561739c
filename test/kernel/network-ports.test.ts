/** Published ports of containers that change networks, SCTP on the wire, link-local addresses, and what events say. */
import { expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { host, makeNeighbour } from "../lib/sandbox.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";
import { fetchFrom, PAGE, startWeb } from "../lib/web.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const neighbour = await makeNeighbour();

/** GET from another host: the page, or nothing. */
function fromOutside(port: string | number): string {
  const address = `http://${neighbour.hostAddress}:${port}/`;
  const inside = ["nsenter", "--net", "-t", String(neighbour.pid), "--"];
  const ran = Bun.spawnSync([...inside, "busybox", "timeout", "1", "busybox", "wget", "-q", "-O", "-", address]);
  return ran.stdout.toString().trim();
}

const nat = () => host("iptables-save", "-t", "nat");

test("published ports follow the default route, and keep their numbers", async () => {
  await engine.ok("network", "create", "--subnet", "10.91.0.0/24", "aa");
  await engine.ok("network", "create", "--subnet", "10.92.0.0/24", "mm");
  await engine.ok("network", "create", "--subnet", "10.93.0.0/24", "zz");
  await engine.ok("network", "create", "--internal", "shut");
  await startWeb(engine, "web", "--network", "zz", "-p", "18331:80", "-p", "80", "-p", "18340-18345:81/udp");
  const shown = await engine.ok("port", "web");
  const random = /^80\/tcp -> 0\.0\.0\.0:(?!18331)(\d+)$/m.exec(shown)?.[1] ?? "";
  expect(shown).toContain("81/udp -> 0.0.0.0:18340");
  /** Where the ports lead, and that they are reached and shown. */
  const expectAt = async (address: string) => {
    const led = [...nat().matchAll(/--to-destination ([0-9.]+):/g)].map(([, to]) => to);
    expect(led).toEqual([address, address, address]);
    expect([fromOutside(18331), fromOutside(random)]).toEqual([PAGE, PAGE]);
    expect((await engine.ok("port", "web")).split("\n").sort()).toEqual(shown.split("\n").sort());
    expect(await engine.ok("ps", "--format", "{{.Ports}}", "-f", "publish=18331")).toContain("0.0.0.0:18331->80/tcp");
    expect(await engine.ok("netd", "check")).toBe("");
  };
  await expectAt("10.93.0.2");
  await engine.ok("network", "connect", "mm", "web");
  await expectAt("10.92.0.2");
  await engine.ok("network", "connect", "--gw-priority", "-1", "aa", "web");
  await expectAt("10.92.0.2");
  await engine.ok("network", "connect", "--gw-priority", "5", "shut", "web");
  await expectAt("10.92.0.2");
  await engine.ok("network", "disconnect", "mm", "web");
  await expectAt("10.93.0.2");
  await engine.ok("network", "disconnect", "zz", "web");
  await expectAt("10.91.0.2");
  // Only a network without a way out is left: nobody gets in, and the ports are anybody's.
  await engine.ok("network", "disconnect", "aa", "web");
  expect(nat()).not.toContain("DNAT");
  expect(fromOutside(18331)).toBe("");
  expect(await engine.ok("port", "web")).toBe("");
  using taken = Bun.listen({ hostname: "0.0.0.0", port: 18331, socket: { data() {} } });
  // What cannot be had is said, and the container stays as it was.
  expect(await engine.fails(1, "network", "connect", "zz", "web")).toContain(
    "listen tcp4 0.0.0.0:18331: bind: address already in use",
  );
  expect(await engine.ok("exec", "web", "ip", "-4", "addr")).not.toContain("10.93.0.");
  expect(nat()).not.toContain("DNAT");
  taken.stop(true);
  await engine.ok("network", "connect", "zz", "web");
  expect(fromOutside(18331)).toBe(PAGE);
  // The next netd knows where they are.
  process.kill(engine.netd() ?? 0, "SIGKILL");
  expect(await engine.ok("netd", "check")).toBe("");
  expect(fromOutside(18331)).toBe(PAGE);
  await engine.ok("rm", "-f", "web");
  expect(nat()).not.toContain("DNAT");
  await engine.ok("network", "rm", "aa", "mm", "zz", "shut");
});

const SCTP = `
import socket, struct, sys
def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8): crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
def packet(source, target, tag, chunk):
    head = struct.pack("!HHI", source, target, tag)
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk
def read(wire):
    data, peer = wire.recvfrom(2048)
    body = data[(data[0] & 15) * 4:]
    source, target, tag = struct.unpack("!HHI", body[:8])
    valid = struct.unpack("<I", body[8:12])[0] == crc32c(body[:8] + bytes(4) + body[12:])
    return peer[0], source, target, body[12], valid
def init(kind): return struct.pack("!BBHIIHHI", kind, 0, 20, 7, 65536, 1, 1, 1)
wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132)
wire.settimeout(3)
if sys.argv[1] == "serve":
    print("ready", flush=True)
    peer, source, target, kind, valid = read(wire)
    print(peer, target, kind, valid, flush=True)
    wire.sendto(packet(target, source, 7, init(2)), (peer, 0))
else:
    wire.sendto(packet(4000, int(sys.argv[3]), 0, init(1)), (sys.argv[2], 0))
    print(*read(wire), flush=True)
`;

test("SCTP: an INIT from another host reaches the container's port, and its answer comes back from the published one", async () => {
  await engine.ok("run", "-d", "--name", "sctp", "-p", "18332:80/sctp", image, "sleep", "60");
  const pid = await engine.ok("inspect", "-f", "{{.State.Pid}}", "sctp");
  const within = (of: string, ...words: string[]) => [
    ...["nsenter", "--net", "-t", of, "--", "python3", "-c", SCTP],
    ...words,
  ];
  const server = Bun.spawn(within(pid, "serve"), { stdin: "ignore", stdout: "pipe" });
  const reader = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = (await reader.read()).value ?? "";
  const call = Bun.spawnSync(within(String(neighbour.pid), "call", neighbour.hostAddress, "18332"));
  expect(call.stderr.toString()).toBe("");
  for (let next = await reader.read(); !next.done; next = await reader.read()) said += next.value;
  // Who called, the port, an INIT, a checksum that was mended: CRC32c (RFC 9260).
  expect(said).toBe(`ready\n${neighbour.address} 80 1 True\n`);
  expect(call.stdout.toString().trim()).toBe(`${neighbour.hostAddress} 18332 4000 2 True`);
  await engine.ok("rm", "-f", "sctp");
});

test("--link-local-ip: more addresses of the interface, of both kinds, in inspect, and on connect", async () => {
  await engine.ok("network", "create", "--ipv6", "linked");
  const flags = ["--link-local-ip", "169.254.8.8", "--link-local-ip", "fe80::8:8"];
  await engine.ok("run", "-d", "--name", "ll", "--network", "linked", ...flags, image, "sleep", "60");
  const shown = await engine.ok("exec", "ll", "ip", "addr", "show", "eth0");
  expect(shown).toContain("169.254.8.8/16");
  expect(shown).toContain("fe80::8:8/64");
  const format = '{{json (index .NetworkSettings.Networks "linked").IPAMConfig}}';
  expect(JSON.parse(await engine.ok("inspect", "-f", format, "ll"))).toEqual({
    LinkLocalIPs: ["169.254.8.8", "fe80::8:8"],
  });
  await startWeb(engine, "caller", "--network", "name=linked,link-local-ip=169.254.8.9");
  await engine.ok("exec", "ll", "sh", "-c", "(echo hello > /tmp/index.html; httpd -p 80 -h /tmp)");
  expect(await fetchFrom(engine, "caller", "169.254.8.8")).toBe(PAGE);
  await engine.ok("network", "create", "late");
  await engine.ok("network", "connect", "--link-local-ip", "169.254.9.9", "late", "ll");
  expect(await engine.ok("exec", "ll", "ip", "addr", "show", "eth1")).toContain("169.254.9.9/16");
  expect(await engine.fails(125, "run", "--rm", "--link-local-ip", "x", image, "true")).toContain(
    "invalid link-local IP address: x",
  );
  await engine.ok("rm", "-f", "ll", "caller");
  await engine.ok("network", "rm", "linked", "late");
});

test("events: the network's driver, and the container, for every way onto a network and off it", async () => {
  const since = String(Math.floor(Date.now() / 1000));
  const drivers = { told: "bridge", wire: "macvlan", bridge: "bridge" } as const;
  host("ip", "link", "add", "dummy0", "type", "bridge");
  await engine.ok("network", "create", "told");
  await engine.ok("network", "create", "-d", "macvlan", "-o", "parent=dummy0", "--attachable", "wire");
  expect(await engine.ok("network", "inspect", "-f", "{{.Attachable}}", "wire")).toBe("true");
  const id = await engine.ok("run", "-d", "--name", "one", "--network", "told", image, "sleep", "60");
  await engine.ok("network", "connect", "wire", "one");
  await engine.ok("network", "disconnect", "wire", "one");
  await engine.ok("network", "connect", "bridge", "one");
  await engine.ok("rm", "-f", "one");
  await engine.ok("network", "rm", "told", "wire");
  const flags = ["--since", since, "--until", String(Math.ceil(Date.now() / 1000)), "--filter", "type=network"];
  const events = await waitFor("the events", async () => {
    const lines = (await engine.ok("events", ...flags, "--format", "json")).split("\n");
    return lines.some((line) => line.includes("destroy") && line.includes("wire")) && lines;
  });
  const told = events
    .map((line) => JSON.parse(line))
    .filter(({ Actor }) => Object.hasOwn(drivers, Actor.Attributes.name))
    .map(({ Action, Actor: { Attributes } }) => [Action, Attributes.name, Attributes.type, Attributes.container ?? ""]);
  const expected = [
    ["create", "told", "bridge", ""],
    ["create", "wire", "macvlan", ""],
    ["connect", "told", "bridge", id],
    ["connect", "wire", "macvlan", id],
    ["disconnect", "wire", "macvlan", id],
    ["connect", "bridge", "bridge", id],
    ["disconnect", "bridge", "bridge", id],
    ["disconnect", "told", "bridge", id],
    ["destroy", "told", "bridge", ""],
    ["destroy", "wire", "macvlan", ""],
  ];
  const sorted = (rows: readonly unknown[][]) => rows.map((row) => row.join(" ")).sort();
  expect(sorted(told)).toEqual(sorted(expected));
  host("ip", "link", "delete", "dummy0");
});

test("nginx behind a published port: 1,000 requests, 50 at a time, each answered", async () => {
  const nginx = await engine.image("nginx");
  await engine.ok("run", "-d", "--name", "nginx", "-p", "18334:80", nginx, "nginx", "-g", "daemon off;");
  const get = async () => {
    const answer = await fetch(`http://${neighbour.hostAddress}:18334/`, { keepalive: false });
    return answer.status === 200 && (await answer.text()).includes("Welcome to nginx!");
  };
  await waitFor("nginx", () => get().catch(() => false));
  let left = 1000;
  const asker = async (): Promise<boolean[]> => {
    const answers: boolean[] = [];
    while (left-- > 0) answers.push(await get());
    return answers;
  };
  const answers = (await Promise.all(Array.from({ length: 50 }, asker))).flat();
  expect(answers.length).toBe(1000);
  expect(answers.every((isRight) => isRight)).toBe(true);
  expect((await engine.ok("logs", "nginx")).split("\n").filter((line) => line.includes('"GET / HTTP')).length).toBe(
    1001,
  );
  await engine.ok("rm", "-f", "nginx");
}, 60_000);
