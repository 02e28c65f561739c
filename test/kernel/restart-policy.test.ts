/** `--restart`: what comes back, when, how often, and what ends it. */
import { describe, expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { isDocker } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const start = (policy: string, ...program: readonly string[]) =>
  engine.ok("run", "-d", "--network", "none", "--restart", policy, image, ...program);
const inspect = (id: string, field: string) => engine.ok("inspect", "-f", `{{${field}}}`, id);
const count = async (id: string) => Number(await inspect(id, ".RestartCount"));

/** True if SIGTERM is caught, by proc(5)'s SigCgt. */
const hasHandler = (status: string) =>
  ((Number.parseInt(/^SigCgt:\s*\S*(\S{8})$/m.exec(status)?.[1] ?? "0", 16) >>> 14) & 1) === 1;

describe("policies", () => {
  test("on-failure:2 tries twice more, and then the last status stays", async () => {
    const id = await start("on-failure:2", "sh", "-c", "echo run; exit 5");
    await waitFor("its rest", async () => (await inspect(id, ".State.Status")) === "exited");
    expect(await inspect(id, ".RestartCount .State.ExitCode".replace(" ", "}} {{"))).toBe("2 5");
    expect(await engine.ok("logs", id)).toBe("run\nrun\nrun");
    expect(await inspect(id, ".HostConfig.RestartPolicy.Name")).toBe("on-failure");
    await engine.ok("rm", id);
  });

  test("on-failure leaves a success alone", async () => {
    const id = await start("on-failure", "true");
    await waitFor("its rest", async () => (await inspect(id, ".State.Status")) === "exited");
    expect(await count(id)).toBe(0);
    await engine.ok("rm", id);
  });

  test("always: each run is waited for longer; status and state between two runs", async () => {
    const id = await start("always", "sh", "-c", "exit 3");
    await waitFor("the fourth run", async () => (await count(id)) >= 4);
    await waitFor("a wait", async () => (await inspect(id, ".State.Status")) === "restarting");
    expect(await inspect(id, ".State.Running}} {{.State.Restarting}} {{.State.ExitCode")).toBe("true true 3");
    expect(await engine.ok("ps", "--format", "{{.Status}}", "--filter", "status=restarting")).toMatch(
      /^Restarting \(3\) .* ago$/,
    );
    for (const verb of [
      ["exec", id, "true"],
      ["pause", id],
      ["attach", id],
    ]) {
      expect((await engine.ctr(...verb)).stderr).toMatch(
        /restarting( container)?, wait until (the container|it) is running/,
      );
    }
    expect(await engine.fails(1, "rm", id)).toContain("restarting");
    await engine.ok("rm", "-f", id);
  });

  test("a stop by hand ends it, while it runs and while it waits; restart and start begin anew", async () => {
    const id = await start("always", "sleep", "1000");
    await engine.ok("stop", "-t", "0", id);
    expect(await inspect(id, ".State.Status")).toBe("exited");
    await engine.ok("start", id);
    await engine.ok("kill", id);
    await waitFor("its rest", async () => (await inspect(id, ".State.Status")) === "exited");
    await engine.ok("rm", id);

    const failing = await start("always", "false");
    await waitFor("the fifth run", async () => (await count(failing)) >= 5);
    await waitFor("a wait", async () => (await inspect(failing, ".State.Status")) === "restarting");
    await engine.ok("stop", failing);
    expect(await inspect(failing, ".State.Status}} {{.State.ExitCode")).toBe("exited 1");
    await engine.ok("start", failing);
    expect(await count(failing)).toBeLessThan(5);
    await engine.ok("rm", "-f", failing);
  });

  test("restart during a wait starts at once", async () => {
    const id = await start("always", "sh", "-c", "[ -e /tmp/go ] && exec sleep 1000; exit 1");
    await waitFor("the fifth run", async () => (await count(id)) >= 5);
    await waitFor("a wait", async () => (await inspect(id, ".State.Status")) === "restarting");
    await engine.ok("restart", id);
    expect(await count(id)).toBeLessThanOrEqual(1);
    await engine.ok("rm", "-f", id);
  });

  test("who follows a run in the foreground gets its status when it ends, and the container goes on", async () => {
    const name = "followed";
    const program = ["sh", "-c", "echo once; exit 4"];
    const result = await engine.ctr(
      "run",
      "--name",
      name,
      "--network",
      "none",
      "--restart",
      "always",
      image,
      ...program,
    );
    expect(result.status).toBe(4);
    await waitFor("another run", async () => (await count(name)) >= 1);
    await engine.ok("rm", "-f", name);
  });

  for (const [flags, why] of [
    [["--restart", "sometimes"], /unknown policy 'sometimes'/],
    [["--restart", "always:3"], /maximum retry count can only be used with 'on-failure'/],
    [["--restart", "on-failure:x"], /maximum retry count must be an integer/],
    [["--restart", "always", "--rm"], /cannot specify both --restart and --rm/],
  ] as const) {
    test(`run ${flags.join(" ")} is refused`, async () => {
      expect(await engine.fails(125, "run", ...flags, image, "true")).toMatch(why);
    });
  }
});

describe.if(!isDocker())("around a boot", () => {
  test("shutdown stops all in good order; restore starts what its policy wants, and nothing else", async () => {
    const program = ["sh", "-c", "trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done"];
    const ids = {
      always: await start("always", ...program),
      unlessStopped: await start("unless-stopped", ...program),
      no: await start("no", ...program),
      onFailure: await start("on-failure", ...program),
      handStopped: await start("unless-stopped", "sleep", "1000"),
      handStoppedAlways: await start("always", "sleep", "1000"),
    };
    await engine.ok("stop", "-t", "0", ids.handStopped, ids.handStoppedAlways);
    const created = await engine.ok("create", "--restart", "always", "--network", "none", image, "true");
    for (const id of [ids.always, ids.unlessStopped, ids.no, ids.onFailure])
      await waitFor("the trap", async () => (await engine.ctr("exec", id, "pidof", "sleep")).status === 0);
    expect((await engine.ok("system", "shutdown")).split("\n")).toHaveLength(4);
    expect(await engine.ok("ps", "-q")).toBe("");
    expect(await engine.ok("logs", ids.always)).toBe("bye");
    const restored = (await engine.ok("system", "restore")).split("\n").sort();
    const running = (await engine.ok("ps", "-q", "--no-trunc")).split("\n").sort();
    expect(running).toEqual([ids.always, ids.unlessStopped, ids.handStoppedAlways].sort());
    expect(restored).toHaveLength(3);
    expect(await inspect(created, ".State.Status")).toBe("created");
    await engine.ok("rm", "-f", ...Object.values(ids), created);
  });

  test("SIGTERM to a supervisor ends its container in good order, and its policy holds", async () => {
    const program = ["sh", "-c", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.1; done"];
    const id = await start("always", ...program);
    await waitFor("the trap", async () => (await engine.ok("logs", id)) === "ready");
    const pid = Number(await inspect(id, ".State.Pid"));
    const status = await Bun.file(`/proc/${pid}/status`).text();
    const supervisor = Number(/^PPid:\s*(\d+)/m.exec(status)?.[1]);
    await waitFor("the handler", async () => hasHandler(await Bun.file(`/proc/${supervisor}/status`).text()));
    process.kill(supervisor, "SIGTERM");
    await waitFor("its end", async () => (await inspect(id, ".State.Status}} {{.State.ExitCode")) === "exited 7");
    expect(await engine.ok("logs", id)).toBe("ready\nbye");
    expect((await engine.ok("system", "restore")).split("\n")).toHaveLength(1);
    await engine.ok("rm", "-f", id);
  });

  test("after a power cut, those that ran come back, failures too", async () => {
    const id = await start("on-failure", "sleep", "1000");
    const pid = Number(await inspect(id, ".State.Pid"));
    // Supervisor first, as it would otherwise see the end and restart it.
    const stat = await Bun.file(`/proc/${pid}/status`).text();
    process.kill(Number(/^PPid:\s*(\d+)/m.exec(stat)?.[1]), "SIGKILL");
    process.kill(pid, "SIGKILL");
    await waitFor("its end", async () => (await inspect(id, ".State.Status}} {{.State.ExitCode")) === "exited 137");
    expect((await engine.ok("system", "restore")).split("\n")).toHaveLength(1);
    expect(await inspect(id, ".State.Status")).toBe("running");
    await engine.ok("rm", "-f", id);
  });
});
