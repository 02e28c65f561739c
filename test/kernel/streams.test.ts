/** Standard input, output and error: apart, byte for byte, and each end seen by the other. */
import { expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { binary, isDocker } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const RUN = ["run", "--rm", "--network", "none"] as const;

/** Bytes in which every value occurs, in no simple order. */
function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_unused, i) => (i * 31 + (i >> 8)) & 255);
}

/** Attached to a container: one client that takes nothing, and another. What became of them; the first takes half a minute. */
async function leftBehind() {
  const script = "read -r line; exec probe bytes 20000000";
  await engine.ok("run", "-d", "-i", "--name", "patient", "--network", "none", image, "sh", "-c", script);
  const stopped = engine.spawn("attach", "--no-stdin", "patient");
  const other = engine.spawn("attach", "patient");
  const output = digestOf(other.stdout);
  await Bun.sleep(500); // nothing tells when a client is attached
  stopped.kill("SIGSTOP");
  const began = performance.now();
  other.stdin.write("go\n");
  await other.stdin.flush();
  const others = { output: await output, tookMs: performance.now() - began, status: await other.exited };
  stopped.kill("SIGCONT");
  await stopped.stdout.bytes();
  return { ...others, words: await stopped.stderr.text(), stoppedStatus: await stopped.exited };
}

// It only waits: the tests go on meanwhile. Docker lets such a client stop the container for good.
const leaving = isDocker() ? undefined : Promise.allSettled([leftBehind()]);

test("stdout and stderr stay apart", async () => {
  const result = await engine.ctr(...RUN, image, "sh", "-c", "echo out; echo err >&2");
  expect([result.stdout, result.stderr]).toEqual(["out\n", "err\n"]);
});

test("every byte of a MiB arrives, in order", async () => {
  const result = await engine.ctr(...RUN, image, "probe", "bytes", "1048576");
  const hash = new Bun.CryptoHasher("sha256");
  for (let i = 0; i < 16; i++) hash.update(pattern(65536));
  expect(Bun.SHA256.hash(result.bytes, "hex")).toBe(hash.digest("hex"));
});

test("-i: standard input reaches the program byte for byte, and its end too", async () => {
  const input = pattern(300_000);
  const result = await engine.ctrWith({ stdin: input }, ...RUN, "-i", image, "cat");
  expect(result.status).toBe(0);
  expect(Bun.SHA256.hash(result.bytes, "hex")).toBe(Bun.SHA256.hash(input, "hex"));
});

test("-i: after standard input has ended, output still comes", async () => {
  const result = await engine.ctrWith(
    { stdin: "a\nb\n" },
    ...RUN,
    "-i",
    image,
    "sh",
    "-c",
    "wc -l; sleep 0.2; echo after",
  );
  expect(result.stdout).toBe("2\nafter\n");
});

test("without -i the program's input is empty", async () => {
  const result = await engine.ctrWith({ stdin: "not for it\n" }, ...RUN, image, "cat");
  expect([result.stdout, result.status]).toEqual(["", 0]);
});

test("-i: a program that ends without reading its input does not hang the command", async () => {
  const result = await engine.ctrWith({ stdin: pattern(1_000_000) }, ...RUN, "-i", image, "true");
  expect(result.status).toBe(0);
});

test("-i: conversation, one line at a time", async () => {
  const child = engine.spawn(
    ...RUN,
    "-i",
    image,
    "sh",
    "-c",
    'while read -r line; do echo "got $line"; done; echo end',
  );
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const until = async (wanted: string) => {
    while (!text.includes(wanted)) {
      const { value, done } = await lines.read();
      if (done) throw new Error(`ended with ${JSON.stringify(text)}`);
      text += value;
    }
  };
  child.stdin.write("one\n");
  child.stdin.flush();
  await until("got one\n");
  child.stdin.write("two\n");
  child.stdin.flush();
  await until("got two\n");
  await child.stdin.end();
  await until("end\n");
  expect(await child.exited).toBe(0);
});

test("the reader may go away: the command ends, the container's end is recorded", async () => {
  const child = Bun.spawn(
    [
      "sh",
      "-c",
      `"$0" "$@" | head -c 10`,
      process.env["CTR_BIN"] ?? `${import.meta.dir}/../../dist/ctr`,
      "run",
      "--name",
      "broken",
      "--network",
      "none",
      image,
      "probe",
      "lines",
      "100000",
    ],
    {
      env: { ...process.env, ...engine.env },
      stdout: "pipe",
      stderr: "ignore",
    },
  );
  expect(await child.stdout.text()).toBe("0000000000");
  await child.exited;
  await waitFor(
    "the container to end",
    async () => (await engine.ok("inspect", "-f", "{{.State.Status}}", "broken")) === "exited",
  );
  await engine.ok("rm", "broken");
});

