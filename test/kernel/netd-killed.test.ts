/**
 * netd, killed before each of its calls that change the kernel or its database, while it makes networks, puts containers
 * on them and takes them away again. Its manager starts the next one; whoever asked asks again and gets what was asked for;
 * and nothing differs afterwards from what is recorded. The calls are drawn (test/lib/steps.ts).
 */
import { expect } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { ensureNetd, type NetdClient } from "../../internal/ipc/netd-client.ts";
import { testHome } from "../lib/home.ts";
import { links, requirePrivateHost, rules } from "../lib/host.ts";
import { leases } from "../lib/leaks.ts";
import { needs } from "../lib/needs.ts";
import { makeSandbox, type TestSandbox } from "../lib/sandbox.ts";
import { startManaged } from "../lib/service-manager.ts";
import { drawn, killedBefore, recordedSteps, recording } from "../lib/steps.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

requirePrivateHost();
const CALLS = [
  ...["sendto", "sendmsg", "pwrite64", "fdatasync", "fsync", "ftruncate", "unlink", "unlinkat", "socket", "bind"],
  ...["listen", "setsockopt", "setns", "close", "write", "vfork", "clone", "clone3", "connect", "sendmmsg"],
] as const;
const MAX_STEPS = 24;

const home = testHome("netd");
const directories = { root: `${home}/root`, state: `${home}/state` };
for (const directory of Object.values(directories)) mkdirSync(directory);

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

/** One of everything that changes something. */
async function everything(client: NetdClient, [web, db]: readonly [TestSandbox, TestSandbox]): Promise<void> {
  const network = await client.createNetwork({ name: "back", ...NETWORK });
  expect(network.device).toStartWith("br-");
  const shared = { network: "back", aliases: ["shared"], isLive: true };
  const first = await client.attach({
    ...shared,
    containerId: "web",
    name: "web",
    sandbox: { pid: web.pid },
    ports: [{ containerPort: 80, protocol: "tcp", hostPort: 18080 }],
  });
  expect(first.ports[0]?.hostPort).toBe(18080);
  await client.attach({ ...shared, containerId: "db", name: "db", sandbox: { pid: db.pid }, ports: [] });
  await client.rename("db", "data");
  expect((await client.endpoints("db"))[0]?.name).toBe("data");
  await client.disconnect("db", "back", []);
  await client.detach("web");
  expect((await client.removeNetwork("back")).id).toBe(network.id);
}

const isTraced = (pid: number) => !/^TracerPid:\s*0$/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));

test.if(needs("strace"))(
  "killed before each of its calls: what was asked for is done by the next, and nothing differs",
  async () => {
    const netd = await startManaged(directories, {}, ["--log-level", "error"]);
    netd.keep();
    const sandboxes = [await makeSandbox(), await makeSandbox()] as const;
    const trace = async (options: readonly string[]) => {
      const tracer = Bun.spawn(["strace", "-qq", ...options, "-p", String(netd.pid())], { stderr: "ignore" });
      await waitFor("strace", () => isTraced(netd.pid()));
      return tracer;
    };
    {
      using client = await ensureNetd(directories);
      await everything(client, sandboxes); // once, so that what is made once is there
      const recorder = await trace(recording(`${home}/calls`, CALLS, false));
      await everything(client, sandboxes);
      recorder.kill("SIGINT");
      await recorder.exited;
    }
    const all = recordedSteps(`${home}/calls`, CALLS);
    expect(all.length).toBeGreaterThan(50);
    const steps = drawn(all, MAX_STEPS);
    const clean = rules();
    for (const [call, number] of steps) {
      const step = `${call} ${number}`;
      const before = netd.starts();
      using client = await ensureNetd(directories);
      const tracer = await trace(killedBefore([call, number]));
      try {
        await everything(client, sandboxes);
      } catch (error) {
        throw new Error(`killed at ${step}`, { cause: error });
      }
      tracer.kill("SIGINT");
      await tracer.exited;
      // A call whose number differs from time to time may not have been reached.
      const isKilled = netd.exits().length >= before;
      if (isKilled) await waitFor(`the next netd after ${step}`, () => netd.starts() > before);
      let differences: readonly string[] = [];
      await waitFor("nothing to differ", async () => {
        differences = await client.check(false);
        return differences.length === 0;
      }).catch((error: unknown) => {
        throw new Error(`after ${step}: ${differences.join("; ")}`, { cause: error });
      });
      const left = links().filter((name) => name.startsWith("veth") || name.startsWith("br-"));
      expect([step, left, leases(directories.root), await client.endpoints()]).toEqual([step, [], [], []]);
      expect([step, (await client.networks()).map(({ name }) => name)]).toEqual([step, ["bridge", "host", "none"]]);
      expect([step, ...rules().toSorted()]).toEqual([step, ...clean.toSorted()]);
    }
    expect(netd.exits().length).toBeGreaterThan(steps.length / 2);
    for (const sandbox of sandboxes) await sandbox.end();
  },
  900_000,
);
