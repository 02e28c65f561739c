/** Health checks: from flags and from the image, their states, results, times and events. */
import { describe, expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const FAST = ["--network", "none", "--health-interval", "50ms"] as const;
const SLEEP = ["sleep", "1000"] as const;

interface Health {
  readonly Status: string;
  readonly FailingStreak: number;
  readonly Log: readonly { readonly ExitCode: number; readonly Output: string; readonly Start: string }[];
}

async function health(id: string): Promise<Health> {
  return JSON.parse(await engine.ok("inspect", "-f", "{{json .State.Health}}", id)) as Health;
}

const becomes = (id: string, status: string) =>
  waitFor(`${status} health`, async () => (await health(id)).Status === status);

describe("states", () => {
  test("starting, healthy, unhealthy, healthy again: in inspect, ps, its filter, and events", async () => {
    const check = "cat /tmp/ok && echo fine";
    const id = await engine.ok("run", "-d", ...FAST, "--health-retries", "2", "--health-cmd", check, image, ...SLEEP);
    expect((await health(id)).Status).toBe("starting");
    expect(await engine.ok("ps", "--format", "{{.Status}}")).toEndWith(" (health: starting)");
    await becomes(id, "unhealthy");
    const failed = await health(id);
    expect(failed.FailingStreak).toBeGreaterThanOrEqual(2);
    expect(failed.Log.at(-1)).toMatchObject({ ExitCode: 1 });
    expect(failed.Log.at(-1)?.Output).toContain("can't open '/tmp/ok'");
    expect(await engine.ok("ps", "--format", "{{.Status}}|{{.HealthStatus}}")).toEndWith(" (unhealthy)|unhealthy");
    await engine.ok("exec", id, "touch", "/tmp/ok");
    await becomes(id, "healthy");
    const healed = await health(id);
    expect(healed).toMatchObject({ FailingStreak: 0 });
    expect(healed.Log.at(-1)).toMatchObject({ ExitCode: 0, Output: "fine\n" });
    expect(healed.Log.length).toBeLessThanOrEqual(5);
    for (const [value, ids] of [
      ["healthy", id],
      ["unhealthy", ""],
      ["none", ""],
    ] as const)
      expect(await engine.ok("ps", "-q", "--no-trunc", "--filter", `health=${value}`)).toBe(ids);
    const events = await engine.ok(
      "events",
      "--since",
      "1h",
      "--until",
      "0s",
      "--filter",
      "event=health_status",
      "--format",
      "{{.Action}}",
    );
    expect(events.split("\n")).toEqual(["health_status: unhealthy", "health_status: healthy"]);
    await engine.ok("rm", "-f", id);
  });

  test("a check that takes too long is ended, and has failed", async () => {
    const flags = ["--health-timeout", "100ms", "--health-retries", "1", "--health-cmd", "sleep 1000"];
    const id = await engine.ok("run", "-d", ...FAST, ...flags, image, ...SLEEP);
    await becomes(id, "unhealthy");
    expect((await health(id)).Log[0]).toMatchObject({ ExitCode: -1, Output: "Health check exceeded timeout (100ms)" });
    await engine.ok("rm", "-f", id);
  });

  test("a check that cannot be run has failed", async () => {
    const from = await engine.ok("create", image, "true");
    await engine.ok(
      "commit",
      "-c",
      'HEALTHCHECK --interval=50ms --retries=1 CMD ["/no/such/check"]',
      from,
      "checked:none",
    );
    await engine.ok("rm", from);
    const id = await engine.ok("run", "-d", "--network", "none", "checked:none", ...SLEEP);
    await becomes(id, "unhealthy");
    expect((await health(id)).Log[0]?.Output).toContain("no such file or directory");
    await engine.ok("rm", "-f", id);
  });

  test("the image's check runs; flags replace its fields; --no-healthcheck switches it off", async () => {
    const from = await engine.ok("create", image, "true");
    await engine.ok("commit", "-c", "HEALTHCHECK --interval=1h --timeout=2s CMD test -e /tmp", from, "checked:yes");
    await engine.ok("rm", from);
    const id = await engine.ok("run", "-d", "--network", "none", "--health-interval", "50ms", "checked:yes", ...SLEEP);
    await becomes(id, "healthy");
    expect(JSON.parse(await engine.ok("inspect", "-f", "{{json .Config.Healthcheck}}", id))).toEqual({
      Test: ["CMD-SHELL", "test -e /tmp"],
      Interval: 50e6,
      Timeout: 2e9,
    });
    await engine.ok("rm", "-f", id);
    const off = await engine.ok("run", "-d", "--network", "none", "--no-healthcheck", "checked:yes", ...SLEEP);
    expect(await engine.ok("inspect", "-f", "{{json .State}}", off)).not.toContain("Health");
    await engine.ok("rm", "-f", off);
  });

  test("in the start period failures do not count, and checks come at their own pace", async () => {
    const flags = ["--health-start-period", "1h", "--health-start-interval", "20ms", "--health-interval", "1h"];
    const id = await engine.ok("run", "-d", "--network", "none", ...flags, "--health-cmd", "false", image, ...SLEEP);
    await waitFor("five results", async () => (await health(id)).Log.length === 5);
    expect(await health(id)).toMatchObject({ Status: "starting", FailingStreak: 0 });
    await engine.ok("rm", "-f", id);
  });

  test("the output is kept to 4096 bytes, and a paused container is not checked", async () => {
    const check = "head -c 5000 /dev/zero | tr '\\0' x";
    const id = await engine.ok("run", "-d", ...FAST, "--health-cmd", check, image, ...SLEEP);
    await becomes(id, "healthy");
    expect((await health(id)).Log[0]?.Output).toBe(`${"x".repeat(4096)}...`);
    await engine.ok("pause", id);
    const before = await health(id);
    const sign = await engine.ok("run", "-d", ...FAST, "--health-cmd", "true", image, ...SLEEP);
    await waitFor("five checks of another", async () => (await health(sign)).Log.length === 5);
    // One may have been under way.
    expect(
      (await health(id)).Log.slice(0, 4)
        .map(({ Start }) => Start)
        .filter((time) => before.Log.some((entry) => entry.Start === time)).length,
    ).toBeGreaterThanOrEqual(Math.min(4, before.Log.length) - 1);
    await engine.ok("rm", "-f", id, sign);
  });
});

describe("bad input", () => {
  for (const [flags, why] of [
    [["--health-interval", "5"], /missing unit in duration/],
    [["--health-interval", "x"], /invalid duration/],
    [["--health-interval", "-1s"], /--health-interval cannot be negative/],
    [["--health-retries", "-1"], /--health-retries cannot be negative/],
    [["--health-timeout", "1us", "--health-cmd", "true"], /cannot be less than 1ms/],
    [["--no-healthcheck", "--health-cmd", "true"], /--no-healthcheck conflicts with --health-\* options/],
  ] as const) {
    test(`run ${flags.join(" ")} is refused`, async () => {
      expect(await engine.fails(125, "run", "--rm", ...flags, image, "true")).toMatch(why);
    });
  }
});
