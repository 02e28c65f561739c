/** Names of containers, asked by dig from inside, and of everybody else, answered by servers of the test's own. */
import { afterAll, expect } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { attribute, encodeMessage, NLM_F_CREATE } from "../../internal/netlink/message.ts";
import { NETLINK_NETFILTER, openNetlink } from "../../internal/netlink/socket.ts";
import { createNameServer } from "../../internal/network/dns/name-server.ts";
import type { NamedEndpoint } from "../../internal/network/names.ts";
import { openSandbox, readBootId, type SandboxRecord } from "../../internal/network/sandbox.ts";
import { send } from "../../internal/sys/socket.ts";
import { dig, fakeServer, values } from "../lib/dns.ts";
import { requirePrivateHost } from "../lib/host.ts";
import { needs } from "../lib/needs.ts";
import { inNamespace, makeSandbox } from "../lib/sandbox.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

requirePrivateHost();
const isReady = needs("root", "dig");
const bootId = readBootId();
const resolvConf = `${process.env["CTR_TEST_HOME"] ?? "/tmp"}/resolv.conf`;
writeFileSync(resolvConf, "nameserver 127.0.0.53\nnameserver 127.0.0.54\n");

/** Four containers: their namespaces and what they are called. */
const pids = new Map<string, number>();
const sandboxes = new Map<string, SandboxRecord>();
for (const name of ["web", "db", "api", "lone"]) {
  const { pid } = await makeSandbox();
  const opened = openSandbox({ pid }, bootId);
  opened.namespace.close();
  pids.set(name, pid);
  sandboxes.set(name, opened.record);
}

function endpoint(name: string, network: string, choices: Partial<NamedEndpoint>): NamedEndpoint {
  // A container that is only asked for needs none that lives.
  const sandbox = sandboxes.get(name) ?? { inode: "0", bootId: "another boot" };
  return {
    endpointId: `${name}.${network}`,
    containerId: name.padEnd(64, "0"),
    containerName: name,
    shortId: name.padEnd(12, "0"),
    hostname: `${name}-host`,
    aliases: [],
    networkId: network,
    networkName: network,
    addresses: [],
    isInternal: false,
    sandbox,
    servers: [],
    ...choices,
  };
}

const endpoints: NamedEndpoint[] = [
  endpoint("web", "backend", { addresses: ["172.18.0.2", "fd00::2"], aliases: ["shared"] }),
  endpoint("db", "backend", { addresses: ["172.18.0.3"], aliases: ["shared", "PostGres"] }),
  endpoint("api", "inner", { addresses: ["172.20.0.3"], isInternal: true }),
  endpoint("lone", "own", { addresses: ["172.21.0.3"], isInternal: true, servers: ["127.0.0.11", "127.0.0.1"] }),
];
const logged: string[] = [];
const server = createNameServer({ names: () => endpoints, bootId, log: (line) => logged.push(line), resolvConf });
await server.changed();
afterAll(() => server[Symbol.dispose]());

/** A change that `names` tells of. */
async function change(action: () => void): Promise<void> {
  action();
  await server.changed();
}

const from = (name: string): number => pids.get(name) ?? 0;
const ask = (name: string, ...words: string[]) => dig(from(name), ...words);

/** As many containers without a namespace of their own, with one name. */
const crowd = Array.from({ length: 200 }, (_, index) =>
  endpoint(`one${index}`, "backend", {
    addresses: [`172.18.${1 + Math.floor(index / 100)}.${(index % 100) + 1}`],
    aliases: ["crowd"],
  }),
);

test.if(isReady)("dns: name, short id, hostname, alias, each also with the network, in any case", async () => {
  for (const name of ["db", "db0000000000", "db-host", "postgres"]) {
    for (const asked of [name, `${name}.backend`, name.toUpperCase()]) {
      const found = await ask("web", asked);
      expect([asked, found.code, ...found.answers]).toEqual([asked, "NOERROR", `${asked}. 600 IN A 172.18.0.3`]);
    }
  }
});

test.if(isReady)("dns: A and AAAA; a name without an IPv6 address is there but empty", async () => {
  expect(values(await ask("db", "web", "AAAA"))).toEqual(["fd00::2"]);
  const empty = await ask("web", "db", "AAAA");
  expect([empty.code, empty.answers.length, empty.flags.includes("aa")]).toEqual(["NOERROR", 0, true]);
  expect((await ask("web", "db", "TXT")).answers).toEqual([]);
  expect(values(await ask("web", "web", "ANY")).toSorted()).toEqual(["172.18.0.2", "fd00::2"]);
});

