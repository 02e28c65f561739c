/** netd's life: killed, started again, started by two at once, asked nonsense; and what it leaves behind (nothing). */
import { Database } from "bun:sqlite";
import { expect } from "bun:test";
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { encodeFrame } from "../../internal/ipc/frame.ts";
import { NETD_VERSION, netdSocket } from "../../internal/ipc/netd.ts";
import { connectNetd } from "../../internal/ipc/netd-client.ts";
import { AF_UNIX, bind, listen, SOCK_STREAM, socket, unixAddress } from "../../internal/sys/socket.ts";
import { dig, values } from "../lib/dns.ts";
import { testHome } from "../lib/home.ts";
import { links, processes, requirePrivateHost, rules } from "../lib/host.ts";
import { leases } from "../lib/leaks.ts";
import { binary } from "../lib/needs.ts";
import {
  attach,
  call,
  host,
  inNamespace,
  makeNeighbour,
  makeSandbox,
  type RunningNetd,
  serve,
  startNetd,
} from "../lib/sandbox.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

requirePrivateHost();
const home = testHome("netd");
const directories = { root: `${home}/root`, state: `${home}/state` };
let netd: RunningNetd = await startNetd(directories);

const veths = () => links().filter((name) => name.startsWith("veth"));
const published = () => rules().filter((rule) => rule.includes("DNAT"));

/** SIGKILL, and wait until it is gone. */
async function killNetd(): Promise<void> {
  netd.process.kill("SIGKILL");
  await netd.process.exited;
}

async function restartNetd(): Promise<void> {
  await killNetd();
  netd = await startNetd(directories);
}

async function nothingLeft(): Promise<void> {
  await waitFor("everything to be collected", () => {
    return veths().length === 0 && published().length === 0 && leases(directories.root).length === 0;
  });
}

test("a container gets the lowest free address, a MAC, a default route; the bridge has the first address", async () => {
  const first = await makeSandbox();
  const second = await makeSandbox();
  const a = await attach(netd.client, first, { containerId: "a" });
  const b = await attach(netd.client, second, { containerId: "b", macAddress: "02:42:ac:11:00:99" });
  expect(a.interface).toMatchObject({ name: "eth0", address: "172.17.0.2", prefixLength: 16 });
  expect(b.interface.address).toBe("172.17.0.3");
  expect(b.macAddress).toBe("02:42:ac:11:00:99");
  const inside = (...words: string[]) => host("nsenter", "--net", "-t", String(second.pid), "--", ...words);
  expect(inside("ip", "-brief", "link", "show", "eth0")).toContain("02:42:ac:11:00:99");
  expect(inside("ip", "-4", "-brief", "address", "show", "eth0")).toContain("172.17.0.3/16");
  expect(inside("ip", "route")).toContain("default via 172.17.0.1 dev eth0");
  expect(inside("ip", "-6", "-brief", "address", "show", "eth0").trim()).toBe("");
  expect(host("ip", "-4", "-brief", "address", "show", "ctr0")).toContain("172.17.0.1/16");
  await netd.client.detach("a");
  await first.end();
  const third = await makeSandbox();
  expect((await attach(netd.client, third, { containerId: "c" })).interface.address).toBe("172.17.0.2");
  await Promise.all([netd.client.detach("b"), netd.client.detach("c")]);
  await netd.client.detach("c"); // what is gone is fine
  await Promise.all([second.end(), third.end()]);
  await nothingLeft();
});

test("a sandbox that ends without a detach: address, port, rules and link are collected", async () => {
  const sandbox = await makeSandbox();
  const ports = [{ containerPort: 80, protocol: "tcp" as const, hostPort: 18080 }];
  await attach(netd.client, sandbox, { containerId: "gone", ports });
  expect(published()).toHaveLength(1);
  await sandbox.end();
  await nothingLeft();
  expect(await netd.client.endpoints()).toEqual([]);
});

test("a sandbox that lives on after detach loses its interface", async () => {
  const sandbox = await makeSandbox();
  await attach(netd.client, sandbox, { containerId: "stays" });
  await netd.client.detach("stays");
  await nothingLeft();
  expect(host("nsenter", "--net", "-t", String(sandbox.pid), "--", "ip", "link")).not.toContain("eth0");
  await sandbox.end();
});

