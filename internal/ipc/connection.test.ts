/** Connections over a real Unix socket in a directory of the test's own: no container, no root. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { ProtocolError } from "../errors/error.ts";
import { socketpair } from "../sys/socket.ts";
import { type Connection, type Conversation, connectFd, connectUnix, type Listener, listenUnix } from "./connection.ts";
import { asFields, bytes, text } from "./fields.ts";
import { encodeFrame } from "./frame.ts";
import { hello } from "./hello.ts";

type Note = { readonly type: string; readonly data: Uint8Array };
type Peer = Connection<Note, Note>;

const CONVERSATION: Conversation<Note> = {
  name: "notes",
  version: 3,
  decode: (value) => {
    const fields = asFields(value);
    return { type: text(fields, "type"), data: bytes(fields, "data") };
  },
};

const directory = mkdtempSync(`${tmpdir()}/ctr-ipc-`);
const path = `${directory}/notes.sock`;
let listener: Listener;
/** Why connections ended wrongly, as the listening side saw it. */
const faults: unknown[] = [];

/** Echoes what it gets; "flood" is answered with that many bytes at once, then the end. */
async function serve(peer: Peer): Promise<void> {
  try {
    for (let note = await peer.receive(); note !== undefined; note = await peer.receive()) {
      if (note.type !== "flood") {
        peer.send(note);
        continue;
      }
      for (let i = 0; i < 64; i++) peer.send({ type: "part", data: new Uint8Array(65536).fill(i) });
      peer.end();
      return;
    }
  } catch (error) {
    faults.push(error);
  }
}

beforeAll(() => {
  listener = listenUnix<Note, Note>({ path }, CONVERSATION, (peer) => void serve(peer));
});

afterAll(() => {
  listener.stop();
  rmSync(directory, { recursive: true });
});

/** A peer that keeps to no rule: sends these bytes, and resolves when the other side hangs up. */
async function throwAt(...parts: readonly Uint8Array[]): Promise<void> {
  const ended = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    unix: path,
    socket: { data() {}, end: () => ended.resolve(), close: () => ended.resolve(), error: () => ended.resolve() },
  });
  for (const part of parts) socket.write(part);
  await ended.promise;
  socket.end();
}

async function echo(note = "hello"): Promise<string> {
  const client = await connectUnix<Note, Note>(path, CONVERSATION);
  client.send({ type: note, data: new Uint8Array(0) });
  const answer = await client.receive();
  client.end();
  return answer?.type ?? "nothing";
}

const GREETING = encodeFrame(hello(CONVERSATION));

test("a message there and back", async () => {
  expect(await echo("there")).toBe("there");
});