test("logs: both streams, apart and complete, also while nobody is attached", async () => {
  const id = await engine.ok(
    "run",
    "-d",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "probe lines 20000 100; echo err >&2",
  );
  await engine.ok("wait", id);
  const result = await engine.ctr("logs", id);
  expect(result.stderr).toBe("err\n");
  const lines = result.bytes.length;
  expect(lines).toBe(20000 * 100);
  await engine.ok("rm", id);
});

test("logs: bytes that are no text come back as they were", async () => {
  const id = await engine.ok("run", "-d", "--network", "none", image, "printf", "\\000\\001\\177a\\r\\n\\tb");
  await engine.ok("wait", id);
  expect([...(await engine.ctr("logs", id)).bytes]).toEqual([0, 1, 127, 97, 13, 10, 9, 98]);
  await engine.ok("rm", id);
});

test("logs -t, --tail, --since", async () => {
  const id = await engine.ok(
    "run",
    "-d",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "for i in 1 2 3 4 5; do echo line $i; done",
  );
  await engine.ok("wait", id);
  expect(await engine.ok("logs", "--tail", "2", id)).toBe("line 4\nline 5");
  expect(await engine.ok("logs", "--tail", "0", id)).toBe("");
  expect((await engine.ok("logs", "-t", id)).split("\n")[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 1$/);
  expect(await engine.ok("logs", "--since", "1h", id)).toContain("line 1");
  expect(await engine.ok("logs", "--since", "2099-01-01", id)).toBe("");
  expect(await engine.fails(1, "logs", "--since", "nonsense", id)).toContain('invalid value for "since"');
  await engine.ok("rm", id);
});

test("logs -f: follows, and ends with the container", async () => {
  const id = await engine.ok(
    "run",
    "-d",
    "-i",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "echo first; sleep 0.5; echo second",
  );
  const result = await engine.ctr("logs", "-f", id);
  expect([result.stdout, result.status]).toEqual(["first\nsecond\n", 0]);
  await engine.ok("rm", id);
});

test("a very long line without an end is kept whole", async () => {
  const id = await engine.ok(
    "run",
    "-d",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "head -c 100000 /dev/zero | tr '\\0' x",
  );
  await engine.ok("wait", id);
  expect((await engine.ctr("logs", id)).stdout).toBe("x".repeat(100_000));
  await engine.ok("rm", id);
});

test("exec: its streams are apart, its input is its own", async () => {
  const id = await engine.ok("run", "-d", "--network", "none", image, "probe", "pause");
  const result = await engine.ctrWith({ stdin: "hello\n" }, "exec", "-i", id, "sh", "-c", "cat; echo err >&2; exit 3");
  expect([result.stdout, result.stderr, result.status]).toEqual(["hello\n", "err\n", 3]);
  const big = await engine.ctr("exec", id, "probe", "bytes", "1000000");
  expect(big.bytes.length).toBe(1_000_000);
  await engine.ok("rm", "-f", id);
});

// Docker 20.10 now and then loses the last words of a container to an attached client.
test.if(!isDocker())("attach: joins a running container's streams; two may", async () => {
  const id = await engine.ok(
    "run",
    "-d",
    "-i",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    'read -r line; echo "heard $line"',
  );
  const listener = engine.ctr("attach", "--no-stdin", id);
  const attached = [
    "events",
    "--since",
    "1h",
    "--until",
    "0s",
    "--filter",
    `container=${id}`,
    "--filter",
    "event=attach",
  ];
  await waitFor("the listener", async () => (await engine.ok(...attached)) !== "");
  const speaker = engine.ctrWith({ stdin: "you\n" }, "attach", id);
  expect((await speaker).stdout).toBe("heard you\n");
  expect((await listener).status).toBe(0);
  await engine.ok("rm", id);
});

test("start -a -i: output and input of a made container", async () => {
  const id = await engine.ok("create", "-i", "--network", "none", image, "cat");
  const result = await engine.ctrWith({ stdin: "through\n" }, "start", "-a", "-i", id);
  expect([result.stdout, result.status]).toEqual(["through\n", 0]);
  await engine.ok("rm", id);
});

// Docker lets such a client stop it.
test.if(!isDocker())("a client that does not read does not stop the container", async () => {
  const slow = engine.spawn(
    "run",
    "--name",
    "slow",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "probe lines 100000 100; exec probe pause",
  );
  // Nobody reads slow.stdout: 10 MB do not fit in any pipe.
  await waitFor(
    "all of it to be logged",
    async () => (await engine.ctr("logs", "--tail", "1", "slow")).stdout === "ready\n",
    20_000,
  );
  slow.kill("SIGKILL");
  await slow.exited;
  await engine.ok("rm", "-f", "slow");
});

async function running(name: string): Promise<void> {
  await waitFor(name, async () => (await engine.ctr("inspect", "-f", "{{.State.Running}}", name)).stdout === "true\n");
}

/** A digest of what a stream brings, and how much it was. */
async function digestOf(stream: ReadableStream<Uint8Array>): Promise<readonly [digest: string, bytes: number]> {
  const hash = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  for await (const chunk of stream) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return [hash.digest("hex"), bytes];
}

/** The digest of `probe bytes COUNT`. */
function patternDigest(count: number): string {
  const hash = new Bun.CryptoHasher("sha256");
  const block = pattern(65_536);
  for (let left = count; left > 0; left -= block.length) hash.update(block.subarray(0, left));
  return hash.digest("hex");
}

const GIB = 1 << 30;

test("a GiB of every byte value, out", async () => {
  const options = isDocker() ? [] : ["--log-driver", "none"];
  const child = engine.spawn(...RUN, ...options, image, "probe", "bytes", String(GIB));
  expect(await digestOf(child.stdout)).toEqual([patternDigest(GIB), GIB]);
  expect(await child.exited).toBe(0);
}, 120_000);

test("a GiB of every byte value, in", async () => {
  const child = engine.spawn(...RUN, "-i", image, "sha256sum");
  const block = pattern(65_536);
  for (let sent = 0; sent < GIB; sent += block.length) {
    child.stdin.write(block);
    await child.stdin.flush();
  }
  await child.stdin.end();
  expect((await child.stdout.text()).split(" ")[0]).toBe(patternDigest(GIB));
  expect(await child.exited).toBe(0);
}, 120_000);

test("back-pressure: a client that is stopped for a while loses nothing", async () => {
  const child = engine.spawn(...RUN, "--name", "held", image, "probe", "bytes", String(64 << 20));
  await running("held");
  child.kill("SIGSTOP");
  const digest = digestOf(child.stdout);
  await Bun.sleep(1500); // what is tried is the passing of time
  expect(await engine.ok("inspect", "-f", "{{.State.Running}}", "held")).toBe("true");
  child.kill("SIGCONT");
  expect(await digest).toEqual([patternDigest(64 << 20), 64 << 20]);
  expect(await child.exited).toBe(0);
});

test("several clients attached at once: each gets everything, whoever speaks is heard", async () => {
  await engine.ok(
    "run",
    "-d",
    "-i",
    "--name",
    "shared",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "read -r a; read -r b; echo $a $b; exec probe bytes 20000000",
  );
  const listeners = [1, 2, 3].map(() => engine.spawn("attach", "--no-stdin", "shared"));
  const outputs = listeners.map((listener) => digestOf(listener.stdout));
  const first = engine.spawn("attach", "shared");
  const second = engine.spawn("attach", "shared");
  outputs.push(digestOf(first.stdout), digestOf(second.stdout));
  await Bun.sleep(500); // nothing tells when a client is attached
  first.stdin.write("one\n");
  await first.stdin.flush();
  await Bun.sleep(100); // so that the words come in this order
  second.stdin.write("two\n");
  await second.stdin.flush();
  const hash = new Bun.CryptoHasher("sha256").update("one two\n");
  const block = pattern(65_536);
  for (let left = 20_000_000; left > 0; left -= block.length) hash.update(block.subarray(0, left));
  const expected = [hash.digest("hex"), 20_000_008] as const;
  for (const output of outputs) expect(await output).toEqual(expected);
  expect(await Promise.all([first, second, ...listeners].map((child) => child.exited))).toEqual([0, 0, 0, 0, 0]);
  await engine.ok("rm", "shared");
});

test("a slow client at the end: what it has not taken yet still comes", async () => {
  const child = engine.spawn(...RUN, image, "probe", "bytes", "6000000");
  const reader = child.stdout.getReader();
  await reader.read();
  child.kill("SIGSTOP");
  await Bun.sleep(3500); // longer than a program's end is waited for
  child.kill("SIGCONT");
  let bytes = 0;
  reader.releaseLock();
  for await (const chunk of child.stdout) bytes += chunk.length;
  expect(bytes).toBeGreaterThan(6_000_000 - (1 << 20));
  expect(await child.exited).toBe(0);
});

test("a program that closes its input goes on, whatever is still sent to it", async () => {
  const script = "exec <&-; sleep 0.3; echo went on";
  const result = await engine.ctrWith({ stdin: pattern(3_000_000) }, ...RUN, "-i", image, "sh", "-c", script);
  expect([result.stdout, result.status]).toEqual(["went on\n", 0]);
});

test("attach: the status is the program's", async () => {
  await engine.ok(
    "run",
    "-d",
    "-i",
    "--name",
    "coded",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "read -r code; exit $code",
  );
  const result = await engine.ctrWith({ stdin: "7\n" }, "attach", "coded");
  expect(result.status).toBe(7);
  expect(await engine.fails(1, "attach", "coded")).toMatch(/annot attach to a stopped container/);
  await engine.ok("rm", "coded");
  expect(await engine.fails(1, "attach", "coded")).toContain("No such container: coded");
});

test("attach: its input's end is not the program's", async () => {
  await engine.ok("run", "-d", "-i", "--name", "open", "--network", "none", image, "cat");
  const client = engine.spawn("attach", "open");
  client.stdin.write("one\n");
  await client.stdin.end();
  await waitFor("the echo", async () => (await engine.ctr("logs", "open")).stdout === "one\n");
  expect(await engine.ok("inspect", "-f", "{{.State.Running}}", "open")).toBe("true");
  await engine.ok("rm", "-f", "open");
  await client.exited;
});

test("attach: signals go to the program, or with --sig-proxy=false to the client alone", async () => {
  await engine.ok("run", "-d", "--name", "signalled", "--network", "none", image, "probe", "on-signal");
  await waitFor("the program", async () => (await engine.ctr("logs", "signalled")).stdout.includes("ready"));
  const alone = engine.spawn("attach", "--no-stdin", "--sig-proxy=false", "signalled");
  await Bun.sleep(500); // nothing tells when a client is attached
  alone.kill("SIGINT");
  await alone.exited;
  expect(await engine.ok("logs", "signalled")).toBe("ready");
  const proxy = engine.spawn("attach", "--no-stdin", "signalled");
  await Bun.sleep(500);
  proxy.kill("SIGINT");
  await waitFor("the signal", async () => (await engine.ctr("logs", "signalled")).stdout.includes("signal 2\n"));
  proxy.kill("SIGTERM");
  expect(await proxy.exited).toBe(0);
  expect(await proxy.stdout.text()).toContain("signal 15");
  await engine.ok("rm", "signalled");
});

for (const signal of ["SIGKILL", "SIGHUP"] as const) {
  test(`a client that ends by ${signal} leaves its container running`, async () => {
    const name = `left-${signal.toLowerCase()}`;
    const client = engine.spawn(
      "run",
      "-i",
      "--name",
      name,
      "--network",
      "none",
      "--sig-proxy=false",
      image,
      "probe",
      "pause",
    );
    await running(name);
    client.kill(signal);
    await client.exited;
    await Bun.sleep(300); // what must not happen has had its time
    expect(await engine.ok("inspect", "-f", "{{.State.Running}}", name)).toBe("true");
    await engine.ok("rm", "-f", name);
  });
}

test("-a picks the streams", async () => {
  const script = "echo out; echo err >&2";
  const out = await engine.ctr(...RUN, "-a", "stdout", image, "sh", "-c", script);
  expect([out.stdout, out.stderr]).toEqual(["out\n", ""]);
  const err = await engine.ctr(...RUN, "-a", "stderr", image, "sh", "-c", script);
  expect([err.stdout, err.stderr]).toEqual(["", "err\n"]);
  const input = await engine.ctrWith(
    { stdin: "word\n" },
    "run",
    "--name",
    "fed",
    "--network",
    "none",
    "-i",
    "-a",
    "stdin",
    image,
    "cat",
  );
  expect(input.stdout).toMatch(/^[0-9a-f]{64}\n$/);
  await engine.ok("wait", "fed");
  expect(await engine.ok("logs", "fed")).toBe("word");
  await engine.ok("rm", "fed");
});

test("a command without an input, or without an output, works", async () => {
  const command = (redirection: string) =>
    Bun.spawn(
      ["sh", "-c", `exec "$0" "$@" ${redirection}`, binary(), ...RUN, "-i", image, "sh", "-c", "cat; echo out; exit 3"],
      {
        env: { ...process.env, ...engine.env },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      },
    );
  const without = command("<&-");
  expect([await without.stdout.text(), await without.exited]).toEqual(["out\n", 3]);
  const mute = command(">&-");
  expect([await mute.stdout.text(), await mute.exited]).toEqual(["", 3]);
});

test.if(!isDocker())(
  "a client that takes nothing for 30 seconds is cut off; the container and the others go on",
  async () => {
    const [end] = (await leaving) ?? [];
    if (end?.status !== "fulfilled") throw new Error("it did not come to its end", { cause: end?.reason });
    const { output, tookMs, status, words, stoppedStatus } = end.value;
    expect(output).toEqual([patternDigest(20_000_000), 20_000_000]);
    expect(tookMs).toBeGreaterThan(25_000);
    expect(status).toBe(0);
    expect(words).toContain("its output was not read");
    expect(stoppedStatus).toBe(1);
    expect((await engine.ctr("logs", "patient")).bytes.length).toBe(20_000_000);
    await engine.ok("rm", "patient");
  },
  60_000,
);
