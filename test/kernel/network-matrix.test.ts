/**
 * Who reaches whom, over TCP and UDP, IPv4 and IPv6, in both directions, with br_netfilter on and off: the tables are the
 * promise. In every network namespace a server says its name and who called; from every one all are called at once.
 */
import { expect } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { holdNamespace } from "../lib/namespace.ts";
import { host } from "../lib/sandbox.ts";
import { test } from "../lib/test.ts";

/** 46: by IPv4 and IPv6; 4: by IPv4; -: not at all. TCP and UDP never differ. */
const DIRECT = `
  from    | a1  a2  b1  inner plain p1  p2  host world
  a1      | 46  46  -   -     -     -   -   46   46
  a2      | 46  46  -   -     -     -   -   46   46
  b1      | -   -   46  -     -     -   -   46   46
  inner   | -   -   -   46    -     -   -   -    -
  plain   | -   -   -   -     4     -   -   4    4
  p1      | -   -   -   -     -     46  -   46   46
  p2      | -   -   -   -     -     -   46  46   46
  host    | 46  46  46  46    4     46  46  46   46
  world   | -   -   -   -     -     -   -   46   46
  hostnet | 46  46  46  46    4     46  46  46   46
  shared  | 46  46  -   -     -     -   -   46   46
  nothing | -   -   -   -     -     -   -   -    -
`;

/** By an address of the host: published everywhere, by containers of each kind; on 127.0.0.1 only; and both by 127.0.0.1. */
const PUBLISHED = `
  from    | of-a2 of-p2 of-plain only-here loop-of-a2 loop-only-here
  a1      | 46    46    4        -         -          -
  a2      | 46    46    4        -         -          -
  b1      | 46    46    4        -         -          -
  inner   | -     -     -        -         -          -
  plain   | 4     4     4        -         -          -
  p1      | 46    46    4        -         -          -
  p2      | 46    46    4        -         -          -
  host    | 46    46    4        -         4          4
  world   | 46    46    4        -         -          -
  hostnet | 46    46    4        -         4          4
  shared  | 46    46    4        -         -          -
  nothing | -     -     -        -         -          -
`;

/** Whom a2 sees when its published port is called: the caller, wherever an answer to that would come back this way. */
const SEEN = {
  "world by 10.99.0.1": "10.99.0.2",
  "world by fd00:99::1": "fd00:99::2",
  "host by 10.99.0.1": "10.99.0.1",
  "host by fd00:99::1": "fd00:99::1",
  "host by 127.0.0.1": "10.101.0.1",
  "a1 by 10.99.0.1": "10.101.0.1",
  "a1 by fd00:99::1": "fd00:101::1",
  "a2 by 10.99.0.1": "10.101.0.1",
  "a2 by fd00:99::1": "fd00:101::1",
  "b1 by 10.99.0.1": "10.101.0.1",
  "b1 by fd00:99::1": "fd00:101::1",
  "plain by 10.99.0.1": "10.101.0.1",
} as const;

const PORT = 7777;
const WIRE = ["10.99.0.1", "fd00:99::1"] as const;
const LOOP = ["127.0.0.1", "::1"] as const;

const SERVER = `
import selectors, socket, sys
name, port = sys.argv[1], int(sys.argv[2])
loop = selectors.DefaultSelector()
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    one = socket.socket(socket.AF_INET6, kind)
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("::", port))
    if kind == socket.SOCK_STREAM: one.listen(64)
    one.setblocking(False)
    loop.register(one, selectors.EVENT_READ)
print("ready", flush=True)
def says(peer): return (name + " " + peer[0].replace("::ffff:", "")).encode()
while True:
    for key, _ in loop.select():
        try: # who has gone again, or may not be answered
            if key.fileobj.type == socket.SOCK_STREAM:
                link, peer = key.fileobj.accept()
                link.send(says(peer))
                link.close()
            else:
                _, peer = key.fileobj.recvfrom(64)
                key.fileobj.sendto(says(peer), peer)
        except OSError: pass
`;

