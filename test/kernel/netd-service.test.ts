/** netd as a service: what it tells its manager, what a restart keeps, and that no request and no question is lost over it. */
import { expect } from "bun:test";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connectNetd } from "../../internal/ipc/netd-client.ts";
import { dig, fakeServer, values } from "../lib/dns.ts";
import { testHome } from "../lib/home.ts";
import { requirePrivateHost, rules } from "../lib/host.ts";
import { binary, needs } from "../lib/needs.ts";
import { attach, host, inNamespace, makeSandbox, startNetd, type TestSandbox } from "../lib/sandbox.ts";
import { type Managed, startManaged } from "../lib/service-manager.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

requirePrivateHost();
const [SIGHUP, SIGKILL, SIGTERM, SIGCONT, SIGSTOP] = [1, 9, 15, 18, 19];
const home = testHome("netd");
const BACK = {
  name: "back",
  driver: "bridge",
  isInternal: false,
  isAttachable: false,
  hasIpv6: false,
  labels: {},
  options: {},
  ipamOptions: {},
  pools: [],
};

function newHome(name: string): { readonly root: string; readonly state: string } {
  const directories = { root: `${home}/${name}/root`, state: `${home}/${name}/state` };
  mkdirSync(directories.root, { recursive: true });
  mkdirSync(directories.state, { recursive: true });
  return directories;
}

const directories = newHome("main");
const netd = await startManaged(directories);
const client = await connectNetd(directories);
if (client === undefined) throw new Error("netd does not listen");
await client.createNetwork(BACK);

async function joined(name: string): Promise<TestSandbox> {
  const sandbox = await makeSandbox();
  if (client === undefined) throw new Error("unreachable");
  await attach(client, sandbox, { containerId: name, network: "back" });
  return sandbox;
}

const web = await joined("web");
const db = await joined("db");

const ctr = (...words: string[]) =>
  Bun.spawnSync([binary(), "--root", directories.root, "--state", directories.state, "netd", ...words]);

test("ready is told once, with what there is; no watchdog is fed that nobody asked for", async () => {
  expect(netd.told).toEqual([["READY=1", "STATUS=3 networks, 0 endpoints, 0 published ports"]]);
  expect(await client.status()).toMatchObject({ pid: netd.pid(), socketActivated: true });
});

test("the sockets of container DNS are kept, and let go with their container", async () => {
  const names = (id: string, pid: number) => {
    const inode = statSync(`/proc/${pid}/ns/net`).ino;
    return [`dns-tcp-${id}-${inode}`, `dns-udp-${id}-${inode}`];
  };
  await waitFor("the sockets", () => netd.kept().length === 4);
  const found = netd.kept().map((name) => name.replace(/-[0-9a-f]{8}$/, ""));
  expect(found.toSorted()).toEqual([...names("db", db.pid), ...names("web", web.pid)].toSorted());
  const third = await joined("third");
  await waitFor("more sockets", () => netd.kept().length === 6);
  await third.end();
  await waitFor("the sockets to be let go", () => netd.kept().length === 4);
  // Of one that ends while no netd is there to hear of it.
  const fourth = await joined("fourth");
  await waitFor("more sockets", () => netd.kept().length === 6);
  netd.signal(SIGSTOP);
  await fourth.end();
  await netd.restart(SIGKILL);
  await waitFor("the sockets to be let go", () => netd.kept().length === 4);
});

test("SIGHUP: reloading and ready again; the configuration is read, what differs is put right", async () => {
  const sofar = netd.told.length;
  host("iptables", "-F", "CTR-FORWARD");
  netd.signal(SIGHUP);
  await waitFor("the reload", () => netd.told.length === sofar + 2);
  expect(netd.told.slice(sofar)).toEqual([
    ["RELOADING=1"],
    ["READY=1", "STATUS=4 networks, 2 endpoints, 0 published ports"],
  ]);
  expect((await client.status()).details?.reconciled).toMatchObject({ cause: "reload" });
  expect(netd.logged()).toContain("netd: put right: iptables: filter CTR-FORWARD lacks");
  expect(ctr("check").exitCode).toBe(0);
  writeFileSync(`${directories.root}/netd.json`, '{"mtu": "large"}');
  const refused = ctr("reload");
  expect([refused.exitCode, refused.stderr.toString()]).toEqual([
    1,
    `ctr: ${directories.root}/netd.json: mtu must be a whole number from 68 to 65535\n`,
  ]);
  expect(netd.told.at(-1)).toContain("READY=1");
  writeFileSync(`${directories.root}/netd.json`, '{"mtu": 1400}');
  expect(ctr("reload").exitCode).toBe(0);
  await client.createNetwork({ ...BACK, name: "narrow" });
  expect((await client.networks()).find(({ name }) => name === "narrow")?.mtu).toBe(1400);
});

