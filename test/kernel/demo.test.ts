/** The classic demonstration: a flask web container that counts its visits in a redis container. And nginx. */
import { expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const LONG_MS = 180_000;

async function get(port: number): Promise<string> {
  try {
    return await (
      await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(3000), keepalive: false })
    ).text();
  } catch {
    return "";
  }
}

test(
  "nginx of Debian answers on a published port",
  async () => {
    const image = await engine.image("nginx");
    await engine.ok("run", "-d", "--name", "web", "-p", "18080:80", image, "nginx", "-g", "daemon off;");
    await waitFor("nginx", async () => (await get(18080)).includes("Welcome to nginx"));
    await waitFor("its access log", async () => (await engine.ok("logs", "web")).includes('"GET / HTTP/1.1" 200'));
    // Its workers run as www-data, and it stops in good order.
    expect(await engine.ok("top", "web")).toContain("nginx: worker process");
    await engine.ok("stop", "web");
    expect(await engine.ok("inspect", "-f", "{{.State.ExitCode}}", "web")).toBe("0");
    await engine.ok("rm", "web");
  },
  LONG_MS,
);

test(
  "flask counts visits in redis; both restarted; the count goes on",
  async () => {
    const [redis, flask] = [await engine.image("redis"), await engine.image("flask")];
    await engine.ok(
      "run",
      "-d",
      "--name",
      "redis",
      "-v",
      "redis-data:/data",
      "-w",
      "/data",
      redis,
      "redis-server",
      "--bind",
      "0.0.0.0",
      "--protected-mode",
      "no",
      "--appendonly",
      "yes",
      "--save",
      "",
    );
    const startFlask = async (): Promise<void> => {
      const address = await engine.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "redis");
      await engine.ok(
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "18081:5000",
        "-e",
        `REDIS=${address}`,
        flask,
        "sh",
        "-c",
        'echo "$REDIS redis" >> /etc/hosts; exec python3 -u /srv/app.py',
      );
    };
    await startFlask();
    await waitFor("the first visit", async () => (await get(18081)) === "I have been seen 1 times.\n", 30_000);
    for (let visit = 2; visit <= 10; visit++) expect(await get(18081)).toBe(`I have been seen ${visit} times.\n`);
    await engine.ok("restart", "redis");
    await engine.ok("rm", "-f", "web");
    await startFlask();
    await waitFor("the eleventh visit", async () => (await get(18081)) === "I have been seen 11 times.\n", 30_000);
    expect((await engine.ctr("logs", "web")).stderr).toContain("Running on");
    await engine.ok("rm", "-f", "web", "redis");
  },
  LONG_MS,
);

test(
  "a Debian container changed by hand, committed, and run again from the new image",
  async () => {
    const image = await engine.image("debian");
    {
      await using person = engine.session("run", "-it", "--name", "hand", "--network", "none", image, "bash", "--norc");
      await person.expect(/[#$] $/);
      person.type("echo 'Debian, changed' > /etc/motd; useradd -m bob; rm /etc/issue; exit\r");
      expect(await person.exited).toBe(0);
    }
    await engine.ok("commit", "-m", "by hand", "hand", "debian-changed");
    const text = await engine.ok(
      "run",
      "--rm",
      "--network",
      "none",
      "-u",
      "bob",
      "debian-changed",
      "sh",
      "-c",
      "cat /etc/motd; whoami; ls /etc/issue 2>&1; cat /etc/debian_version",
    );
    expect(text).toMatch(
      /^Debian, changed\nbob\nls: cannot access '\/etc\/issue': No such file or directory\n12\.\d+$/,
    );
    await engine.ok("rm", "hand");
  },
  LONG_MS,
);

test("a thousand-process container is stopped cleanly", async () => {
  const image = await engine.image("minimal");
  await engine.ok("run", "-d", "--name", "crowd", image, "probe", "forks", "1000");
  await waitFor("the crowd", async () => (await engine.ok("logs", "crowd")) === "forked 1000");
  const started = performance.now();
  await engine.ok("stop", "-t", "0", "crowd");
  expect(performance.now() - started).toBeLessThan(5000);
  expect(await engine.ok("inspect", "-f", "{{.State.ExitCode}}", "crowd")).toBe("137");
  await engine.ok("rm", "crowd");
  await engine.expectNothingLeft();
});