test.if(isReady)("dns: addresses lead back to names", async () => {
  expect(values(await ask("db", "-x", "172.18.0.2"))).toEqual(["web.backend."]);
  expect(values(await ask("db", "-x", "fd00::2"))).toEqual(["web.backend."]);
});

test.if(isReady)("dns: names of another network are nobody's here", async () => {
  using _host = await fakeServer("127.0.0.53", "192.0.2.1");
  expect(values(await ask("web", "api"))).toEqual(["192.0.2.1"]); // so the host's server was asked
  expect((await ask("api", "web")).code).toBe("SERVFAIL");
});

test.if(isReady)("dns: containers that share a name take turns", async () => {
  const first: (string | undefined)[] = [];
  for (let turn = 0; turn < 4; turn++) {
    const found = values(await ask("web", "shared"));
    expect(found.toSorted()).toEqual(["172.18.0.2", "172.18.0.3"]);
    first.push(found[0]);
  }
  expect(first[0]).not.toBe(first[1]);
  expect(first.slice(0, 2)).toEqual(first.slice(2));
});

test.if(isReady)("dns: answers change with what is attached", async () => {
  using _host = await fakeServer("127.0.0.53", "192.0.2.1");
  const added = endpoint("fresh", "backend", { addresses: ["172.18.0.9"], aliases: ["shared"] });
  await change(() => endpoints.push(added));
  expect(values(await ask("web", "fresh"))).toEqual(["172.18.0.9"]);
  expect(values(await ask("web", "shared"))).toHaveLength(3);
  await change(() => endpoints.splice(endpoints.indexOf(added), 1, { ...added, containerName: "renamed" }));
  expect(values(await ask("web", "renamed"))).toEqual(["172.18.0.9"]);
  expect(values(await ask("web", "fresh"))).toEqual(["192.0.2.1"]);
  await change(() => endpoints.pop());
  expect(values(await ask("web", "shared"))).toHaveLength(2);
});

test.if(isReady)("dns: by TCP, several questions on one connection", async () => {
  const found = await ask("web", "+tcp", "+keepopen", "db", "web");
  expect(found.overTcp).toBe(true);
  expect(found.text).toContain("172.18.0.3");
  expect(found.text).toContain("172.18.0.2");
});

test.if(isReady)("dns: a large answer is cut off by UDP and whole by TCP", async () => {
  await change(() => endpoints.push(...crowd));
  const cut = await ask("db", "+ignore", "+bufsize=1232", "crowd");
  expect(cut.flags).toContain("tc");
  expect(cut.answers.length).toBeGreaterThan(60);
  const plain = await ask("db", "+ignore", "+noedns", "crowd");
  expect(plain.flags).toContain("tc");
  expect(plain.answers.length).toBeLessThan(32);
  const whole = await ask("db", "crowd");
  expect([whole.overTcp, whole.answers.length, whole.flags.includes("tc")]).toEqual([true, 200, false]);
  await change(() => endpoints.splice(-crowd.length));
});

test.if(isReady)("dns: other names are asked of the host's servers, whatever they answer", async () => {
  using host = await fakeServer("127.0.0.53", "192.0.2.1");
  expect(await ask("web", "eXample.org")).toMatchObject({
    code: "NOERROR",
    answers: ["eXample.org. 60 IN A 192.0.2.1"],
  });
  expect((await ask("web", "nx.example.org")).code).toBe("NXDOMAIN");
  expect((await ask("web", "example.org", "AAAA")).answers).toEqual([]);
  expect(host.received.map(({ name }) => name)).toEqual(["example.org", "nx.example.org", "example.org"]);
});

test.if(isReady)("dns: each question goes out under a port and an id of its own", async () => {
  using host = await fakeServer("127.0.0.53", "192.0.2.1");
  await Promise.all(Array.from({ length: 16 }, (_, index) => ask("web", `n${index}.example.org`)));
  const ports = new Set(host.received.map(({ port }) => port));
  const ids = new Set(host.received.map(({ id }) => id));
  expect(host.received).toHaveLength(16);
  expect(ports.size).toBeGreaterThan(14);
  expect(ids.size).toBeGreaterThan(14);
  const steps = [...ports].map((port, index, all) => port - (all[index - 1] ?? 0));
  expect(new Set(steps).size).toBeGreaterThan(3);
});