test("killed: traffic flows on, and the next netd keeps address, port and rules", async () => {
  const sandbox = await makeSandbox();
  const ports = [{ containerPort: 80, protocol: "tcp" as const, hostPort: 18080 }];
  const before = await attach(netd.client, sandbox, { containerId: "web", ports });
  await serve(sandbox.pid, "tcp", 80, "http");
  await killNetd();
  expect(await call(undefined, "tcp", "127.0.0.1", 18080)).toStartWith("http");
  netd = await startNetd(directories);
  expect(await netd.client.endpoints("web")).toEqual([before]);
  expect(await call(undefined, "tcp", "127.0.0.1", 18080)).toStartWith("http");
  // It holds the port again, and gives the next container another address.
  expect(() => Bun.listen({ hostname: "127.0.0.1", port: 18080, socket: { data() {} } })).toThrow();
  const next = await makeSandbox();
  expect((await attach(netd.client, next, { containerId: "next" })).interface.address).toBe("172.17.0.3");
  await Promise.all([sandbox.end(), next.end()]);
  await nothingLeft();
});

test("killed, and then the containers too: the next netd collects everything", async () => {
  const sandboxes = await Promise.all([makeSandbox(), makeSandbox(), makeSandbox()]);
  for (const [index, sandbox] of sandboxes.entries()) {
    const ports = [{ containerPort: 80, protocol: "tcp" as const }];
    await attach(netd.client, sandbox, { containerId: `lost${index}`, ports });
  }
  await killNetd();
  await Promise.all(sandboxes.map((sandbox) => sandbox.end()));
  netd = await startNetd(directories);
  await nothingLeft();
});

test("killed between its steps: an endpoint that was only reserved is collected, and asked for again succeeds", async () => {
  const sandbox = await makeSandbox();
  await attach(netd.client, sandbox, {
    containerId: "half",
    ports: [{ containerPort: 80, protocol: "tcp", hostPort: 18080 }],
  });
  await killNetd();
  {
    using db = new Database(`${directories.root}/netd.db`);
    db.run("UPDATE endpoint SET state = 'reserved', interface_index = 0");
  }
  netd = await startNetd(directories);
  const again = await attach(netd.client, sandbox, {
    containerId: "half",
    ports: [{ containerPort: 80, protocol: "tcp", hostPort: 18080 }],
  });
  expect(again.ports[0]?.hostPort).toBe(18080);
  expect(veths()).toHaveLength(1);
  // The same request once more, as after a lost answer.
  await attach(netd.client, sandbox, {
    containerId: "half",
    ports: [{ containerPort: 80, protocol: "tcp", hostPort: 18080 }],
  });
  expect(veths()).toHaveLength(1);
  await sandbox.end();
  await nothingLeft();
});

test("killed at any moment of many attaches: nothing leaks", async () => {
  for (let round = 0; round < 6; round++) {
    const sandboxes = await Promise.all([makeSandbox(), makeSandbox(), makeSandbox()]);
    const requests = sandboxes.map((sandbox, index) =>
      netd.client
        .attach({
          containerId: `round${index}`,
          name: `round${index}`,
          sandbox: { pid: sandbox.pid },
          network: "bridge",
          ports: index === 1 ? [{ containerPort: 80, protocol: "tcp" }] : [],
        })
        .catch(() => undefined),
    );
    await Bun.sleep(round * 3);
    await killNetd();
    await Promise.all(requests);
    if (round % 2 === 0) await Promise.all(sandboxes.map((sandbox) => sandbox.end()));
    netd = await startNetd(directories);
    await Promise.all(sandboxes.map((sandbox) => sandbox.end()));
    await nothingLeft();
  }
});

