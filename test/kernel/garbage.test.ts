/**
 * Bytes that keep to no rule, thrown at every end that is listening: the sockets of a running container's supervisor and
 * of netd, and the descriptors that the roles are born with. Nothing but the one connection ends.
 */
import { afterAll, expect } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { encodeFrame, MAX_FRAME_BYTES } from "../../internal/ipc/frame.ts";
import { hello } from "../../internal/ipc/hello.ts";
import { INIT_CONVERSATION } from "../../internal/ipc/init.ts";
import { NETD_VERSION, netdSocket } from "../../internal/ipc/netd.ts";
import { SUPERVISOR_VERSION, supervisorSocket } from "../../internal/ipc/supervisor.ts";
import { tempEngine } from "../lib/engine.ts";
import { processes } from "../lib/host.ts";
import { binary, needs } from "../lib/needs.ts";
import { test as kernelTest } from "../lib/test.ts";

const test = kernelTest.if(needs("ctr", "iptables"));
const engine = tempEngine();
const image = await engine.image("minimal");

/** The same bytes every time (xorshift32). */
function randomBytes(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & 255;
  });
}

/** Sends the bytes, says nothing more, and resolves when the other side hangs up. */
async function throwAt(path: string, bytes: Uint8Array): Promise<void> {
  const ended = Promise.withResolvers<void>();
  const end = () => ended.resolve();
  const socket = await Bun.connect({ unix: path, socket: { data() {}, end, close: end, error: end } });
  socket.write(bytes);
  await ended.promise;
  socket.end();
}

const silent: Bun.Socket[] = [];
afterAll(() => {
  for (const socket of silent) socket.terminate();
});

/** Opens a connection that says only this much, and keeps it. */
async function stay(path: string, bytes: Uint8Array = new Uint8Array(0)): Promise<void> {
  const socket = await Bun.connect({ unix: path, socket: { data() {} } });
  if (bytes.length > 0) socket.write(bytes);
  silent.push(socket);
}

/** What breaks a conversation at once. */
function attacks(greeting: Uint8Array): readonly Uint8Array[] {
  const after = (bytes: Uint8Array) => Buffer.concat([greeting, bytes]);
  const oversized = new Uint8Array([255, 255, 255, 255, 1, 2, 3]);
  const small = (seed: number) => Buffer.concat([new Uint8Array([0, 0, 0, 200]), randomBytes(200, seed)]);
  const deep = new Uint8Array(1004).fill(0x91);
  deep.set([0, 0, 3, 0xe8, 0x81, 0xa1, 0x61]);
  return [
    new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n"),
    oversized,
    ...Array.from({ length: 20 }, (_unused, i) => small(i + 1)),
    ...Array.from({ length: 20 }, (_unused, i) => after(small(i + 100))),
    after(oversized),
    after(deep),
    after(encodeFrame({ type: "nonsense" })),
    after(encodeFrame({ type: 1 })),
    after(encodeFrame({ type: "start", id: "../../../etc" })),
    after(encodeFrame({ type: "stdin", data: new Uint8Array(100) })),
    after(encodeFrame({ type: "exec", process: { args: [1] } })),
    after(encodeFrame({ type: "attach", networks: [[[[]]]] })),
    encodeFrame({ type: "hello", conversation: "netd", version: 999 }),
    encodeFrame({ type: "hello", conversation: "supervisor", version: 999 }),
  ];
}

test("a supervisor's socket: garbage ends its own connection, the container runs on and is served", async () => {
  const id = await engine.ok("run", "-d", "--network", "none", "--name", "target", image, "probe", "pause");
  const path = supervisorSocket(engine.state, id);
  const greeting = encodeFrame(hello({ name: "supervisor", version: SUPERVISOR_VERSION }));
  const pid = await engine.ok("inspect", "-f", "{{.State.Pid}}", "target");
  for (const attack of attacks(greeting)) await throwAt(path, attack);
  const large = new Uint8Array([0, MAX_FRAME_BYTES >> 16, 0, 0, 1]);
  for (let i = 0; i < 20; i++) await stay(path, Buffer.concat([greeting, large]));
  for (let i = 0; i < 300; i++) await stay(path, i % 2 === 0 ? undefined : greeting);
  expect(await engine.ok("ps", "-q", "--no-trunc")).toBe(id);
  expect(await engine.ok("exec", "target", "echo", "served")).toBe("served");
  expect(await engine.ok("inspect", "-f", "{{.State.Pid}} {{.State.Status}}", "target")).toBe(`${pid} running`);
  await engine.ok("stop", "-t", "0", "target");
  expect(await engine.ok("inspect", "-f", "{{.State.Status}}", "target")).toBe("exited");
  await engine.ok("rm", "target");
});

test("netd's socket: garbage ends its own connection, networks go on", async () => {
  await engine.ok("run", "-d", "--name", "first", image, "probe", "pause");
  const netd = engine.netd();
  const path = netdSocket(engine.state);
  const greeting = encodeFrame(hello({ name: "netd", version: NETD_VERSION }));
  for (const attack of attacks(greeting)) await throwAt(path, attack);
  for (let i = 0; i < 300; i++) await stay(path, i % 2 === 0 ? undefined : greeting);
  expect(await engine.ok("run", "--rm", image, "echo", "connected")).toBe("connected");
  expect(engine.netd()).toBe(netd);
  await engine.ok("stop", "-t", "0", "first");
  await engine.ok("rm", "first");
});

