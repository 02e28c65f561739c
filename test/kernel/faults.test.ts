/**
 * Any process of ours may be killed at any instruction. The next command works, `ps` tells the truth, `rm -f` works,
 * and once it has, nothing is left: no process, mount, cgroup, link, rule or lease.
 */

import { expect } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { notedStarts } from "../../internal/container/starting.ts";
import { isRunning } from "../../internal/sys/process.ts";
import { imageArchive, tempEngine } from "../lib/engine.ts";
import { cgroupParent, cgroupsBelow, processes, rules } from "../lib/host.ts";
import { needs } from "../lib/needs.ts";
import { test as kernelTest } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const test = kernelTest.if(needs("ctr", "iptables"));
const engine = tempEngine();
const image = await engine.image("minimal");

const SIGKILL = 9;

const status = (name: string) => engine.ok("inspect", "-f", "{{.State.Status}}", name);
const pidOf = async (name: string) => Number(await engine.ok("inspect", "-f", "{{.State.Pid}}", name));

/** The pids of one role: what runs now as `ctr supervisor`, `ctr netd`, `ctr init`, `ctr run`. */
function roles(role: "run" | "supervisor" | "netd" | "init"): readonly number[] {
  return processes()
    .filter(
      (found) =>
        found.state !== "Z" &&
        found.command.split(" ")[1] === role &&
        /(^|\/)ctr$/.test(found.command.split(" ")[0] ?? ""),
    )
    .map((found) => found.pid);
}

function kill(...pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, SIGKILL);
    } catch {
      // it was faster
    }
  }
}

function isAlive(pid: number): boolean {
  return processes().some((found) => found.pid === pid && found.state !== "Z");
}

async function gone(...pids: readonly number[]): Promise<void> {
  await waitFor(`processes ${pids.join(" ")} to end`, () => !pids.some(isAlive));
}

/** Starts a container that serves a word on a published port. */
async function serve(name: string, port: number): Promise<void> {
  await engine.ok(
    "run",
    "-d",
    "--name",
    name,
    "-p",
    `${port}:80`,
    image,
    "sh",
    "-c",
    `mkdir -p /www && echo ${name} > /www/index.html && exec httpd -f -h /www`,
  );
  await waitFor(`${name} to answer`, () => answers(name, port));
}

async function answers(name: string, port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2000), keepalive: false });
    return (await response.text()) === `${name}\n`;
  } catch {
    return false;
  }
}

/** What every fault must end in: the list of containers can be read and emptied, and nothing is left. */
async function expectRecovered(): Promise<void> {
  await engine.ok("ps", "-a");
  await engine.expectNothingLeft();
  expect(await engine.ok("ps", "-aq")).toBe("");
  expect(await engine.ok("run", "--rm", "-p", "18099:80", image, "echo", "works")).toBe("works");
  await engine.expectNothingLeft();
}

test("kill -9 of the attached command: the container goes on, with --rm it is removed at its end", async () => {
  const child = engine.spawn("run", "--rm", "--name", "left", "--network", "none", image, "probe", "pause");
  await waitFor("the container", async () => (await engine.ctr("logs", "left")).stdout === "ready\n");
  child.kill("SIGKILL");
  await child.exited;
  expect(await status("left")).toBe("running");
  await engine.ok("kill", "left");
  await waitFor("its removal", async () => (await engine.ok("ps", "-aq")) === "");
  await engine.expectNothingLeft();
});