test("rules and bridge that somebody removed are put back by the next netd", async () => {
  const sandbox = await makeSandbox();
  await attach(netd.client, sandbox, {
    containerId: "kept",
    ports: [{ containerPort: 80, protocol: "tcp", hostPort: 18080 }],
  });
  host("iptables", "-A", "CTR-USER", "-s", "192.0.2.1", "-j", "DROP");
  const before = rules();
  await killNetd();
  for (const chain of ["CTR", "CTR-POSTROUTING"]) host("iptables", "-t", "nat", "-F", chain);
  host("iptables", "-D", "FORWARD", "-j", "CTR-FORWARD");
  host("iptables", "-t", "raw", "-F");
  netd = await startNetd(directories);
  await waitFor("the rules", () => rules().toSorted().join("\n") === before.toSorted().join("\n"));
  expect(rules().filter((rule) => rule.startsWith("-A FORWARD"))).toEqual(
    before.filter((rule) => rule.startsWith("-A FORWARD")),
  );
  await sandbox.end();
  await nothingLeft();
  host("ip", "link", "delete", "ctr0");
  const next = await makeSandbox();
  await waitFor("netd to hear of it", async () => {
    const endpoint = await attach(netd.client, next, { containerId: "next" }).catch(() => undefined);
    return endpoint !== undefined;
  });
  await next.end();
  await nothingLeft();
});

test("the bridge removed under a running container: made again, and the container is on it", async () => {
  const sandbox = await makeSandbox();
  await attach(netd.client, sandbox, {
    containerId: "web",
    ports: [{ containerPort: 80, protocol: "tcp", hostPort: 18080 }],
  });
  await serve(sandbox.pid, "tcp", 80, "http");
  host("ip", "link", "delete", "ctr0");
  await waitFor("the bridge", async () => (await call(undefined, "tcp", "127.0.0.1", 18080)).startsWith("http"));
  expect(await call(sandbox.pid, "tcp", "172.17.0.1", 18080)).toStartWith("http");
  await sandbox.end();
  await nothingLeft();
});

test("a second netd for the same directories refuses to start", async () => {
  const second = Bun.spawn([binary(), "netd"], {
    env: { ...process.env, CTR_ROOT: directories.root, CTR_STATE: directories.state },
    stderr: "pipe",
  });
  expect(await second.stderr.text()).toBe(`netd: another netd holds ${directories.state}/netd.lock\n`);
  expect(await second.exited).toBe(1);
  expect((await netd.client.status()).pid).toBe(netd.process.pid);
});

test("the socket is for its owner only; somebody else who comes to it all the same is not heard", () => {
  const path = netdSocket(directories.state);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const script = `
    const socket = await Bun.connect({ unix: ${JSON.stringify(path)}, socket: {
      data: () => { console.log("heard"); process.exit(); },
      close: () => { console.log("closed"); process.exit(); },
    } }).catch((error) => { console.log(error.code); process.exit(); });`;
  const asNobody = () =>
    Bun.spawnSync(["setpriv", "--reuid", "65534", "--clear-groups", process.execPath, "-e", script])
      .stdout.toString()
      .trim();
  const parents = [dirname(home), home, directories.state].filter((parent) => parent !== "/tmp");
  const modes = parents.map((parent) => statSync(parent).mode & 0o777);
  for (const parent of parents) chmodSync(parent, 0o755);
  expect(asNobody()).toBe("EACCES");
  chmodSync(path, 0o666);
  // Sometimes before its side has noticed that it was connected.
  expect(asNobody()).toMatch(/^(closed|ECONNRESET)$/);
  chmodSync(path, 0o600);
  for (const [index, parent] of parents.entries()) chmodSync(parent, modes[index] ?? 0o700);
});

/** Sends bytes to netd; resolves when it has ended the connection. */
async function throwAt(bytes: Uint8Array): Promise<void> {
  const ended = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    unix: netdSocket(directories.state),
    socket: { data() {}, end: () => ended.resolve(), close: () => ended.resolve(), error: () => ended.resolve() },
  });
  socket.write(bytes);
  socket.flush();
  await ended.promise;
  socket.end();
}

