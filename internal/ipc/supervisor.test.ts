import { expect, test } from "bun:test";
import { ProtocolError } from "../errors/error.ts";
import { decodePayload, encodeFrame } from "./frame.ts";
import { decodeFromSupervisor, decodeToSupervisor, type FromSupervisor, type ToSupervisor } from "./supervisor.ts";

const STREAMS = { stdin: true, stdout: true, stderr: false } as const;
const SIZE = { rows: 24, columns: 80 } as const;
const PROCESS = { args: ["sh"], env: ["A=b"], cwd: "/", user: "1:2", terminal: true, privileged: false } as const;

const TO: readonly ToSupervisor[] = [
  { type: "start", id: "c0ffee", hasSpec: false },
  { type: "start", id: "c0ffee", streams: STREAMS, size: SIZE, hasSpec: true },
  { type: "attach", streams: STREAMS, size: SIZE },
  { type: "exec", process: PROCESS, streams: STREAMS, size: SIZE },
  { type: "exec", process: { args: [], env: [], terminal: false, privileged: true } },
  { type: "stdin", data: new Uint8Array([0, 255]) },
  { type: "stdin-end" },
  { type: "resize", ...SIZE },
  { type: "signal", signal: 15 },
  { type: "stop" },
  { type: "stop", signal: 9, timeoutMs: -1 },
  { type: "kill", signal: 0 },
  { type: "restart", timeoutMs: 0 },
  { type: "pause" },
  { type: "resume" },
  { type: "remove", volumes: true },
  { type: "wait" },
  { type: "execs" },
];

const FROM: readonly FromSupervisor[] = [
  { type: "started", pid: 1 },
  { type: "started", pid: 2, warnings: ["w"] },
  { type: "attached", terminal: true },
  { type: "failed", message: "why", exitStatus: 127 },
  { type: "stdin-taken", bytes: 0 },
  { type: "output", stream: "stderr", data: new Uint8Array([7]) },
  { type: "exited", status: 0 },
  { type: "exited", status: 255, error: "why" },
  { type: "execs", ids: ["a", "b"] },
  { type: "done" },
];

const over = (message: object) => decodePayload(encodeFrame(message).subarray(4));

test("supervisor: every message survives its frame", () => {
  for (const message of TO) expect(decodeToSupervisor(over(message))).toEqual(message);
  for (const message of FROM) expect(decodeFromSupervisor(over(message))).toEqual(message);
});

/** Every field of every message is checked: with any other kind of value in its place it is refused, or left out. */
function mutate(messages: readonly object[], decode: (value: unknown) => unknown): void {
  const strange: readonly unknown[] = [
    null,
    "x",
    "",
    -1,
    2 ** 53,
    1.5,
    Number.NaN,
    true,
    [],
    {},
    [null],
    new Uint8Array(1),
  ];
  for (const message of messages) {
    for (const name of Object.keys(message)) {
      for (const value of strange) {
        try {
          decode({ ...message, [name]: value });
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error;
        }
      }
    }
  }
}

test("a field of the wrong kind: a message or a ProtocolError, never anything else", () => {
  mutate(TO, decodeToSupervisor);
  mutate(FROM, decodeFromSupervisor);
});

test.each([
  ["no type", {}],
  ["a type that is no text", { type: 1 }],
  ["an unknown type", { type: "format" }],
  ["a type of objects' own", { type: "constructor" }],
  ["start without an id", { type: "start", hasSpec: false }],
  ["start with half the streams", { type: "start", id: "a", hasSpec: false, streams: { stdin: true } }],
  ["attach without streams", { type: "attach" }],
  ["exec without a process", { type: "exec" }],
  ["exec with a list as its process", { type: "exec", process: [] }],
  ["exec with numbers as arguments", { type: "exec", process: { ...PROCESS, args: [1] } }],
  ["exec without an environment", { type: "exec", process: { ...PROCESS, env: undefined } }],
  ["exec whose terminal is a number", { type: "exec", process: { ...PROCESS, terminal: 1 } }],
  ["input as text", { type: "stdin", data: "abc" }],
  ["a size below nothing", { type: "resize", rows: -1, columns: 80 }],
  ["a size beyond its 16 bits", { type: "resize", rows: 65536, columns: 80 }],
  ["a signal that is none", { type: "kill", signal: 65 }],
  ["a negative signal", { type: "signal", signal: -1 }],
  ["half a signal", { type: "signal", signal: 1.5 }],
  ["stop with signal 0", { type: "stop", signal: 0 }],
  ["a timeout before never", { type: "stop", timeoutMs: -2 }],
  ["remove without a word on volumes", { type: "remove" }],
])("to a supervisor: %s is refused", (_name, message) => {
  expect(() => decodeToSupervisor(message)).toThrow(ProtocolError);
});

test.each([
  ["no type", {}],
  ["a message of the other side", { type: "attach", streams: STREAMS }],
  ["pid 0", { type: "started", pid: 0 }],
  ["warnings that are one text", { type: "started", pid: 1, warnings: "w" }],
  ["a status beyond a byte", { type: "exited", status: 256 }],
  ["a negative status", { type: "exited", status: -1 }],
  ["a stream that is none", { type: "output", stream: "stdin", data: new Uint8Array(0) }],
  ["output as a list", { type: "output", stream: "stdout", data: [1] }],
  ["a failure without words", { type: "failed", exitStatus: 1 }],
  ["a negative acknowledgement", { type: "stdin-taken", bytes: -1 }],
])("from a supervisor: %s is refused", (_name, message) => {
  expect(() => decodeFromSupervisor(message)).toThrow(ProtocolError);
});

test("what is no map is no message", () => {
  for (const value of [null, undefined, 1, "stop", [], new Uint8Array(3)]) {
    expect(() => decodeToSupervisor(value)).toThrow("must be a map");
    expect(() => decodeFromSupervisor(value)).toThrow("must be a map");
  }
});