test.if(isReady)("dns: the next server is asked when one refuses, is silent or is not there", async () => {
  using second = await fakeServer("127.0.0.54", "192.0.2.2");
  expect(values(await ask("web", "first-is-gone.example.org"))).toEqual(["192.0.2.2"]);
  using first = await fakeServer("127.0.0.53", "192.0.2.1");
  expect((await ask("web", "refused.example.org")).code).toBe("REFUSED");
  expect([first.received.length, second.received.length]).toEqual([1, 2]);
  const started = performance.now();
  expect((await ask("web", "silent.example.org")).code).toBe("SERVFAIL");
  expect(performance.now() - started).toBeLessThan(20_000);
  expect(server.untilNextTimer()).toBeUndefined();
});

test.if(isReady)("dns: false answers are not believed", async () => {
  using _host = await fakeServer("127.0.0.53", "192.0.2.1");
  expect((await ask("web", "forged.example.org")).answers).toEqual(["forged.example.org. 60 IN A 192.0.2.1"]);
});

test.if(isReady)("dns: what does not fit into a datagram is fetched by TCP", async () => {
  using host = await fakeServer("127.0.0.53", "192.0.2.1");
  const big = await ask("web", "+ignore", "+bufsize=1232", "big.example.org");
  expect([big.flags.includes("tc"), big.answers.length]).toEqual([false, 40]);
  expect(host.received.map(({ overTcp }) => overTcp)).toEqual([false, true]);
  const huge = await ask("web", "huge.example.org");
  expect([huge.overTcp, huge.answers.length]).toEqual([true, 400]);
  // A server without TCP: what it gave by UDP is passed on, with its mark.
  const mute = await ask("web", "+ignore", "mute.example.org");
  expect([mute.flags.includes("tc"), mute.answers.length]).toEqual([true, 1]);
});

test.if(isReady)("dns: on a network without a way out nobody else is asked", async () => {
  using host = await fakeServer("127.0.0.53", "192.0.2.1");
  expect((await ask("api", "secret.example.org")).code).toBe("SERVFAIL");
  expect(values(await ask("api", "api"))).toEqual(["172.20.0.3"]);
  expect(host.received).toEqual([]);
});

test.if(isReady)("dns: servers of --dns are asked from inside the container", async () => {
  using host = await fakeServer("127.0.0.53", "192.0.2.1");
  using own = await fakeServer("127.0.0.1", "192.0.2.99", from("lone"));
  expect(values(await ask("lone", "example.org"))).toEqual(["192.0.2.99"]);
  expect((await ask("lone", "+tcp", "big.example.org")).answers).toHaveLength(40);
  expect(own.received).toHaveLength(2);
  expect(host.received).toEqual([]);
});

test.if(isReady)("dns: a program in the container may have port 53", async () => {
  const pid = from("web");
  const { udp, tcp } = inNamespace(pid, () => ({
    udp: Bun.udpSocket({
      hostname: "0.0.0.0",
      port: 53,
      socket: { data: (socket, _packet, port, peer) => void socket.send("mine", port, peer) },
    }),
    tcp: Bun.listen({ hostname: "0.0.0.0", port: 53, socket: { data() {} } }),
  }));
  const own = await udp;
  expect(values(await ask("web", "db"))).toEqual(["172.18.0.3"]);
  expect(values(await ask("web", "+tcp", "db"))).toEqual(["172.18.0.3"]);
  const { promise, resolve } = Promise.withResolvers<string>();
  const client = await inNamespace(pid, () =>
    Bun.udpSocket({
      connect: { hostname: "127.0.0.1", port: 53 },
      socket: { data: (_socket, data) => resolve(data.toString()) },
    }),
  );
  client.send("hello");
  expect(await promise).toBe("mine");
  for (const socket of [client, own]) socket.close();
  tcp.stop(true);
});