test("garbage ends its own connection only", async () => {
  const hello = encodeFrame({ type: "hello", conversation: "netd", version: NETD_VERSION });
  const after = (message: object) => Buffer.concat([hello, encodeFrame(message)]);
  const attacks: readonly Uint8Array[] = [
    new Uint8Array([255, 255, 255, 255, 1, 2, 3]),
    new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n"),
    encodeFrame({ type: "status" }),
    encodeFrame({ type: "hello", conversation: "netd", version: 999 }),
    after({ type: "nonsense" }),
    after({ type: "detach", containerId: "../../etc" }),
    after({ type: "attach", containerId: "x", name: "x", sandbox: { pid: -1 }, network: "bridge", ports: [] }),
    after({
      type: "attach",
      containerId: "x",
      name: "x",
      sandbox: { pid: 1 },
      network: "bridge",
      ports: [{ containerPort: 70000 }],
    }),
  ];
  for (const attack of attacks) await throwAt(attack);
  expect((await netd.client.status()).pid).toBe(netd.process.pid);
  expect(await netd.client.endpoints()).toEqual([]);
});

const BACK = {
  name: "back",
  driver: "bridge",
  isInternal: false,
  isAttachable: false,
  hasIpv6: true,
  labels: {},
  options: { "com.docker.network.bridge.name": "br-back" },
  ipamOptions: {},
  pools: [{ subnet: "10.77.0.0/24" }, { subnet: "fd77::/64" }],
};

/** The command beside the daemon. */
const ctr = (...words: string[]) => {
  const { stdout, exitCode } = Bun.spawnSync(
    [binary(), "--root", directories.root, "--state", directories.state, ...words],
    { stderr: "inherit" },
  );
  return { status: exitCode, lines: stdout.toString().trimEnd().split("\n") };
};

test("check and reconcile: each difference is told, and put right", async () => {
  await restartNetd();
  await netd.client.createNetwork(BACK);
  const sandbox = await makeSandbox();
  const ports = [{ containerPort: 80, protocol: "tcp" as const, hostPort: 18080 }];
  const { hostInterface } = await attach(netd.client, sandbox, { containerId: "web", network: "back", ports });
  const on = `${hostInterface} (container web)`;
  const inside = `nsenter --net -t ${sandbox.pid} --`;
  expect(await netd.client.check(false)).toEqual([]);
  for (const [tampering, difference] of [
    ["ip link set br-back down", "br-back is down"],
    ["ip address delete 10.77.0.1/24 dev br-back", "br-back lacks its address 10.77.0.1/24"],
    ["ip address add 10.78.0.1/24 dev br-back", "br-back has the address 10.78.0.1/24"],
    ["ip address delete fd77::1/64 dev br-back", "br-back lacks its address fd77::1"],
    ["sysctl -qw net.ipv4.conf.br-back.route_localnet=0", "br-back does not route 127.0.0.0/8 to published ports"],
    ["sysctl -qw net.ipv4.ip_forward=0", "/proc/sys/net/ipv4/ip_forward is not 1"],
    [`ip link set ${hostInterface} down`, `${on} is down`],
    [`ip link set ${hostInterface} nomaster`, `${on} is not on br-back`],
    ["ip link set br-back mtu 1400", "br-back has MTU 1400, not 1500"],
    [`ip link set ${hostInterface} mtu 1400`, `${on} has MTU 1400, not 1500`],
    [
      `bridge link set dev ${hostInterface} hairpin off`,
      `${on} does not lead its container to its own published ports`,
    ],
    [`bridge link set dev ${hostInterface} state 0`, `${on} is shut`],
    [`${inside} nft flush table ip ctr-dns`, "container DNS of web: nf_tables ctr-dns in it is not as it was written"],
    [`${inside} nft delete table ip ctr-dns`, "container DNS of web: nf_tables ctr-dns in it is not as it was written"],
    [
      `${inside} nft insert rule ip ctr-dns asked drop`,
      "container DNS of web: nf_tables ctr-dns in it is not as it was written",
    ],
    [
      "ip link add vethabcdef0 type veth peer name stray && ip link set vethabcdef0 master br-back",
      "vethabcdef0 on br-back is no container's",
    ],
    [
      "iptables -t nat -F CTR",
      "iptables: nat CTR lacks --dport 18080 --to-destination 10.77.0.2:80 -A CTR -j DNAT -p tcp",
    ],
    [
      "iptables -A CTR-FORWARD -s 192.0.2.1 -j ACCEPT",
      "iptables: filter CTR-FORWARD has -A CTR-FORWARD -j ACCEPT -s 192.0.2.1",
    ],
    ["iptables -D FORWARD -j CTR-FORWARD", "iptables: filter FORWARD does not jump to CTR-FORWARD"],
    ["ip6tables -F CTR-FORWARD", "ip6tables: filter CTR-FORWARD lacks -A CTR-FORWARD -i br-back -j ACCEPT"],
  ] as const) {
    host("sh", "-c", tampering);
    const found = ctr("netd", "check");
    expect([tampering, found.status]).toEqual([tampering, 1]);
    expect(found.lines.join("\n").replaceAll("/32", "")).toContain(difference);
    const fixed = ctr("netd", ...(tampering.startsWith("ip ") ? ["check", "--fix"] : ["reconcile"]));
    expect([tampering, fixed.status, ...fixed.lines]).toEqual([
      tampering,
      0,
      ...found.lines.map((line) => `repaired: ${line}`),
    ]);
    expect([tampering, ...ctr("netd", "check").lines]).toEqual([tampering, ""]);
  }
  // The one that netd cannot put right at once: its port is another program's now.
  await killNetd();
  using other = Bun.listen({ hostname: "0.0.0.0", port: 18080, socket: { data() {} } });
  netd = await startNetd(directories);
  const line = "port 18080/tcp of 0.0.0.0 (container web) is not held";
  expect(ctr("netd", "check")).toEqual({ status: 1, lines: [line] });
  expect(ctr("netd", "reconcile")).toEqual({ status: 1, lines: [`repaired: ${line}`, `still: ${line}`] });
  other.stop(true);
  expect(ctr("netd", "reconcile")).toEqual({ status: 0, lines: [`repaired: ${line}`] });
  expect((await netd.client.status()).details?.reconciled).toMatchObject({ cause: "request", differences: [line] });
  await sandbox.end();
  await nothingLeft();
  await netd.client.removeNetwork("back");
});