test("kill -9 of the command at any moment of `run -d`: nothing half made stays", async () => {
  for (let delayMs = 1; delayMs <= 40; delayMs += 3) {
    const child = engine.spawn(
      "run",
      "-d",
      "--name",
      `cut${delayMs}`,
      "-p",
      `${18200 + delayMs}:80`,
      image,
      "probe",
      "pause",
    );
    await Bun.sleep(delayMs); // the moment is what is tried here
    child.kill("SIGKILL");
    await child.exited;
  }
  // Whatever state each reached, it has one name for it, and can be removed.
  const listed = (await engine.ok("ps", "-a", "--format", "{{.Names}} {{.State}}"))
    .split("\n")
    .filter((line) => line !== "");
  for (const line of listed) expect(line).toMatch(/^cut\d+ (created|running|exited)$/);
  for (const line of listed.filter((text) => text.endsWith("running")))
    expect(isAlive(await pidOf(line.split(" ")[0] ?? ""))).toBe(true);
  await expectRecovered();
}, 60_000);

test("kill -9 of the supervisor: ps says so, the container's processes go, start works again", async () => {
  await serve("orphaned", 18301);
  const pid = await pidOf("orphaned");
  const supervisors = roles("supervisor");
  expect(supervisors.length).toBe(1);
  kill(...supervisors);
  await gone(...supervisors);
  await waitFor("ps to tell", async () => (await engine.ok("ps", "-a", "--format", "{{.State}}")) === "exited");
  expect(await engine.ok("ps", "-q")).toBe("");
  await gone(pid);
  expect(cgroupsBelow(cgroupParent())).toEqual([]);
  await engine.ok("start", "orphaned");
  await waitFor("it to answer again", () => answers("orphaned", 18301));
  await engine.ok("rm", "-f", "orphaned");
  await expectRecovered();
}, 60_000);

test("kill -9 of a supervisor that waits to start its container again: exited, with the status it had", async () => {
  await engine.ok("run", "-d", "--name", "waiting", "--restart", "always", image, "sh", "-c", "exit 5");
  // By its third end it waits for 400 ms.
  await waitFor(
    "its third end",
    async () => Number(await engine.ok("inspect", "-f", "{{.RestartCount}}", "waiting")) >= 2,
  );
  await waitFor("it to wait", async () => (await status("waiting")) === "restarting");
  const supervisors = roles("supervisor");
  kill(...supervisors);
  await gone(...supervisors);
  expect(await engine.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "waiting")).toBe("exited 5");
  await engine.ok("start", "waiting");
  await engine.ok("rm", "-f", "waiting");
  await expectRecovered();
}, 60_000);

test("kill -9 of the supervisor at any moment of a start", async () => {
  for (let delayMs = 1; delayMs <= 40; delayMs += 3) {
    const child = engine.spawn(
      "run",
      "-d",
      "--name",
      `start${delayMs}`,
      "-p",
      `${18400 + delayMs}:80`,
      image,
      "probe",
      "pause",
    );
    await Bun.sleep(delayMs);
    kill(...roles("supervisor"));
    await child.exited; // it must not hang on a supervisor that is gone
  }
  await expectRecovered();
}, 90_000);

test("kill -9 of command and supervisor before the container is recorded: one ctr ps later its cgroup is gone", async () => {
  let early = 0;
  await engine.ok("run", "--rm", "--network", "none", image, "true");
  // Until it was hit, which most often is at some of the first sixty moments.
  for (let round = 0; round < 60 || (early === 0 && round < 600); round++) {
    const child = engine.spawn("run", "-d", "--network", "none", image, "probe", "pause");
    await Bun.sleep(2 + (round % 60) / 4); // the moment is what is tried here
    child.kill("SIGKILL");
    kill(...roles("supervisor"));
    await child.exited;
    // One that was not called so yet hears of the command's end by itself.
    await waitFor("its supervisor to be gone", () => roles("run").length + roles("supervisor").length === 0);
    // A process on its way out has no command line any more, but is not dead yet.
    await waitFor("its supervisor's end", () =>
      notedStarts(engine.state).every(({ keeper }) => !isRunning(keeper.pid, keeper.startTime)),
    );
    const hadCgroup = cgroupsBelow(cgroupParent()).length > 0;
    const listed = await engine.ok("ps", "-aq");
    expect(cgroupsBelow(cgroupParent())).toEqual([]);
    expect(readdirSync(`${engine.state}/starting`)).toEqual([]);
    if (listed !== "") await engine.ok("rm", "-f", listed);
    else if (hadCgroup) early++;
  }
  expect(early).toBeGreaterThan(0);
  await expectRecovered();
}, 60_000);