test.if(isReady)("dns: rules and connection tracking in the container see port 53 only", async () => {
  const inside = (...command: string[]) =>
    Bun.spawnSync(["nsenter", "--net", "--target", String(from("db")), "--", ...command]).exitCode;
  const table = (action: string, ...rule: string[]) => inside("iptables", action, "OUTPUT", ...rule);
  expect(table("-A", "-o", "lo", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP")).toBe(0);
  expect(table("-A", "-p", "udp", "--dport", "53", "-j", "ACCEPT")).toBe(0);
  expect(table("-A", "-p", "tcp", "--dport", "53", "-j", "ACCEPT")).toBe(0);
  expect(table("-A", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT")).toBe(0);
  expect(table("-A", "-j", "DROP")).toBe(0);
  expect(values(await ask("db", "web"))).toEqual(["172.18.0.2"]);
  expect(values(await ask("db", "+tcp", "web"))).toEqual(["172.18.0.2"]);
  expect(table("-F")).toBe(0);
});

/** A socket in a container, connected to its name server, and what came back. */
async function rawClient(
  name: string,
): Promise<{ send(bytes: Uint8Array): void; readonly replies: Buffer[]; close(): void }> {
  const replies: Buffer[] = [];
  const socket = await inNamespace(from(name), () =>
    Bun.udpSocket({
      connect: { hostname: "127.0.0.11", port: 53 },
      socket: { data: (_socket, reply) => void replies.push(Buffer.from(reply)) },
    }),
  );
  return { send: (bytes) => void socket.send(bytes), replies, close: () => socket.close() };
}

/** A query by hand. */
function query(name: string, id: number): Buffer {
  const labels = name.split(".").flatMap((label) => [label.length, ...Buffer.from(label)]);
  return Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1]);
}

test.if(isReady)("dns: 2,000 questions at once from three containers, each answered", async () => {
  const clients = await Promise.all(["web", "db", "web"].map(rawClient));
  const total = 2000;
  for (let id = 0; id < total; id++) {
    clients[id % 3]?.send(query("db", id));
    if (id % 50 === 49) await Bun.sleep(0); // a socket's buffer holds some 200
  }
  const all = () => clients.flatMap(({ replies }) => replies);
  await waitFor("all answers", () => all().length === total, 5_000);
  const ids = new Set(clients.flatMap(({ replies }) => replies.map((reply) => reply.readUInt16BE(0))));
  expect(ids.size).toBe(total);
  for (const client of clients) client.close();
});

test.if(isReady)("dns: who asks the same at the same time waits for one answer", async () => {
  using host = await fakeServer("127.0.0.53", "192.0.2.1");
  const clients = await Promise.all(["web", "db"].map(rawClient));
  for (let id = 0; id < 40; id++) clients[id % 2]?.send(query("same.example.org", id));
  await waitFor("the answers", () => clients.flatMap(({ replies }) => replies).length === 40);
  expect(host.received.length).toBeLessThan(10);
  for (const client of clients) client.close();
});

test.if(isReady)("dns: a container may wait for so many answers and no more; others do not notice", async () => {
  using host = await fakeServer("127.0.0.53", "192.0.2.1");
  const [greedy, other] = [await rawClient("web"), await rawClient("db")];
  for (let id = 0; id < 600; id++) {
    greedy.send(query(`silent.n${id}`, id));
    if (id % 50 === 49) await Bun.sleep(1);
  }
  await waitFor("refusals", () => greedy.replies.length >= 300);
  expect(greedy.replies.every((reply) => (reply.readUInt16BE(2) & 15) === 2)).toBe(true);
  expect(host.received.length).toBeLessThanOrEqual(256);
  other.send(query("example.org", 1));
  other.send(query("web", 2));
  await waitFor("the other's answers", () => other.replies.length === 2, 1_000);
  for (const client of [greedy, other]) client.close();
  await waitFor("the end of all", () => server.untilNextTimer() === undefined);
});

test.if(isReady)("dns: a server that asks us what we ask it comes to an end", async () => {
  const pid = from("lone");
  let asked = 0;
  const loop = await inNamespace(pid, () =>
    Bun.udpSocket({
      hostname: "127.0.0.1",
      port: 53,
      socket: {
        data(_socket, packet) {
          asked += 1;
          void rawClient("lone").then((client) => client.send(packet));
        },
      },
    }),
  );
  expect((await ask("lone", "loop.example.org")).code).toBe("SERVFAIL");
  expect(asked).toBe(1);
  loop.close();
});

test.if(isReady)("dns: hostile datagrams and connections hurt nobody", async () => {
  const client = await rawClient("web");
  let state = 7;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let round = 0; round < 3000; round++) {
    const packet = random(3) === 0 ? Buffer.alloc(random(600)) : query("db", round);
    for (let flips = random(10); flips > 0; flips--) packet[random(packet.length)] = random(256);
    client.send(packet);
    if (round % 50 === 49) await Bun.sleep(0);
  }
  client.send(Buffer.alloc(60_000, 1));
  const connect = () =>
    inNamespace(from("web"), () =>
      Bun.connect({
        hostname: "127.0.0.11",
        port: 53,
        socket: { data() {}, close() {}, error() {}, connectError() {} },
      }),
    );
  const open = await Promise.all(Array.from({ length: 200 }, connect));
  const [first, second, third] = open;
  first?.write(Buffer.from([0xff, 0xff, 1]));
  second?.write(Buffer.from([0, 3, 1, 2, 3]));
  third?.write(Buffer.from([0]));
  expect(values(await ask("web", "db"))).toEqual(["172.18.0.3"]);
  expect(values(await ask("db", "+tcp", "web"))).toEqual(["172.18.0.2"]);
  for (const socket of open) socket.terminate();
  await waitFor(
    "room for another connection",
    async () => (await ask("web", "+tcp", "+time=1", "db")).code === "NOERROR",
  );
  client.close();
});

const descriptors = (): number => readdirSync("/proc/self/fd").length;

test.if(isReady)("dns: a container that has gone leaves nothing open, and a new sandbox is served anew", async () => {
  const before = descriptors();
  const sandbox = await makeSandbox();
  const opened = openSandbox({ pid: sandbox.pid }, bootId);
  opened.namespace.close();
  const guest = endpoint("guest", "backend", { addresses: ["172.18.0.77"], sandbox: opened.record });
  const between = descriptors();
  await change(() => endpoints.push(guest));
  expect(values(await dig(sandbox.pid, "db"))).toEqual(["172.18.0.3"]);
  await change(() => endpoints.pop());
  await waitFor("its sockets to close", () => descriptors() <= between);
  expect((await dig(sandbox.pid, "+time=1", "db")).code).toBe("none");
  // The same container again, as after a restart of netd: rules of before are replaced.
  await change(() => endpoints.push(guest));
  expect(values(await dig(sandbox.pid, "db"))).toEqual(["172.18.0.3"]);
  expect(values(await dig(sandbox.pid, "+tcp", "db"))).toEqual(["172.18.0.3"]);
  await sandbox.end();
  await change(() => endpoints.pop());
  await waitFor("all to close", () => descriptors() <= before);
  expect(logged).toEqual([]);
});

test.if(isReady)("dns: a sandbox that ended before its sockets were open is passed over", async () => {
  const sandbox = await makeSandbox();
  const opened = openSandbox({ pid: sandbox.pid }, bootId);
  opened.namespace.close();
  await sandbox.end();
  await change(() =>
    endpoints.push(endpoint("late", "backend", { addresses: ["172.18.0.78"], sandbox: opened.record })),
  );
  expect(values(await ask("web", "late"))).toEqual(["172.18.0.78"]);
  await change(() => endpoints.pop());
  expect(logged).toEqual([]);
});

/** A table in a container that cannot become netd's: its chain of that name sees no packet, and never can. */
function spoilRules(pid: number): void {
  const words = (type: number, fields: readonly Uint8Array[]) =>
    encodeMessage((10 << 8) | type, NLM_F_CREATE, new Uint8Array([2, 0, 0, 0]), fields);
  const edge = (type: number) => encodeMessage(type, 0, new Uint8Array([0, 0, 0, 10]), []);
  const table = words(0, [attribute(1, "ctr-dns")]);
  const chain = words(3, [attribute(1, "ctr-dns"), attribute(3, "asked")]);
  inNamespace(pid, () => {
    using netlink = openNetlink(NETLINK_NETFILTER);
    send(netlink.fd.number, Buffer.concat([edge(0x10), table, chain, edge(0x11)]));
  });
}

test.if(isReady)("dns: where the rules cannot be set port 53 itself is taken, and the log says so", async () => {
  const sandbox = await makeSandbox();
  spoilRules(sandbox.pid);
  const opened = openSandbox({ pid: sandbox.pid }, bootId);
  opened.namespace.close();
  const plain = endpoint("plain", "backend", { addresses: ["172.18.0.79"], sandbox: opened.record });
  await change(() => endpoints.push(plain));
  expect(logged.splice(0).join()).toContain("container DNS takes port 53 itself: netlink");
  expect(values(await dig(sandbox.pid, "db"))).toEqual(["172.18.0.3"]);
  expect(values(await dig(sandbox.pid, "+tcp", "db"))).toEqual(["172.18.0.3"]);
  await change(() => endpoints.pop());
  await sandbox.end();
});