test("answered before its name server listens, and told when it does; a netd that is killed in between is followed by one that serves", async () => {
  await netd.client.createNetwork(BACK);
  const [early, late] = [await makeSandbox(), await makeSandbox()];
  const later = { network: "back", isServedLater: true };
  await attach(netd.client, early, { containerId: "early", ...later });
  await netd.client.served("early");
  expect(values(await dig(early.pid, "early"))).toEqual(["10.77.0.2"]);
  // One that nobody asks for is served all the same.
  await attach(netd.client, late, { containerId: "late", ...later });
  await waitFor("its name server", async () => (await netd.client.status()).details?.dns.containers === 2);
  const third = await makeSandbox();
  await attach(netd.client, third, { containerId: "third", ...later });
  await restartNetd();
  await netd.client.served("third");
  expect(values(await dig(third.pid, "late"))).toEqual(["10.77.0.3"]);
  await netd.client.served("nobody");
  await Promise.all([early.end(), late.end(), third.end()]);
  await nothingLeft();
  await netd.client.removeNetwork("back");
});

test("a bridge keeps its MTU when its last container goes, and an endpoint the one that it was made with", async () => {
  const narrow = { ...BACK, name: "narrow", options: { "com.docker.network.driver.mtu": "1400" } };
  const { device = "" } = await netd.client.createNetwork(narrow);
  const mtu = () => /mtu (\d+)/.exec(host("ip", "link", "show", device))?.[1];
  expect(mtu()).toBe("1400");
  const sandbox = await makeSandbox();
  await attach(netd.client, sandbox, { containerId: "web", network: "narrow" });
  expect(host("nsenter", "--net", "-t", String(sandbox.pid), "ip", "link", "show", "eth0")).toContain("mtu 1400");
  expect(ctr("netd", "check").lines).toEqual([""]);
  await sandbox.end();
  await nothingLeft();
  expect(mtu()).toBe("1400");
  expect(ctr("netd", "check").lines).toEqual([""]);
  await netd.client.removeNetwork("narrow");
});

