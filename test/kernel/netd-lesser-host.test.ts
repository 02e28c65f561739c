/** netd where there is less than usual: no nf_tables and a legacy iptables, or a service manager's sandbox around it. */
import { expect } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { connectNetd, type NetdClient } from "../../internal/ipc/netd-client.ts";
import { dig, values } from "../lib/dns.ts";
import { tempEngine } from "../lib/engine.ts";
import { requirePrivateHost } from "../lib/host.ts";
import { binary, isDocker, needs } from "../lib/needs.ts";
import { attach, call, host, makeNeighbour, makeSandbox, serve } from "../lib/sandbox.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

requirePrivateHost();
const home = mkdtempSync(`${process.env["CTR_TEST_HOME"] ?? "/tmp"}/l-`);
const isPossible = needs("root", "ctr", "dig") && !isDocker();
const engine = tempEngine();
const FILTER = [process.execPath, `${import.meta.dir}/../lib/with-filter.ts`];
const NETWORK = {
  driver: "bridge",
  isInternal: false,
  isAttachable: false,
  hasIpv6: false,
  labels: {},
  options: {},
  ipamOptions: {},
  pools: [],
};

interface Netd extends AsyncDisposable {
  readonly client: NetdClient;
  readonly logged: () => string;
}

async function startUnder(filter: string): Promise<Netd> {
  const directories = { root: `${home}/${filter}/root`, state: `${home}/${filter}/state` };
  mkdirSync(directories.root, { recursive: true });
  const child = Bun.spawn([...FILTER, filter, binary(), "netd", "--log-level", "debug"], {
    env: { ...process.env, CTR_ROOT: directories.root, CTR_STATE: directories.state },
    stdin: "ignore",
    stdout: "inherit",
    stderr: "pipe",
  });
  let logged = "";
  const reading = (async () => {
    for await (const chunk of child.stderr) logged += new TextDecoder().decode(chunk);
  })();
  const client = await waitFor("netd", () => {
    if (child.exitCode !== null) throw new Error(`netd ended: ${logged}`);
    return connectNetd(directories);
  });
  return {
    client,
    logged: () => logged,
    [Symbol.asyncDispose]: async () => {
      client[Symbol.dispose]();
      child.kill("SIGTERM");
      await Promise.all([child.exited, reading]);
    },
  };
}

/** The distribution's switch to the other iptables, in this pretend host alone. */
function useLegacyIptables(): Disposable {
  const alternatives = `${home}/alternatives`;
  cpSync("/etc/alternatives", alternatives, { recursive: true, verbatimSymlinks: true });
  for (const name of ["iptables", "ip6tables"].flatMap((one) => [one, `${one}-save`, `${one}-restore`])) {
    rmSync(`${alternatives}/${name}`);
    symlinkSync(`/usr/sbin/${name.replace("tables", "tables-legacy")}`, `${alternatives}/${name}`);
  }
  host("mount", "--bind", alternatives, "/etc/alternatives");
  return { [Symbol.dispose]: () => host("umount", "/etc/alternatives") };
}

