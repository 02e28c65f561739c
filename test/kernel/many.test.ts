/** Two hundred containers at once, and many lives one after the other: nothing stays, `ps` is right, all works. */
import { expect } from "bun:test";
import { readdirSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { cgroupParent, cgroupsBelow, filesBelow } from "../lib/host.ts";
import { needs } from "../lib/needs.ts";
import { isEveryStep } from "../lib/steps.ts";
import { test as kernelTest } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const test = kernelTest.if(needs("ctr", "iptables"));
const engine = tempEngine();
const image = await engine.image("minimal");

/** For what each of them leaves a few would do; what one in hundreds leaves is looked for with `CTR_TEST_STEPS=all`. */
const LIVES = isEveryStep ? 500 : 150;

/** Does it for every number below `count`, `width` at a time. */
async function each(count: number, width: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

const lines = async (...operands: readonly string[]) => (await engine.ok(...operands)).split("\n").filter(Boolean);

/** What one container has on the disk and in the kernel, counted. */
function kept() {
  const netd = engine.netd();
  return {
    cgroups: cgroupsBelow(cgroupParent()).length,
    containers: readdirSync(`${engine.root}/containers`).length,
    volumes: readdirSync(`${engine.root}/volumes`).length,
    state: filesBelow(engine.state, 4).length,
    netdDescriptors: netd === undefined ? 0 : readdirSync(`/proc/${netd}/fd`).length,
  };
}

test("two hundred at once: all run, each with an address of its own; all are stopped and removed by one command each", async () => {
  const COUNT = 200;
  // A wave of eight commands; the containers all run at the same time.
  await each(COUNT, 8, (index) => engine.ok("run", "-d", "--name", `many-${index}`, image, "probe", "pause"));
  const ids = await lines("ps", "-q", "--no-trunc");
  expect(ids.length).toBe(COUNT);
  expect(new Set(ids).size).toBe(COUNT);
  expect(await lines("ps", "-q", "--filter", "status=running")).toHaveLength(COUNT);
  const addresses = await lines("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", ...ids);
  expect(new Set(addresses).size).toBe(COUNT);

  await engine.ok("exec", "many-0", "true");
  await engine.ok("exec", `many-${COUNT - 1}`, "true");
  expect(await lines("stats", "--no-stream", "--format", "{{.PIDs}}")).toEqual(Array<string>(COUNT).fill("1"));

  const stopped = await engine.ctrWith({ timeoutMs: 90_000 }, "stop", "-t", "0", ...ids.slice(0, COUNT / 2));
  expect(stopped).toMatchObject({ status: 0, stderr: "" });
  expect(await lines("ps", "-q")).toHaveLength(COUNT / 2);
  expect(await lines("ps", "-q", "--filter", "status=exited")).toHaveLength(COUNT / 2);
  const removed = await engine.ctrWith({ timeoutMs: 90_000 }, "rm", "-f", ...ids);
  expect(removed).toMatchObject({ status: 0, stderr: "" });
  expect(await lines("ps", "-aq")).toEqual([]);
  await engine.expectNothingLeft();
}, 300_000);

test(`${LIVES} lives: create, run, exec, remove; afterwards there is as much as before`, async () => {
  const life = async (index: number) => {
    const name = `life-${index}`;
    if (index % 5 === 0) {
      // Made, started, looked into and removed by force, with an anonymous volume.
      await engine.ok("create", "--name", name, "-v", "/data", image, "probe", "pause");
      await engine.ok("start", name);
      await engine.ok("exec", name, "true");
      await engine.ok("rm", "-f", "-v", name);
    } else if (index % 5 === 1) {
      expect((await engine.ctr("run", "--name", name, image, "sh", "-c", "exit 3")).status).toBe(3);
      await engine.ok("rm", name);
    } else if (index % 5 === 2) {
      expect((await engine.ctr("run", "--rm", "--name", name, image, "no-such-program")).status).toBe(127);
    } else await engine.ok("run", "--rm", "--name", name, "-v", "/data", image, "true");
  };
  // The first ones make what stays: netd, its bridge, its caches.
  await each(20, 4, life);
  await waitFor("the first ones to be gone", () => cgroupsBelow(cgroupParent()).length <= 1);
  const before = kept();
  await each(LIVES, 4, (index) => life(index + 20));
  await waitFor("the last ones to be gone", () => cgroupsBelow(cgroupParent()).length <= before.cgroups);
  expect(kept()).toEqual(before);
  expect(await lines("ps", "-aq")).toEqual([]);
  expect(await lines("volume", "ls", "-q")).toEqual([]);
  await engine.expectNothingLeft();
}, 300_000);