test("network inspect -v: endpoints with their leases, ports and names", async () => {
  await netd.client.createNetwork(BACK);
  const sandbox = await makeSandbox();
  const ports = [{ containerPort: 80, protocol: "tcp" as const, hostIp: "127.0.0.1", hostPort: 18080 }];
  const request = {
    containerId: "0123456789abcdef",
    name: "web",
    network: "back",
    ports,
    aliases: ["www"],
    hostname: "one",
  };
  const endpoint = await attach(netd.client, sandbox, request);
  const { status, lines } = ctr("network", "inspect", "-v", "back");
  expect(status).toBe(0);
  expect(JSON.parse(lines.join("\n"))).toMatchObject([
    {
      Name: "back",
      Containers: { "0123456789abcdef": { Name: "web", IPv4Address: "10.77.0.2/24", IPv6Address: "fd77::2/64" } },
      Endpoints: [
        {
          Container: "0123456789abcdef",
          Name: "web",
          EndpointID: endpoint.id,
          Interface: "eth0",
          HostInterface: endpoint.hostInterface,
          MacAddress: endpoint.macAddress,
          Leases: ["10.77.0.2", "fd77::2"],
          Gateway: "10.77.0.1",
          DNSNames: [
            ...["web", "web.back", "one", "one.back", "www", "www.back"],
            ...["0123456789ab", "0123456789ab.back"],
          ],
          Ports: [{ HostIp: "127.0.0.1", HostPort: "18080", ContainerPort: "80/tcp" }],
        },
      ],
    },
  ]);
  await sandbox.end();
  await nothingLeft();
  await netd.client.removeNetwork("back");
});

const ECHO = `
Bun.listen({ hostname: "0.0.0.0", port: 7, socket: { data: (socket, chunk) => void socket.write(chunk) } });
console.log("ready");
`;

test("one connection lives over netd's end, flushed rules and a bridge that was deleted", async () => {
  const sandbox = await makeSandbox();
  const ports = [{ containerPort: 7, protocol: "tcp" as const, hostPort: 18007 }];
  await attach(netd.client, sandbox, { containerId: "echo", ports });
  const server = Bun.spawn(["nsenter", "--net", "-t", String(sandbox.pid), "--", process.execPath, "-e", ECHO], {
    stdout: "pipe",
  });
  for await (const _ of server.stdout) break;
  const neighbour = await makeNeighbour();
  const caller = inNamespace(neighbour.pid, () =>
    Bun.connect({
      hostname: neighbour.hostAddress,
      port: 18007,
      socket: { data: (_socket, chunk) => void heard.push(chunk.toString()), close: () => void heard.push("closed") },
    }),
  );
  const heard: string[] = [];
  const socket = await caller;
  const say = async (word: string) => {
    socket.write(word);
    await waitFor(`the echo of ${word}`, () => heard.at(-1) === word, 20_000);
  };
  await say("at first");
  await killNetd();
  await say("without netd");
  netd = await startNetd(directories);
  await say("with the next");
  // It holds the port when it answers: what is not handed on meanwhile comes to nobody, and is sent again until it is.
  await netd.client.status();
  host("iptables", "-F");
  host("iptables", "-t", "nat", "-F");
  socket.write("flushed");
  expect(ctr("netd", "reconcile").status).toBe(0);
  await waitFor("the echo of what was sent between", () => heard.at(-1) === "flushed", 20_000);
  host("ip", "link", "delete", "ctr0");
  await say("on another bridge");
  expect(heard).toEqual(["at first", "without netd", "with the next", "flushed", "on another bridge"]);
  socket.end();
  server.kill("SIGKILL");
  await sandbox.end();
  host("ip", "link", "delete", "wire");
  await nothingLeft();
}, 60_000);

