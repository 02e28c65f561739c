/** The log: what a container wrote, exactly, from the end, since when, and as it comes. */
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { isDocker, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const DETACHED = ["run", "-d", "--network", "none"] as const;

/** Runs a shell command to its end in a container of that name. */
async function ran(name: string, script: string): Promise<void> {
  await engine.ok(...DETACHED, "--name", name, image, "sh", "-c", script);
  await engine.ok("wait", name);
}

test("both streams come back, apart and exact", async () => {
  // Docker's json-file keeps text: what is no UTF-8 is lost there.
  const odd = isDocker() ? "\\303\\251" : "\\377\\200";
  await ran("apart", `printf 'out\\n\\000${odd}no newline'; printf 'err\\n' >&2`);
  const { bytes, stderr, status } = await engine.ctr("logs", "apart");
  expect(status).toBe(0);
  const bytesOfOdd = isDocker() ? [0xc3, 0xa9] : [0xff, 0x80];
  expect([...bytes]).toEqual([...Buffer.from("out\n\0"), ...bytesOfOdd, ...Buffer.from("no newline")]);
  expect(stderr).toBe("err\n");
  await engine.ok("rm", "apart");
});

test("a container that never ran has an empty log; one that is not there is an error", async () => {
  await engine.ok("create", "--name", "fresh", image, "true");
  expect(await engine.ctr("logs", "fresh")).toMatchObject({ stdout: "", stderr: "", status: 0 });
  expect(await engine.ctr("logs", "-f", "fresh")).toMatchObject({ stdout: "", status: 0 });
  expect(await engine.fails(1, "logs", "nosuch")).toContain("No such container: nosuch");
  await engine.ok("rm", "fresh");
});

test("--tail counts lines from the end; a bad number means all", async () => {
  await ran("counted", "for i in 1 2 3 4 5; do echo $i; done; printf end");
  const tail = async (count: string) => (await engine.ctr("logs", "--tail", count, "counted")).stdout;
  expect(await tail("0")).toBe("");
  expect(await tail("1")).toBe("end");
  expect(await tail("3")).toBe("4\n5\nend");
  expect(await tail("100")).toBe("1\n2\n3\n4\n5\nend");
  expect(await tail("all")).toBe("1\n2\n3\n4\n5\nend");
  expect(await tail("-1")).toBe("1\n2\n3\n4\n5\nend");
  expect(await tail("x")).toBe("1\n2\n3\n4\n5\nend");
  expect((await engine.ctr("logs", "-n2", "counted")).stdout).toBe("5\nend");
  await engine.ok("rm", "counted");
});

test("-t: RFC 3339 with nine decimals in UTC before every line, in order", async () => {
  await ran("timed", "echo one; sleep 0.5; echo two");
  const lines = (await engine.ok("logs", "-t", "timed")).split("\n");
  expect(lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /, ""))).toEqual(["one", "two"]);
  const [first = 0, second = 0] = lines.map((line) => Date.parse(line.split(" ")[0] ?? ""));
  expect(second - first).toBeGreaterThanOrEqual(45);
  expect(Math.abs(Date.now() - first)).toBeLessThan(20_000);
  await engine.ok("rm", "timed");
});

test("--since and --until choose by time; what is no time is refused", async () => {
  await ran("dated", "echo early; sleep 0.2; echo late");
  const lines = (await engine.ok("logs", "-t", "dated")).split("\n");
  const late = lines[1]?.split(" ")[0] ?? "";
  expect(await engine.ok("logs", "--since", late, "dated")).toBe("late");
  expect(await engine.ok("logs", "--until", lines[0]?.split(" ")[0] ?? "", "dated")).toBe("early");
  expect(await engine.ok("logs", "--since", "10m", "dated")).toBe("early\nlate");
  expect(await engine.ok("logs", "--since", "2020-01-01", "dated")).toBe("early\nlate");
  expect(await engine.ok("logs", "--since", String(Math.floor(Date.now() / 1000) + 1000), "dated")).toBe("");
  expect(await engine.fails(1, "logs", "--since", "yesterdayish", "dated")).toContain(
    'invalid value for "since": failed to parse value as time or duration: "yesterdayish"',
  );
  await engine.ok("rm", "dated");
});

test("-f shows output as it comes, from the first line on, and ends with the container", async () => {
  const child = engine.spawn("run", "-i", "--network", "none", "--name", "talker", image, "cat");
  child.stdin.write("one\n");
  await child.stdin.flush();
  await firstLine(child.stdout);
  const follower = engine.spawn("logs", "-f", "talker");
  const reader = follower.stdout.getReader();
  const next = async () => Buffer.from((await reader.read()).value ?? []).toString();
  expect(await next()).toBe("one\n");
  child.stdin.write("two\n");
  await child.stdin.flush();
  expect(await next()).toBe("two\n");
  await child.stdin.end();
  expect(await next()).toBe("");
  expect(await follower.exited).toBe(0);
  expect(await child.exited).toBe(0);
  await engine.ok("rm", "talker");
});