test.if(isPossible)("no nf_tables, legacy iptables: networks, names, ports and isolation all the same", async () => {
  using _legacy = useLegacyIptables();
  expect(readlinkSync("/etc/alternatives/iptables-save")).toContain("legacy");
  await using netd = await startUnder("nfnetlink");
  const { client } = netd;
  await client.createNetwork({ ...NETWORK, name: "back" });
  const apart = { "com.docker.network.bridge.enable_icc": "false" };
  await client.createNetwork({ ...NETWORK, name: "apart", options: apart });
  const [web, db] = [await makeSandbox(), await makeSandbox()];
  const neighbour = await makeNeighbour();
  const ports = [
    { containerPort: 80, protocol: "tcp" as const, hostPort: 18080 },
    { containerPort: 80, protocol: "udp" as const, hostPort: 18080 },
  ];
  const first = await attach(client, web, { containerId: "web", network: "back", ports });
  await attach(client, db, { containerId: "db", network: "back" });
  await serve(web.pid, "tcp", 80, "http");
  await serve(web.pid, "udp", 80, "datagram");
  // netd has taken port 53 itself.
  expect(values(await dig(db.pid, "web"))).toEqual([first.interface.address]);
  expect(netd.logged()).toContain("container DNS takes port 53 itself");
  for (const [from, address] of [
    [undefined, "127.0.0.1"],
    [db.pid, first.gateway],
    [web.pid, first.gateway],
    [neighbour.pid, neighbour.hostAddress],
  ] as const)
    expect([address, await call(from, "tcp", address, 18080)]).toEqual([address, expect.stringMatching(/^http /)]);
  expect(await call(neighbour.pid, "udp", neighbour.hostAddress, 18080)).toStartWith(`datagram ${neighbour.address}`);
  expect(await call(neighbour.pid, "tcp", first.interface.address, 80)).toBe("timeout");

  // Without ICC the bridge itself keeps its ports apart.
  const [one, two] = [await makeSandbox(), await makeSandbox()];
  const { hostInterface } = await attach(client, one, { containerId: "one", network: "apart" });
  const other = await attach(client, two, { containerId: "two", network: "apart" });
  await serve(two.pid, "tcp", 80, "neighbour");
  expect(await call(one.pid, "tcp", other.interface.address, 80)).toBe("timeout");
  const antispoof = { "ctr.network.bridge.antispoof": "true" };
  expect(client.createNetwork({ ...NETWORK, name: "strict", options: antispoof })).rejects.toThrow(
    "ctr.network.bridge.antispoof: this kernel has no nf_tables for bridges",
  );

  expect((await client.status()).details?.packetFilter).toContain("legacy");
  expect(await client.check(false)).toEqual([]);
  for (const [tampering, difference] of [
    [["iptables", "-t", "nat", "-F", "CTR"], "iptables: nat CTR lacks"],
    [["iptables", "-D", "FORWARD", "-j", "CTR-FORWARD"], "iptables: filter FORWARD does not jump to CTR-FORWARD"],
    [
      ["bridge", "link", "set", "dev", hostInterface, "isolated", "off"],
      `${hostInterface} (container one) reaches its neighbours on `,
    ],
  ] as const) {
    host(...tampering);
    expect((await client.check(true)).join("\n")).toContain(difference);
    expect(await client.check(false)).toEqual([]);
  }
  expect(await call(undefined, "tcp", "127.0.0.1", 18080)).toStartWith("http");
  expect(await call(one.pid, "tcp", other.interface.address, 80)).toBe("timeout");
  for (const name of ["web", "db", "one", "two"]) await client.detach(name);
  await Promise.all([web, db, one, two].map((sandbox) => sandbox.end()));
});

test.if(isPossible)("in a sandbox that allows no namespaces but the network's, as the unit asks for", async () => {
  await using netd = await startUnder("namespaces");
  const { client } = netd;
  await client.createNetwork({ ...NETWORK, name: "back" });
  const sandbox = await makeSandbox();
  const ports = [{ containerPort: 80, protocol: "tcp" as const, hostPort: 18081 }];
  const endpoint = await attach(client, sandbox, { containerId: "web", network: "back", ports });
  await serve(sandbox.pid, "tcp", 80, "http");
  expect(await call(undefined, "tcp", "127.0.0.1", 18081)).toStartWith("http");
  expect(values(await dig(sandbox.pid, "web"))).toEqual([endpoint.interface.address]);
  expect(await client.check(false)).toEqual([]);
  await client.detach("web");
  await sandbox.end();
});

test.if(isPossible && needs("cgroup-v1"))("where clone3 is not to be had containers start by clone", async () => {
  const image = await engine.image("minimal");
  const run = (...words: string[]) => {
    const env = { ...process.env, ...engine.env };
    const child = Bun.spawnSync([...FILTER, "clone3", binary(), "run", "--rm", ...words], { env, stdin: "ignore" });
    return `${child.exitCode} ${child.stdout.toString()}${child.stderr.toString()}`;
  };
  expect(run("--network", "none", image, "echo", "hello")).toBe("0 hello\n");
  expect(run(image, "sh", "-c", "exit 3")).toBe("3 ");
});