test("kill -9 of the command before its container is recorded: nothing stays", async () => {
  for (let round = 0; round < 12; round++) {
    const child = engine.spawn("run", "-d", "--network", "none", image, "probe", "pause");
    await waitFor("its supervisor", () => roles("supervisor").length > 0 || child.exitCode !== null);
    child.kill("SIGKILL");
    await child.exited;
  }
  await expectRecovered();
}, 60_000);

test("after a power failure: directories whose row was lost are removed once", async () => {
  const id = "0123456789abcdef".repeat(4);
  const lost = `${engine.root}/containers/${id}`;
  await engine.ok("info");
  mkdirSync(`${lost}/upper`, { recursive: true });
  await engine.ok("info");
  // This boot has seen it all already.
  expect(existsSync(lost)).toBe(true);
  rmSync(`${engine.state}/collected`);
  const kept = await engine.ok("create", image, "true");
  mkdirSync(`${engine.root}/containers/${kept}`, { recursive: true });
  await engine.ok("info");
  expect(existsSync(lost)).toBe(false);
  expect(existsSync(`${engine.root}/containers/${kept}`)).toBe(true);
  await engine.ok("rm", kept);
});

test("kill -9 of init at any moment of a start: the command fails or the container has ended, nothing hangs", async () => {
  for (let delayMs = 4; delayMs <= 34; delayMs += 3) {
    const child = engine.spawn("run", "-d", "--network", "none", "--name", `init${delayMs}`, image, "probe", "pause");
    await Bun.sleep(delayMs);
    kill(...roles("init"));
    await child.exited;
  }
  await expectRecovered();
}, 60_000);

test("kill -9 of the container's PID 1 from outside: 137, cleaned up by its supervisor", async () => {
  await serve("shot", 18302);
  kill(await pidOf("shot"));
  expect(await engine.ok("wait", "shot")).toBe("137");
  expect(await status("shot")).toBe("exited");
  await waitFor("its rule to go", () => !rules().some((rule) => rule.includes("18302")));
  await engine.ok("rm", "shot");
  await expectRecovered();
});

test("kill -9 of netd: everything keeps flowing, the next netd takes over what it finds", async () => {
  await serve("first", 18303);
  const before = roles("netd");
  expect(before.length).toBe(1);
  kill(...before);
  await gone(...before);
  expect(await answers("first", 18303)).toBe(true);
  await serve("second", 18304);
  expect(await answers("first", 18303)).toBe(true);
  const addresses = await engine.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "first", "second");
  expect(new Set(addresses.split("\n")).size).toBe(2);
  // A port that is in use is still known to be.
  expect(await engine.fails(125, "run", "--rm", "-p", "18303:80", image, "true")).toContain(
    "port is already allocated",
  );
  await engine.ctr("rm", "-f", ...(await engine.ok("ps", "-aq", "--filter", "status=created")).split("\n"));
  await engine.ok("rm", "-f", "first", "second");
  expect(rules().some((rule) => /1830[34]/.test(rule))).toBe(false);
  await expectRecovered();
}, 60_000);

test("kill -9 of netd at any moment of a start: the command succeeds or says why", async () => {
  for (let delayMs = 2; delayMs <= 32; delayMs += 3) {
    const child = engine.spawn(
      "run",
      "-d",
      "--name",
      `net${delayMs}`,
      "-p",
      `${18500 + delayMs}:80`,
      image,
      "probe",
      "pause",
    );
    await Bun.sleep(delayMs);
    kill(...roles("netd"));
    const exit = await child.exited;
    if (exit !== 0) expect(await child.stderr.text()).toMatch(/^(ctr|docker): /);
  }
  await expectRecovered();
}, 90_000);