const HELLO_INIT = encodeFrame(hello(INIT_CONVERSATION));
const HELLO_SUPERVISOR = encodeFrame(hello({ name: "supervisor", version: SUPERVISOR_VERSION }));

/** Runs a role by hand with `bytes` and then the end of the stream as descriptor 3; its status. */
async function bear(role: string, bytes: Uint8Array, words: readonly string[] = []): Promise<number> {
  const file = `${engine.scratch}/garbage`;
  await Bun.write(file, bytes);
  const fd = openSync(file, "r+");
  // In a mount and PID namespace of its own: whatever init does before it reads is undone with it.
  const command = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child", binary()];
  const child = Bun.spawn([...(role === "init" ? command : [binary()]), role, ...words], {
    env: { ...process.env, CTR_ROOT: engine.root, CTR_STATE: engine.state, CTR_LISTEN_FD: "3" },
    stdio: ["ignore", "ignore", "ignore", fd],
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), 15_000);
  const status = await child.exited;
  clearTimeout(timer);
  closeSync(fd);
  expect(child.signalCode).toBeNull();
  return status;
}

/** The same over a socket pair, as the roles have it, with a shell's patience in between. */
async function bearOnSocket(role: string, bytes: Uint8Array): Promise<{ status: number; signal: string | null }> {
  const script = `
    const { socketpair } = await import(${JSON.stringify(`${import.meta.dir}/../../internal/sys/socket.ts`)});
    const { writeAll } = await import(${JSON.stringify(`${import.meta.dir}/../../internal/sys/fd.ts`)});
    const [ours, theirs] = socketpair();
    const child = Bun.spawn(JSON.parse(process.argv[1]), { stdio: ["ignore", "ignore", "ignore", theirs.number] });
    theirs.close();
    try { writeAll(ours.number, await Bun.stdin.bytes()); } catch {}
    // A role that waits for more hears of the end only now.
    const first = await Promise.race([child.exited, Bun.sleep(1500)]);
    ours.close();
    await child.exited;
    console.log(JSON.stringify({ status: child.exitCode, signal: child.signalCode, waited: first === undefined }));
    process.exit(0);
  `;
  const own = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child"];
  const command = [...(role === "init" ? own : []), binary(), role];
  const runner = Bun.spawn([process.execPath, "-e", script, JSON.stringify(command)], {
    env: { ...process.env, CTR_ROOT: engine.root, CTR_STATE: engine.state },
    stdin: bytes,
    stdout: "pipe",
    stderr: "inherit",
  });
  const timer = setTimeout(() => runner.kill("SIGKILL"), 15_000);
  const answer = await runner.stdout.text();
  clearTimeout(timer);
  return JSON.parse(answer);
}

const BIRTHS: readonly (readonly [string, Uint8Array])[] = [
  ["nothing", new Uint8Array(0)],
  ["random bytes", randomBytes(4000, 5)],
  ["an oversized frame", new Uint8Array([255, 255, 255, 255, 0])],
  ["half a frame", HELLO_INIT.subarray(0, 9)],
  ["a hello of init and garbage", Buffer.concat([HELLO_INIT, new Uint8Array([0, 0, 0, 2, 0xc1, 0xc1])])],
  ["a hello of init and no spec", Buffer.concat([HELLO_INIT, encodeFrame({ type: "create", spec: [] })])],
  ["a hello of init and start", Buffer.concat([HELLO_INIT, encodeFrame({ type: "start" })])],
  ["a hello of a client and garbage", Buffer.concat([HELLO_SUPERVISOR, randomBytes(100, 9)])],
  ["a hello of a client and nothing", HELLO_SUPERVISOR],
  ["start of no container", Buffer.concat([HELLO_SUPERVISOR, encodeFrame({ type: "start", id: "../../etc/passwd" })])],
  ["stop before start", Buffer.concat([HELLO_SUPERVISOR, encodeFrame({ type: "stop" })])],
];

for (const [name, bytes] of BIRTHS) {
  test(`init and supervisor born with ${name} end with a status`, async () => {
    for (const role of ["init", "supervisor"]) {
      const { status, signal } = await bearOnSocket(role, bytes);
      expect(signal).toBeNull();
      expect(status).toBeGreaterThanOrEqual(0);
      expect(status).toBeLessThan(126);
      if (role === "init") expect(status).toBe(1);
    }
  });
}

test("init, supervisor and netd born with a file instead of a socket end with status 1", async () => {
  for (const role of ["init", "supervisor", "netd"]) {
    expect([role, await bear(role, randomBytes(100, 3))]).toEqual([role, 1]);
  }
});

test("nothing is left of all this", async () => {
  await engine.expectNothingLeft();
  expect(processes().filter(({ command }) => /ctr (init|supervisor)/.test(command))).toEqual([]);
});
