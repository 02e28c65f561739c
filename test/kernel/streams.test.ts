/** Standard input, output and error: apart, byte for byte, and each end seen by the other. */
import { expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { isDocker } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const RUN = ["run", "--rm", "--network", "none"] as const;

/** Bytes in which every value occurs, in no simple order. */
function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_unused, i) => (i * 31 + (i >> 8)) & 255);
}

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