test("kill -9 of netd while a container ends: its address and rules do not stay", async () => {
  await serve("ending", 18305);
  kill(...roles("netd"));
  await engine.ok("rm", "-f", "ending");
  await expectRecovered();
}, 60_000);

test("kill -9 of everything at once, as a power cut would: the next command finds a consistent store", async () => {
  await serve("one", 18306);
  await engine.ok(
    "run",
    "-d",
    "--name",
    "two",
    "-v",
    "data:/data",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "echo kept > /data/x; exec probe pause",
  );
  const pids = await Promise.all([pidOf("one"), pidOf("two")]);
  kill(...roles("supervisor"), ...roles("netd"), ...pids);
  await gone(...pids);
  expect((await engine.ok("ps", "-a", "--format", "{{.Names}} {{.State}}")).split("\n").sort()).toEqual([
    "one exited",
    "two exited",
  ]);
  await engine.ok("start", "two");
  expect(await engine.ok("exec", "two", "cat", "/data/x")).toBe("kept");
  await engine.ok("rm", "-f", "one", "two");
  await expectRecovered();
}, 60_000);

test("after a reboot (no process, no state directory) what was running is exited and can be started", async () => {
  await serve("rebooted", 18307);
  const pid = await pidOf("rebooted");
  kill(...roles("supervisor"), ...roles("netd"), pid);
  await gone(pid);
  rmSync(engine.state, { recursive: true, force: true });
  expect(await status("rebooted")).toBe("exited");
  await engine.ok("start", "rebooted");
  await waitFor("it to answer", () => answers("rebooted", 18307));
  await engine.ok("rm", "-f", "rebooted");
  await expectRecovered();
}, 60_000);

test("kill -9 of `rm -f` at any moment: a second one finishes the work", async () => {
  for (let delayMs = 1; delayMs <= 25; delayMs += 3) {
    const name = `rm${delayMs}`;
    await engine.ok("run", "-d", "--name", name, "-v", "/anonymous", image, "probe", "pause");
    const child = engine.spawn("rm", "-f", "-v", name);
    await Bun.sleep(delayMs);
    child.kill("SIGKILL");
    await child.exited;
    await engine.ok("rm", "-f", name);
  }
  await expectRecovered();
}, 60_000);

test("kill -9 of an import at any moment: no half image, and the next import works", async () => {
  const archive = imageArchive("minimal");
  for (let delayMs = 3; delayMs <= 60; delayMs += 8) {
    const child = engine.spawn("import", archive, "half");
    await Bun.sleep(delayMs);
    child.kill("SIGKILL");
    await child.exited;
    if ((await engine.ok("images", "-q", "half")) === "") continue;
    // It was done before it was killed: then it is whole.
    expect(await engine.ok("run", "--rm", "--network", "none", "half", "cat", "/etc/motd")).toBe(
      "hello from the image",
    );
    await engine.ok("rmi", "half");
  }
  await engine.ok("import", archive, "half");
  expect(await engine.ok("run", "--rm", "--network", "none", "half", "cat", "/etc/motd")).toBe("hello from the image");
  await engine.ok("rmi", "half");
  await expectRecovered();
}, 60_000);

test("kill -9 of exec's command: the container is unharmed", async () => {
  await engine.ok("run", "-d", "--name", "host", "--network", "none", image, "probe", "pause");
  for (const delayMs of [1, 5, 10, 20]) {
    const child = engine.spawn("exec", "host", "probe", "pause");
    await Bun.sleep(delayMs);
    child.kill("SIGKILL");
    await child.exited;
  }
  expect(await engine.ok("exec", "host", "echo", "fine")).toBe("fine");
  await engine.ok("rm", "-f", "host");
  await expectRecovered();
});