// Calls all that it reads, "protocol address port" a line, at once; prints a line for each, with what was answered.
const CALLER = `
import selectors, socket, sys, time
calls = [line.split() for line in sys.stdin]
answers, loop, datagrams = [""] * len(calls), selectors.DefaultSelector(), []
for at, (protocol, address, port) in enumerate(calls):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    one.setblocking(False)
    if protocol == "tcp":
        one.connect_ex((address, int(port)))
    else: datagrams.append((one, (address, int(port))))
    loop.register(one, selectors.EVENT_READ, at)
end, again = time.monotonic() + 1.6, 0
while time.monotonic() < end and loop.get_map():
    if time.monotonic() >= again:
        again = time.monotonic() + 0.4
        for one, target in datagrams:
            try: one.sendto(b"hello", target)
            except OSError: pass
    for key, _ in loop.select(0.1):
        try: answers[key.data] = key.fileobj.recv(100).decode()
        except OSError: pass
        if answers[key.data] or key.fileobj.type == socket.SOCK_STREAM: loop.unregister(key.fileobj)
for answer in answers: print(answer or "-")
`;

interface Call {
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
}

const engine = tempEngine();
const image = await engine.image("minimal");
const pids = new Map<string, number>([["host", process.pid]]);
/** IPv4 and IPv6; "" for none. */
const addresses = new Map<string, readonly [string, string]>([["host", WIRE]]);

const within = (name: string) => ["nsenter", "--net", "-t", String(pids.get(name)), "--", "python3", "-c"];

async function setUp(): Promise<void> {
  const world = await holdNamespace();
  pids.set("world", world.pid);
  addresses.set("world", ["10.99.0.2", "fd00:99::2"]);
  const there = (...words: string[]) => host("nsenter", "--net", "-t", String(world.pid), "--", "ip", ...words);
  host("ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire-peer", "netns", String(world.pid));
  for (const address of ["10.99.0.1/24", "fd00:99::1/64"])
    host("ip", "address", "add", address, "dev", "wire", ...NODAD(address));
  host("ip", "link", "set", "wire", "up");
  there("link", "set", "lo", "up");
  for (const address of ["10.99.0.2/24", "fd00:99::2/64"])
    there("address", "add", address, "dev", "wire-peer", ...NODAD(address));
  there("link", "set", "wire-peer", "up");
  // It knows the way to every container: only the packet filter is between.
  there("route", "add", "default", "via", WIRE[0]);
  there("-6", "route", "add", "default", "via", WIRE[1]);

  const create = (name: string, number: number, ...flags: string[]) => {
    const subnets = ["--subnet", `10.${number}.0.0/24`, "--subnet", `fd00:${number}::/64`];
    return engine.ok("network", "create", "--ipv6", ...subnets, ...flags, name);
  };
  await create("net-a", 101);
  await create("net-b", 102);
  await create("net-inner", 103, "--internal");
  await create("net-apart", 104, "-o", "com.docker.network.bridge.enable_icc=false");
  const run = async (name: string, network: string, ...flags: string[]) => {
    await engine.ok("run", "-d", "--name", name, "--network", network, ...flags, image, "sleep", "600");
    const format = `{{.State.Pid}}{{range .NetworkSettings.Networks}} {{.IPAddress}} {{.GlobalIPv6Address}}{{end}}`;
    const [pid = "", ip = "", ip6 = ""] = (await engine.ok("inspect", "-f", format, name)).split(" ");
    pids.set(name, Number(pid));
    if (ip !== "") addresses.set(name, [ip, ip6]);
  };
  const publish = (outside: string) => ["-p", `${outside}:${PORT}`, "-p", `${outside}:${PORT}/udp`];
  await run("a1", "net-a");
  await run("a2", "net-a", ...publish("7801"), ...publish("127.0.0.1:7803"));
  await run("b1", "net-b");
  await run("inner", "net-inner", ...publish("7805"));
  await run("plain", "bridge", ...publish("7804"));
  await run("p1", "net-apart");
  await run("p2", "net-apart", ...publish("7802"));
  await run("hostnet", "host");
  await run("shared", "container:a1");
  await run("nothing", "none");
  for (const name of addresses.keys()) {
    const server = Bun.spawn([...within(name), SERVER, name, String(PORT)], { stdin: "ignore", stdout: "pipe" });
    servers.push(server);
    const reader = server.stdout.getReader();
    const first = await reader.read();
    expect(first.done).toBe(false);
    readers.push(reader);
  }
  servers.push(world);
}
const servers: Bun.Subprocess[] = [];
/** Kept: a stream that is collected closes its pipe under the server. */
const readers: unknown[] = [];
const NODAD = (address: string) => (address.includes(":") ? ["nodad"] : []);

/** What each of the calls is answered from there. */
async function callFrom(name: string, calls: readonly Call[]): Promise<string[]> {
  const lines = calls.map(({ protocol, address, port }) => `${protocol} ${address} ${port}\n`);
  const caller = Bun.spawn([...within(name), CALLER], { stdin: new Blob(lines), stdout: "pipe" });
  const answers = (await caller.stdout.text()).trim().split("\n");
  expect(await caller.exited).toBe(0);
  return answers;
}