const QUESTIONS = `
const query = Buffer.from("${"000001000001000000000000"}" + "0264620000010001", "hex");
let [asked, lost, again, stop] = [0, 0, 0, false];
process.stdin.once("data", () => { stop = true; });
const ask = async () => {
  const { promise, resolve } = Promise.withResolvers();
  const socket = await Bun.udpSocket({ connect: { hostname: "127.0.0.11", port: 53 },
    socket: { data: (_, reply) => resolve(reply.length > query.length), error: () => resolve(false) } });
  socket.send(query);
  const isAnswered = await Promise.race([promise, Bun.sleep(2000).then(() => false)]);
  socket.close();
  return isAnswered;
};
while (!stop || asked < 50) {
  asked++;
  if (await ask()) continue;
  again++;
  if (!(await ask())) lost++;
}
console.log(JSON.stringify({ again, lost }));
process.exit(0);
`;

/** Asks for db again and again; a question without an answer is asked a second time, and is lost if that is in vain too. */
function askOn(pid: number) {
  const child = Bun.spawn(["nsenter", "--net", "--target", String(pid), "--", process.execPath, "-e", QUESTIONS], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  return async (): Promise<{ readonly again: number; readonly lost: number }> => {
    child.stdin.write("stop\n");
    child.stdin.end();
    return JSON.parse(await child.stdout.text());
  };
}

for (const [how, signals] of [
  ["restarted", [SIGTERM, SIGTERM, SIGTERM, SIGTERM]],
  ["killed", [SIGKILL, SIGKILL, SIGKILL]],
] as const) {
  test(`${how} under load: no question is lost, and no request`, async () => {
    const questions = [askOn(web.pid), askOn(web.pid), askOn(db.pid)];
    let [isOver, attached, asked] = [false, 0, 0];
    const attaching = async (id: string) => {
      const own = await connectNetd(directories);
      const sandbox = await makeSandbox();
      for (; !isOver; attached++) {
        const endpoint = await own?.attach({
          containerId: id,
          name: id,
          sandbox: { pid: sandbox.pid },
          network: "back",
          ports: [{ containerPort: 80, protocol: "tcp" }],
        });
        expect(endpoint?.name).toBe(id);
        await own?.detach(id);
      }
      own?.[Symbol.dispose]();
      await sandbox.end();
    };
    const asking = async () => {
      for (; !isOver; asked++) {
        using own = await connectNetd(directories);
        expect((await own?.endpoints("web"))?.[0]?.name).toBe("web");
      }
    };
    const work = [attaching("one"), attaching("two"), asking()];
    for (const signal of signals) {
      const before = { attached, asked };
      await waitFor("some work", () => attached > before.attached + 1 && asked > before.asked + 1);
      await netd.restart(signal);
    }
    isOver = true;
    await Promise.all(work);
    for (const { again, lost } of await Promise.all(questions.map((end) => end()))) {
      expect([how, lost]).toEqual([how, 0]);
      // Only who is killed between a question and its answer owes it.
      expect(again).toBeLessThanOrEqual(how === "killed" ? signals.length : 0);
    }
    expect(netd.exits().slice(-signals.length)).toEqual(signals.map((signal) => (signal === SIGKILL ? -SIGKILL : 0)));
    await waitFor("nothing to differ", () => ctr("check").exitCode === 0);
    expect(rules().filter((rule) => rule.includes("DNAT"))).toEqual([]);
    expect((await client.status()).details).toMatchObject({ leases: 2, ports: 0 });
  }, 60_000);
}

test.if(needs("dig"))(
  "questions by TCP, and to other servers, while netd is away, are answered by the next",
  async () => {
    netd.signal(SIGSTOP);
    const early = [dig(web.pid, "db"), dig(web.pid, "+tcp", "db"), dig(db.pid, "web")];
    // They are in the sockets' queues.
    await waitFor("the questions", () => inNamespace(web.pid, queuedAtDns) > 0 && inNamespace(db.pid, queuedAtDns) > 0);
    await netd.restart(SIGKILL);
    const [udp, tcp, other] = await Promise.all(early);
    if (udp === undefined || tcp === undefined || other === undefined) throw new Error("unreachable");
    expect([values(udp), values(tcp), tcp.overTcp]).toEqual([values(await dig(web.pid, "db")), values(udp), true]);
    expect(other.code).toBe("NOERROR");
    // An orderly end waits for what other servers are still to say.
    const resolver = /^nameserver (\S+)/m.exec(readFileSync("/etc/resolv.conf", "utf8"))?.[1] ?? "";
    if (!resolver.startsWith("127.")) return;
    using server = await fakeServer(resolver, "192.0.2.7");
    const asked = dig(web.pid, "example.test");
    await waitFor("the question", () => server.received.length > 0);
    await netd.restart(SIGTERM);
    expect(values(await asked)).toEqual(["192.0.2.7"]);
  },
);

/** Bytes that wait in UDP sockets of 127.0.0.11, of the calling thread's namespace (proc(5), net/udp). */
function queuedAtDns(): number {
  const lines = readFileSync("/proc/thread-self/net/udp", "utf8").split("\n");
  return lines
    .filter((line) => line.includes(" 0B00007F:"))
    .reduce((sum, line) => sum + Number.parseInt(/ [0-9A-F]{8}:([0-9A-F]{8}) /.exec(line)?.[1] ?? "0", 16), 0);
}

test.if(needs("strace"))(
  "a watchdog is fed while netd is healthy, and not while the kernel does not answer",
  async () => {
    const own = newHome("watched");
    const watched = await startManaged(own, { WATCHDOG_USEC: "400000" });
    const fed = () => watched.told.filter(([line]) => line === "WATCHDOG=1").length;
    await waitFor("the watchdog to be fed", () => fed() >= 5);
    const options = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=recvfrom", "-e", "inject=recvfrom:error=ENOBUFS"];
    const tracer = Bun.spawn(["strace", ...options, "-p", String(watched.pid())], { stderr: "ignore" });
    await waitFor("the failure", () => watched.logged().includes("netd: netd is not healthy: recv"));
    const before = fed();
    await Bun.sleep(1000);
    expect(fed()).toBe(before);
    tracer.kill("SIGINT");
    await tracer.exited;
    await waitFor("the watchdog to be fed again", () => fed() > before);
    // It sleeps in between.
    const switches = () =>
      Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/${watched.pid()}/status`, "utf8"))?.[1]);
    await waitFor("netd to fall asleep", async () => {
      const at = switches();
      await Bun.sleep(1000);
      return switches() - at <= 7;
    });
    watched.signal(SIGTERM);
    await waitFor("the end", () => watched.exits().length > 0);
    expect(watched.told.filter(([line]) => line === "STOPPING=1")).toHaveLength(1);
    expect(watched.exits()).toEqual([0]);
  },
  40_000,
);

test("logs: levels, and their numbers where the journal listens", async () => {
  const own = newHome("journal");
  const file = `${own.state}-stderr`;
  writeFileSync(file, "");
  const { dev, ino } = statSync(file);
  const journal = await startManaged(own, { JOURNAL_STREAM: `${dev}:${ino}` }, ["--log-level", "debug"]);
  using other = await connectNetd(own);
  await other?.networks();
  await waitFor("the lines", () => /^<7>networks \d/m.test(journal.logged()));
  expect(journal.logged()).toMatch(/^<6>ready, version \S+: 3 networks, 0 endpoints, 0 published ports$/m);
  expect(journal.logged()).not.toContain("netd: ");
  const quiet = newHome("quiet");
  const silent = await startManaged(quiet, { JOURNAL_STREAM: "1:1" }, ["--log-level=warning"]);
  await silent.restart(SIGTERM);
  expect(silent.logged()).toBe("");
  const refused = Bun.spawnSync([binary(), "netd", "--log-level", "loud"], { env: { ...process.env, CTR_ROOT: home } });
  expect([refused.exitCode, refused.stderr.toString()]).toEqual([
    78,
    'netd: invalid log level "loud": one of error, warning, info, debug\n',
  ]);
});

test("status: for people and as JSON, and its exit status", async () => {
  const shown = ctr("status").stdout.toString();
  for (const line of [/^netd: running, pid \d+, version \S+$/m, /^started by: systemd$/m, /^up: .*second/m])
    expect(shown).toMatch(line);
  for (const line of [/^endpoints: 2$/m, /^leases: 2$/m, /^published ports: 0$/m, /^packet filter: iptables v/m])
    expect(shown).toMatch(line);
  expect(shown).toMatch(/^reconciled: .* ago, at its start, \d+ put right$/m);
  const { stdout } = ctr("status", "--format", "json");
  expect(JSON.parse(stdout.toString())).toMatchObject({
    Running: true,
    Pid: netd.pid(),
    StartedBy: "systemd",
    Endpoints: 2,
    Networks: 5,
    Leases: 2,
    DNS: { Containers: 2, Waiting: 0 },
    Reconciled: { Cause: "start" },
  });
  expect(ctr("status", "-f", "{{.Leases}} {{.DNS.Containers}}").stdout.toString()).toBe("2 2\n");
  const nobody = Bun.spawnSync([binary(), "--state", `${home}/nowhere`, "netd", "status", "--format", "json"]);
  expect([nobody.exitCode, nobody.stdout.toString()]).toEqual([3, '{"Running":false}\n']);
});

test("NOTIFY_SOCKET that cannot be one stops the start", async () => {
  const own = newHome("refused");
  const child = Bun.spawn([binary(), "netd"], {
    env: { ...process.env, CTR_ROOT: own.root, CTR_STATE: own.state, NOTIFY_SOCKET: "relative" },
    stderr: "pipe",
  });
  expect(await child.stderr.text()).toBe("netd: NOTIFY_SOCKET must be a path or an abstract name: relative\n");
  expect(await child.exited).toBe(78);
});

test("at the end: everybody is collected, and nothing is kept", async () => {
  const status: Managed = netd;
  status.signal(SIGCONT);
  await Promise.all([web.end(), db.end()]);
  await waitFor("the sockets to be let go", () => status.kept().length === 0);
  using foreground = await startNetd(newHome("foreground")).then(({ process: child }) => ({
    [Symbol.dispose]: () => child.kill("SIGTERM"),
  }));
  expect(foreground).toBeDefined();
});