test("clients have limits: connections, requests that wait, answers that nobody reads", async () => {
  const descriptors = () => readdirSync(`/proc/${netd.process.pid}/fd`).length;
  const memory = () =>
    Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${netd.process.pid}/status`, "utf8"))?.[1]);
  const before = { descriptors: descriptors(), memory: memory() };
  const hello = encodeFrame({ type: "hello", conversation: "netd", version: NETD_VERSION });
  const silent: Bun.Socket[] = [];
  for (let count = 0; count < 600; count++)
    silent.push(
      await Bun.connect({
        unix: netdSocket(directories.state),
        socket: { open: (it) => void it.write(hello), data() {} },
      }),
    );
  // Whoever has something to ask is heard all the same.
  using asker = await connectNetd(directories);
  expect((await asker?.status())?.pid).toBe(netd.process.pid);
  expect(descriptors() - before.descriptors).toBeLessThanOrEqual(260);
  for (const socket of silent) socket.terminate();
  // A hundred thousand requests, and not one answer read.
  const request = encodeFrame({ type: "networks" });
  const flood = Buffer.concat([hello, ...Array.from({ length: 100_000 }, () => request)]);
  let sent = 0;
  const push = (socket: Bun.Socket) => {
    sent += Math.max(0, socket.write(flood.subarray(sent)));
  };
  const flooder = await Bun.connect({
    unix: netdSocket(directories.state),
    socket: { drain: push, data() {} },
  });
  flooder.pause();
  push(flooder);
  let still = -1;
  await waitFor("netd to read no more", async () => {
    const [last, now] = [still, sent];
    still = now;
    await Bun.sleep(200);
    return last === now;
  });
  expect(sent).toBeLessThan(flood.length);
  expect(memory() - before.memory).toBeLessThan(32_000);
  expect((await netd.client.status()).pid).toBe(netd.process.pid);
  flooder.terminate();
  await waitFor("their descriptors", () => descriptors() <= before.descriptors + 2);
});

test("what cannot be attached is refused in words", async () => {
  const words = async (request: object) =>
    await netd.client
      .attach({ containerId: "x", name: "x", sandbox: { pid: process.pid }, network: "bridge", ports: [], ...request })
      .then(
        () => "attached",
        (error: unknown) => (error instanceof Error ? error.message : ""),
      );
  expect(await words({ sandbox: { pid: 4_000_000 } })).toBe("no network namespace at /proc/4000000/ns/net");
  expect(await words({ sandbox: { path: "/etc/passwd" } })).toBe("/etc/passwd is not a network namespace");
  expect(await words({ network: "nosuch" })).toBe("network nosuch not found");
  expect(await words({ network: "host" })).toBe("network host has no endpoints");
  expect(await words({ macAddress: "01:00:5e:00:00:01" })).toBe("invalid MAC address: 01:00:5e:00:00:01");
  expect(await netd.client.endpoints()).toEqual([]);
});

test("two engines in one network namespace have their own bridge, subnet and chains", async () => {
  const second = await startNetd({ root: `${home}/root2`, state: `${home}/state2` });
  const sandbox = await makeSandbox();
  const endpoint = await attach(second.client, sandbox, {
    containerId: "z",
    ports: [{ containerPort: 80, protocol: "tcp" }],
  });
  expect(endpoint.interface.address).toBe("172.18.0.2");
  expect(links()).toContain("ctr1");
  expect(rules()).toContain("-A FORWARD -j CTR1-FORWARD");
  await sandbox.end();
  await waitFor("the second engine to collect", () => leases(`${home}/root2`).length === 0);
  second.process.kill("SIGTERM");
  expect(await second.process.exited).toBe(0);
});

test("netd.json: bip and mtu; a bad one stops the start with its reason", async () => {
  const root = `${home}/root3`;
  const state = `${home}/state3`;
  host("mkdir", "-p", root);
  writeFileSync(`${root}/netd.json`, '{"bip": "10.123.0.254/24", "mtu": 1400}');
  const configured = await startNetd({ root, state });
  const sandbox = await makeSandbox();
  const endpoint = await attach(configured.client, sandbox, { containerId: "z" });
  expect(endpoint).toMatchObject({
    gateway: "10.123.0.254",
    mtu: 1400,
    interface: { address: "10.123.0.1", prefixLength: 24 },
  });
  expect(host("nsenter", "--net", "-t", String(sandbox.pid), "--", "ip", "link", "show", "eth0")).toContain("mtu 1400");
  await sandbox.end();
  configured.process.kill("SIGTERM");
  await configured.process.exited;
  writeFileSync(`${root}/netd.json`, '{"bridge_ip": 1}');
  const bad = Bun.spawn([binary(), "netd"], {
    env: { ...process.env, CTR_ROOT: root, CTR_STATE: state },
    stderr: "pipe",
  });
  expect(await bad.stderr.text()).toBe(`netd: ${root}/netd.json: unknown key bridge_ip\n`);
  expect(await bad.exited).toBe(78);
});

test("idle: little memory of its own, and no wake-ups", async () => {
  await restartNetd();
  const sandbox = await makeSandbox();
  await attach(netd.client, sandbox, { containerId: "idle" });
  const pid = netd.process.pid;
  const switches = () =>
    /^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/task/${pid}/status`, "utf8"))?.[1];
  // It gives memory back two seconds after the last event and then sleeps.
  let before = switches();
  await waitFor("netd to fall asleep", async () => {
    before = switches();
    await Bun.sleep(2500);
    return switches() === before;
  });
  await Bun.sleep(2500);
  expect(switches()).toBe(before);
  const anonymous = /Anonymous:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
  expect(Number(anonymous)).toBeLessThan(20_000);
  await sandbox.end();
  await nothingLeft();
}, 40_000);