test.each([
  ["no frame at all", [new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n")]],
  ["an oversized frame", [new Uint8Array([255, 255, 255, 255])]],
  ["a message before the hello", [encodeFrame({ type: "a", data: new Uint8Array(0) })]],
  ["the hello of another conversation", [encodeFrame(hello({ name: "init", version: 3 }))]],
  ["the hello of another version", [encodeFrame(hello({ name: "notes", version: 4 }))]],
  ["garbage after the hello", [GREETING, new Uint8Array([0, 0, 0, 3, 0xc1, 0xc1, 0xc1])]],
  ["a message without its fields", [GREETING, encodeFrame({ type: "a" })]],
  [
    "an oversized frame after a good message",
    [GREETING, encodeFrame({ type: "a", data: new Uint8Array(9) }), new Uint8Array([0x7f, 0, 0, 0])],
  ],
])("%s ends that connection only", async (_name, parts) => {
  const other = await connectUnix<Note, Note>(path, CONVERSATION);
  const before = faults.length;
  await throwAt(...parts);
  expect(faults.length).toBe(before + 1);
  expect(faults.at(-1)).toBeInstanceOf(ProtocolError);
  other.send({ type: "still", data: new Uint8Array(1) });
  expect((await other.receive())?.type).toBe("still");
  other.end();
});

test("an end inside a frame is an error, one between frames is not", async () => {
  const before = faults.length;
  const cut = await Bun.connect({ unix: path, socket: { data() {} } });
  cut.write(Buffer.concat([GREETING, new Uint8Array([0, 0, 0, 9, 1])]));
  cut.end();
  while (faults.length === before) await Bun.sleep(1);
  expect(String(faults.at(-1))).toContain("inside a frame");
  const whole = await connectUnix<Note, Note>(path, CONVERSATION);
  whole.end();
  await echo();
  expect(faults.length).toBe(before + 1);
});

test("the client hears of another version too", async () => {
  const client = await connectUnix<Note, Note>(path, { ...CONVERSATION, version: 2 });
  expect(client.receive()).rejects.toThrow("version 3");
  await client.ended;
});

test("a frame in two halves with silence between them arrives", async () => {
  const frame = encodeFrame({ type: "halves", data: new Uint8Array(5) });
  const answered = Promise.withResolvers<void>();
  let size = 0;
  const socket = await Bun.connect({
    unix: path,
    socket: {
      data: (_socket, chunk) => {
        size += chunk.length;
        if (size === GREETING.length + frame.length) answered.resolve();
      },
    },
  });
  socket.write(GREETING);
  socket.write(frame.subarray(0, 7));
  await echo();
  socket.write(frame.subarray(7));
  await answered.promise;
  socket.end();
});

test("what is queued is delivered before the end, to a reader that takes its time", async () => {
  const client = await connectUnix<Note, Note>(path, CONVERSATION);
  client.send({ type: "flood", data: new Uint8Array(0) });
  let parts = 0;
  for (let note = await client.receive(); note !== undefined; note = await client.receive()) {
    expect(note.data[0]).toBe(parts);
    parts++;
    await echo();
  }
  expect(parts).toBe(64);
});

test("a peer that does not read: bytes are counted, and taken once it reads", async () => {
  const [ours, theirs] = socketpair();
  const writer = await connectFd<Note, Note>(ours.take(), CONVERSATION);
  const reader = await connectFd<Note, Note>(theirs.take(), CONVERSATION);
  const COUNT = 2000;
  for (let i = 0; i < COUNT; i++) writer.send({ type: `${i}`, data: new Uint8Array(4096) });
  expect(writer.queuedBytes).toBeGreaterThan(1 << 20);
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
  // Nobody has asked for a message: the reader holds few of them and the rest is still with its sender.
  expect(writer.queuedBytes).toBeGreaterThan(1 << 20);
  for (let i = 0; i < COUNT; i++) expect((await reader.receive())?.type).toBe(`${i}`);
  await writer.drained();
  expect(writer.queuedBytes).toBe(0);
  writer.end();
  expect(await reader.receive()).toBeUndefined();
});

test("many small messages before an end are all read, however late", async () => {
  const [ours, theirs] = socketpair();
  const writer = await connectFd<Note, Note>(ours.take(), CONVERSATION);
  const reader = await connectFd<Note, Note>(theirs.take(), CONVERSATION);
  for (let i = 0; i < 1000; i++) writer.send({ type: `${i}`, data: new Uint8Array(500) });
  writer.end();
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
  for (let i = 0; i < 1000; i++) expect((await reader.receive())?.type).toBe(`${i}`);
  expect(await reader.receive()).toBeUndefined();
});

test("after the end: sending goes nowhere, waiting ends", async () => {
  const client = await connectUnix<Note, Note>(path, CONVERSATION);
  client.end();
  await client.ended;
  client.send({ type: "late", data: new Uint8Array(1) });
  await client.drained();
  expect(await client.receive()).toBeUndefined();
});

test("nobody there is `unavailable`", async () => {
  expect(connectUnix(`${directory}/missing.sock`, CONVERSATION)).rejects.toMatchObject({ kind: "unavailable" });
});

test("silent connections are limited in number and keep nobody out", async () => {
  const descriptors = () => readdirSync("/proc/self/fd").length;
  const before = descriptors();
  const silent = [];
  for (let i = 0; i < 300; i++) silent.push(await Bun.connect({ unix: path, socket: { data() {} } }));
  expect(await echo("heard")).toBe("heard");
  expect(listener.count).toBeLessThanOrEqual(256);
  // Both ends are in this process: 300 of theirs, at most 256 of ours.
  expect(descriptors() - before).toBeLessThanOrEqual(600);
  for (const socket of silent) socket.terminate();
  while (listener.count > 0) await Bun.sleep(1);
});
