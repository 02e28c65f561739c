/** A container on a terminal: size, modes, keys, signals, job control. */
import { expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const RUN = ["run", "--rm", "--network", "none", "-it"] as const;
/** What busybox's shell shows when it waits; it asks the terminal where the cursor is, and need not be told. */
const PROMPT = /# (\x1b\[6n)?(\r\/ # )?(\x1b\[J)?$/;
/** A foreground job that says when it is one: keys typed before that go to the shell's line editor. */
const SLEEP = "sh -c 'echo asleep $((0+1)); exec sleep 1000'\r";

test("-it: the program has a controlling terminal of the caller's size", async () => {
  await using person = engine.session(...RUN, image, "sh", "-c", "sleep 0.1; probe tty");
  await person.expect("tty 1 1 1\r\nsize 80 24\r\nmode icanon=1 echo=1 isig=1\r\ncontrolling 1\r\nforeground 1");
  expect(await person.exited).toBe(0);
});

test("-it: TERM is set, /dev/console is there", async () => {
  await using person = engine.session(...RUN, image, "sh", "-c", "echo $TERM; test -c /dev/console && echo console");
  await person.expect("xterm\r\nconsole");
  expect(await person.exited).toBe(0);
});

test("-it: a resize reaches the program", async () => {
  await using person = engine.session(...RUN, image, "probe", "on-resize");
  await person.expect("size 80 24");
  person.resize(132, 43);
  await person.expect("size 132 43");
  person.resize(40, 10);
  await person.expect("size 40 10");
});

test("-it: the caller's terminal is raw meanwhile and as before afterwards", async () => {
  await using person = engine.session(...RUN, image, "sh");
  await person.expect(PROMPT);
  expect(person.isRaw()).toBe(true);
  person.type("exit 5\r");
  expect(await person.exited).toBe(5);
  expect(person.isRaw()).toBe(false);
});

test("-it: ctrl-c interrupts the program inside, not the command", async () => {
  await using person = engine.session(...RUN, image, "sh");
  await person.expect(PROMPT);
  person.type(SLEEP);
  await person.expect("asleep 1");
  person.type("\x03");
  await person.expect(PROMPT);
  person.type("echo status $?\r");
  await person.expect("status 130");
  person.type("exit\r");
  await person.exited;
});

test("-it: job control in the shell inside", async () => {
  await using person = engine.session(...RUN, image, "sh");
  await person.expect(PROMPT);
  person.type(SLEEP);
  await person.expect("asleep 1");
  person.type("\x1a");
  await person.expect("Stopped");
  person.type("jobs; kill %1; fg; echo over\r");
  await person.expect("over\r\n");
  person.type("exit 0\r");
  expect(await person.exited).toBe(0);
});

test("-it: ctrl-d ends the shell", async () => {
  await using person = engine.session(...RUN, image, "sh");
  await person.expect(PROMPT);
  person.type("\x04");
  expect(await person.exited).toBe(0);
});

test("-it: ctrl-p ctrl-q detaches, the container goes on, attach comes back", async () => {
  await using person = engine.session("run", "-it", "--name", "kept", "--network", "none", image, "sh");
  await person.expect(PROMPT);
  person.type("\x10\x11");
  expect(await person.exited).toBe(0);
  expect(person.isRaw()).toBe(false);
  expect(await engine.ok("inspect", "-f", "{{.State.Running}}", "kept")).toBe("true");
  await using again = engine.session("attach", "kept");
  // Attaching shows nothing by itself.
  await waitFor("attach", () => again.isRaw());
  again.type("echo back $((40+2))\r");
  await again.expect("back 42");
  again.type("exit 3\r");
  expect(await again.exited).toBe(3);
  await engine.ok("rm", "kept");
});

test("--detach-keys: others; ctrl-p alone reaches the program", async () => {
  await using person = engine.session(
    "run",
    "-it",
    "--name",
    "keys",
    "--detach-keys",
    "ctrl-a,x",
    "--network",
    "none",
    image,
    "sh",
  );
  await person.expect(PROMPT);
  person.type("\x01x");
  expect(await person.exited).toBe(0);
  await engine.ok("rm", "-f", "keys");
});

test("-t merges both streams, with CRLF, and the log keeps them", async () => {
  const id = await engine.ok("run", "-d", "-t", "--network", "none", image, "sh", "-c", "echo out; echo err >&2");
  await engine.ok("wait", id);
  expect((await engine.ctr("logs", id)).stdout).toBe("out\r\nerr\r\n");
  await engine.ok("rm", id);
});

test("-it without a terminal is refused with 1", async () => {
  const result = await engine.ctrWith({ stdin: "x" }, ...RUN, image, "true");
  expect(result.status).toBe(1);
  expect(result.stderr).toContain("the input device is not a TTY");
});

test("exec -it: a terminal of its own, resized on its own", async () => {
  const id = await engine.ok("run", "-d", "--network", "none", image, "probe", "pause");
  await using person = engine.session("exec", "-it", id, "sh");
  await person.expect(PROMPT);
  person.type("stty size; tty\r");
  await person.expect("24 80");
  await person.expect("/dev/pts/");
  person.resize(100, 30);
  person.type("stty size\r");
  await person.expect("30 100");
  person.type("exit 9\r");
  expect(await person.exited).toBe(9);
  expect(person.isRaw()).toBe(false);
  await engine.ok("rm", "-f", id);
});

test("exec -it: job control", async () => {
  const id = await engine.ok("run", "-d", "--network", "none", image, "probe", "pause");
  await using person = engine.session("exec", "-it", id, "sh");
  await person.expect(PROMPT);
  person.type(SLEEP);
  await person.expect("asleep 1");
  person.type("\x03");
  await person.expect(PROMPT);
  person.type("exit 0\r");
  expect(await person.exited).toBe(0);
  await engine.ok("rm", "-f", id);
});

test("a person's terminal goes away: the container goes on, the command does not hang", async () => {
  {
    await using person = engine.session("run", "-it", "--name", "hangup", "--network", "none", image, "sh");
    await person.expect(PROMPT);
  }
  expect(await engine.ok("inspect", "-f", "{{.State.Running}}", "hangup")).toBe("true");
  await engine.ok("rm", "-f", "hangup");
});

test("without -t: ctrl-c on the command goes to the program as SIGINT", async () => {
  await using person = engine.session(
    "run",
    "--rm",
    "--name",
    "proxied",
    "--network",
    "none",
    image,
    "probe",
    "on-signal",
  );
  await person.expect("ready");
  person.type("\x03");
  await person.expect("signal 2");
  person.kill("SIGTERM");
  await person.expect("signal 15");
  expect(await person.exited).toBe(0);
});

test("the detach keys of the caller's configuration; a flag goes before them", async () => {
  mkdirSync(`${engine.scratch}/docker`);
  writeFileSync(`${engine.scratch}/docker/config.json`, JSON.stringify({ detachKeys: "ctrl-e,e" }));
  const env = { DOCKER_CONFIG: `${engine.scratch}/docker` };
  await using person = engine.sessionWith(
    { env },
    "run",
    "-it",
    "--name",
    "configured",
    "--network",
    "none",
    image,
    "sh",
  );
  await person.expect(PROMPT);
  person.type("\x05e");
  expect(await person.exited).toBe(0);
  expect(person.output()).toContain("read escape sequence");
  await using again = engine.sessionWith({ env }, "attach", "--detach-keys", "ctrl-x", "configured");
  await waitFor("attach", () => again.isRaw());
  again.type("\x05echo not yet $((40+2))\r");
  await again.expect("not yet 42");
  again.type("\x18");
  expect(await again.exited).toBe(0);
  expect(await engine.ok("inspect", "-f", "{{.State.Running}}", "configured")).toBe("true");
  await engine.ok("rm", "-f", "configured");
});
