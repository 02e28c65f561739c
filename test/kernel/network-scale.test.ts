/** Many endpoints on one network of a user's: nothing is left of them, each has its own address, and the last is as quick as the first. */
import { expect } from "bun:test";
import { testHome } from "../lib/home.ts";
import { links, requirePrivateHost, rules } from "../lib/host.ts";
import { leases } from "../lib/leaks.ts";
import { makeSandbox, startNetd, type TestSandbox } from "../lib/sandbox.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

requirePrivateHost();
const home = testHome("s");
const directories = { root: `${home}/root`, state: `${home}/state` };
const { client } = await startNetd(directories);
const network = await client.createNetwork({
  name: "many",
  driver: "bridge",
  isInternal: false,
  isAttachable: false,
  hasIpv6: true,
  labels: {},
  options: {},
  ipamOptions: {},
  pools: [],
});

const veths = () => links().filter((name) => name.startsWith("veth"));

function attach(sandbox: TestSandbox, containerId: string) {
  const request = { containerId, name: containerId, sandbox: { pid: sandbox.pid }, network: network.name, ports: [] };
  return client.attach({ ...request, aliases: ["all"] });
}

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0;
}

test("16 at once: each has an address of both kinds of its own", async () => {
  const sandboxes = await Promise.all(Array.from({ length: 16 }, makeSandbox));
  const endpoints = await Promise.all(sandboxes.map((sandbox, index) => attach(sandbox, `at-once-${index}`)));
  expect(new Set(endpoints.map(({ interface: { address } }) => address)).size).toBe(16);
  expect(new Set(endpoints.map(({ interface: { address6 } }) => address6)).size).toBe(16);
  await Promise.all(sandboxes.map((sandbox) => sandbox.end()));
  await waitFor("all to be collected", () => veths().length === 0 && leases(directories.root).length === 0);
});

test("300 endpoints come and go: the last attaches are no slower than the first, and nothing is left", async () => {
  // One namespace holds them all: a process each would be the test's cost, not netd's.
  const sandbox = await makeSandbox();
  const times: number[] = [];
  for (let number = 0; number < 300; number++) {
    const began = performance.now();
    await attach(sandbox, `of-many-${number}`).catch((error: unknown) => {
      throw new Error(`endpoint ${number}: ${error}`);
    });
    times.push(performance.now() - began);
    // The next container's eth0 is to be born there too.
    Bun.spawnSync([
      "nsenter",
      "--net",
      "-t",
      String(sandbox.pid),
      "--",
      "ip",
      "link",
      "set",
      "eth0",
      "name",
      `x${number}`,
    ]);
  }
  const [first, last] = [median(times.slice(0, 50)), median(times.slice(-50))];
  console.info(`attach: ${first.toFixed(2)} ms at first, ${last.toFixed(2)} ms with 250 to 300 there`);
  expect((await client.endpoints()).length).toBe(300);
  // Twice is the promise; the machine may be loaded.
  expect(last).toBeLessThan(Math.max(2 * first, first + 8));
  for (let number = 0; number < 300; number++) await client.detach(`of-many-${number}`);
  await sandbox.end();
  await waitFor("all links to go", () => veths().length === 0 && leases(directories.root).length === 0, 20_000);
  await client.removeNetwork(network.id);
  expect(rules().filter((rule) => rule.includes(network.device ?? "br-"))).toEqual([]);
  expect(links()).not.toContain(network.device ?? "");
}, 120_000);