interface Table {
  readonly columns: readonly string[];
  readonly rows: ReadonlyMap<string, readonly string[]>;
}

function read(text: string): Table {
  const [columns = [], ...rows] = text
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/[ |]+/));
  return { columns: columns.slice(1), rows: new Map(rows.map(([name = "", ...cells]) => [name, cells])) };
}

interface Target {
  readonly addresses: readonly [string, string];
  readonly port: number;
  /** Who has to answer. */
  readonly server: string;
}

/** The table as it is: each cell is what TCP and UDP agree on, or how they differ. */
async function measure(
  table: Table,
  targetOf: (column: string) => Target,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const calls = table.columns.flatMap((column) => {
    const { addresses: both, port } = targetOf(column);
    return both.flatMap((address) =>
      address === "" ? [] : ["tcp", "udp"].map((protocol) => ({ protocol, address, port, column })),
    );
  });
  const measured = [...table.rows.keys()].map(async (from): Promise<[string, string[]]> => {
    const answers = await callFrom(from, calls);
    const cells = table.columns.map((column) => {
      const reached = (protocol: string) =>
        calls
          .flatMap((call, at) => {
            if (call.column !== column || call.protocol !== protocol || (answers[at] ?? "-") === "-") return [];
            const [server = ""] = (answers[at] ?? "").split(" ");
            const family = call.address.includes(":") ? "6" : "4";
            return server === targetOf(column).server ? [family] : [`${family}=${server}`];
          })
          .join("") || "-";
      const [tcp, udp] = [reached("tcp"), reached("udp")];
      return tcp === udp ? tcp : `tcp:${tcp},udp:${udp}`;
    });
    return [from, cells];
  });
  return new Map(await Promise.all(measured));
}

await setUp();
const BR_NETFILTER = ["/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"];
const MODES = existsSync(BR_NETFILTER[0] ?? "") ? ["0", "1"] : [""];
for (const mode of MODES) {
  const title = mode === "" ? "without br_netfilter" : `bridge-nf-call-iptables ${mode}`;
  const inMode = async (measured: () => Promise<void>) => {
    if (mode !== "") for (const path of BR_NETFILTER) writeFileSync(path, mode);
    await measured();
  };

  test(`by the container's own address, ${title}`, () =>
    inMode(async () => {
      const expected = read(DIRECT);
      const target = (column: string) =>
        ({ addresses: addresses.get(column) ?? ["", ""], port: PORT, server: column }) as const;
      expect(await measure(expected, target)).toEqual(expected.rows);
    }));

  test(`by a published port, ${title}`, () =>
    inMode(async () => {
      const targets = new Map<string, Target>([
        ["of-a2", { addresses: WIRE, port: 7801, server: "a2" }],
        ["of-p2", { addresses: WIRE, port: 7802, server: "p2" }],
        ["of-plain", { addresses: WIRE, port: 7804, server: "plain" }],
        ["only-here", { addresses: WIRE, port: 7803, server: "a2" }],
        ["loop-of-a2", { addresses: LOOP, port: 7801, server: "a2" }],
        ["loop-only-here", { addresses: LOOP, port: 7803, server: "a2" }],
      ]);
      const target = (column: string): Target => targets.get(column) ?? { addresses: ["", ""], port: 1, server: "" };
      const expected = read(PUBLISHED);
      expect(await measure(expected, target)).toEqual(expected.rows);
      // Internal: asked for, and published nowhere.
      expect(await engine.ok("port", "inner")).toBe("");
    }));

  test(`whom the server sees, ${title}`, () =>
    inMode(async () => {
      const seen = await Promise.all(
        Object.keys(SEEN).map(async (way) => {
          const [from = "", address = ""] = way.split(" by ");
          const answers = await callFrom(from, [
            { protocol: "tcp", address, port: 7801 },
            { protocol: "udp", address, port: 7801 },
          ]);
          const peers = new Set(answers.map((answer) => answer.split(" ")[1]));
          return [way, [...peers].join(" and ")];
        }),
      );
      expect(Object.fromEntries(seen)).toEqual(SEEN);
    }));
}

test("the end", async () => {
  for (const server of servers) server.kill("SIGKILL");
  await engine.ok("rm", "-f", "a1", "a2", "b1", "inner", "plain", "p1", "p2", "hostnet", "shared", "nothing");
  await engine.ok("network", "rm", "net-a", "net-b", "net-inner", "net-apart");
  await engine.expectNothingLeft();
});