test("-f of a stopped container ends at once", async () => {
  await ran("over", "echo done");
  expect(await engine.ctr("logs", "-f", "over")).toMatchObject({ stdout: "done\n", status: 0 });
  await engine.ok("rm", "over");
});

// Docker notices only with the next output.
test.if(needs("ctr"))("-f ends when its own reader goes", async () => {
  await engine.ok(...DETACHED, "--name", "silent", image, "sleep", "1000");
  const follower = engine.spawn("logs", "-f", "silent");
  await Bun.sleep(0);
  await follower.stdout.cancel();
  await follower.exited;
  await engine.ok("rm", "-f", "silent");
});

test.if(needs("ctr"))("-f ends, with all that was written, when the supervisor is killed", async () => {
  await engine.ok(...DETACHED, "--name", "orphaned", image, "sh", "-c", "echo before; sleep 1000");
  const follower = engine.spawn("logs", "-f", "orphaned");
  expect(await firstLine(follower.stdout)).toBe("before");
  const pid = await engine.ok("inspect", "-f", "{{.State.Pid}}", "orphaned");
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  process.kill(Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]), "SIGKILL");
  expect(await follower.exited).toBe(0);
  expect(await engine.ok("logs", "orphaned")).toBe("before");
  // The next run appends to what was there.
  await engine.ok("start", "orphaned");
  await engine.ok("kill", "orphaned");
  expect(await engine.ok("logs", "orphaned")).toBe("before\nbefore");
  await engine.ok("rm", "-f", "orphaned");
});

test("a second run is appended to the first", async () => {
  await ran("twice", "echo run");
  await engine.ok("start", "-a", "twice");
  expect(await engine.ok("logs", "twice")).toBe("run\nrun");
  expect(await engine.ok("logs", "--tail", "1", "twice")).toBe("run");
  await engine.ok("rm", "twice");
});

test("a hundred thousand lines: nothing is lost, and their end is found", async () => {
  await engine.ok(...DETACHED, "--name", "chatty", image, "probe", "lines", "100000", "80");
  await engine.ok("wait", "chatty");
  const { bytes } = await engine.ctr("logs", "chatty");
  const expected = Array.from({ length: 100_000 }, (_unused, i) => `${String(i).padStart(79, "0")}\n`).join("");
  expect(bytes.length).toBe(expected.length);
  expect(Bun.SHA256.hash(bytes, "hex")).toBe(Bun.SHA256.hash(expected, "hex"));
  expect((await engine.ok("logs", "--tail", "2", "chatty")).split("\n").map(Number)).toEqual([99_998, 99_999]);
  await engine.ok("rm", "chatty");
});

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return (
    Buffer.from(value ?? [])
      .toString()
      .split("\n")[0] ?? ""
  );
}

test("--since and --until in every form of Docker's", async () => {
  await ran("forms", "echo line");
  const [stamp = ""] = (await engine.ok("logs", "-t", "forms")).split(" ");
  const seconds = Math.floor(Date.parse(stamp) / 1000);
  const past = ["2013-01-02", "2013-01-02Z", "2013-01-02T13", "2013-01-02T13:23", "2013-01-02T13:23:37"];
  past.push(
    "2013-01-02T13:23:37.1234",
    "2013-01-02T13:23:37+02:00",
    "1.5",
    "1m30s",
    "1h",
    "0",
    "",
    String(seconds - 1),
  );
  for (const since of past)
    expect([since, await engine.ok("logs", "--since", since, "forms")]).toEqual([since, "line"]);
  for (const since of ["-1m", "2099-01-01", String(seconds + 100), `${seconds + 100}.25`]) {
    expect([since, await engine.ok("logs", "--since", since, "forms")]).toEqual([since, ""]);
  }
  for (const until of ["2099-01-01", "0", "-1m", stamp]) {
    expect([until, await engine.ok("logs", "--until", until, "forms")]).toEqual([until, "line"]);
  }
  for (const until of ["2013-01-02", "1h", "1.5"]) {
    expect([until, await engine.ok("logs", "--until", until, "forms")]).toEqual([until, ""]);
  }
  for (const bad of ["1e9", "bad", "2013-13-01"]) {
    expect(await engine.fails(1, "logs", "--since", bad, "forms")).toContain('invalid value for "since"');
  }
  await engine.ok("rm", "forms");
});

test("-f of a second run that says nothing yet waits for it", async () => {
  await engine.ok("create", "-i", "--name", "again", "--network", "none", image, "cat");
  expect((await engine.ctrWith({ stdin: "first\n" }, "start", "-ai", "again")).stdout).toBe("first\n");
  const second = engine.spawn("start", "-ai", "again");
  await waitFor(
    "the second run",
    async () => (await engine.ok("inspect", "-f", "{{.State.Running}}", "again")) === "true",
  );
  const follower = engine.spawn("logs", "-f", "again");
  const output = follower.stdout.text();
  await Bun.sleep(300); // what must not happen has had its time
  expect(follower.exitCode).toBe(null);
  second.stdin.write("second\n");
  await second.stdin.end();
  expect(await output).toBe("first\nsecond\n");
  expect(await second.exited).toBe(0);
  await engine.ok("rm", "again");
});