test("install --destdir: units that name this executable; uninstall takes them away", async () => {
  const destination = `${home}/image`;
  const run = (...words: string[]) =>
    Bun.spawnSync([binary(), "--root", directories.root, "--state", directories.state, "netd", ...words]);
  const installed = run("install", "--destdir", destination);
  expect(installed.exitCode).toBe(0);
  const units = `${destination}/etc/systemd/system`;
  expect(readFileSync(`${units}/ctr-netd.socket`, "utf8")).toContain(`ListenStream=${directories.state}/netd.sock`);
  const service = readFileSync(`${units}/ctr-netd.service`, "utf8");
  expect(service).toMatch(/^ExecStart=\/\S+ netd$/m);
  expect(service).toContain(`"CTR_ROOT=${directories.root}"`);
  expect(run("install", "--destdir", destination, "--log-level", "debug").exitCode).toBe(0);
  expect(readFileSync(`${units}/ctr-netd.service`, "utf8")).toMatch(/^ExecStart=\/\S+ netd --log-level debug$/m);
  expect(run("install", "--destdir", destination, "--log-level", "loud").stderr.toString()).toContain(
    "invalid log level",
  );
  if (Bun.which("systemd-analyze") !== null) {
    const all = ["ctr-netd.socket", "ctr-netd.service", "ctr-restore.service"].map((name) => `${units}/${name}`);
    const verified = Bun.spawnSync(["systemd-analyze", "verify", ...all], { env: { ...process.env, LC_ALL: "C" } });
    expect(verified.stderr.toString()).toBe("");
  }
  expect(run("uninstall", "--destdir", destination).exitCode).toBe(0);
  expect(existsSync(`${units}/ctr-netd.socket`)).toBe(false);
  if (existsSync("/run/systemd/system")) return;
  const refused = run("install", "--now");
  expect(refused.stderr.toString()).toContain("systemd does not run here");
  expect(refused.exitCode).not.toBe(0);
});

test("started with a socket, as systemd does it: LISTEN_FDS", async () => {
  const root = `${home}/root4`;
  const state = `${home}/state4`;
  host("mkdir", "-p", root, state);
  using listener = socket(AF_UNIX, SOCK_STREAM);
  bind(listener.number, unixAddress(netdSocket(state)));
  listen(listener.number, 16);
  // The connection is there before netd is.
  const connecting = connectNetd({ root, state });
  const child = Bun.spawn(["sh", "-c", `LISTEN_PID=$$ exec "${binary()}" netd`], {
    env: { ...process.env, CTR_ROOT: root, CTR_STATE: state, LISTEN_FDS: "1" },
    stdio: ["ignore", "inherit", "inherit", listener.number],
  });
  using client = await connecting;
  expect(await client?.status()).toMatchObject({ pid: child.pid, socketActivated: true });
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});

test("nothing is left running but netd", async () => {
  await nothingLeft();
  expect(processes().filter(({ command }) => command.includes("iptables"))).toEqual([]);
});
