import { expect, test } from "bun:test";
import { CtrError, ProtocolError } from "../errors/error.ts";
import { decodePayload, encodeFrame } from "./frame.ts";
import { checkHello, hello } from "./hello.ts";
import { createMessage, decodeFromInit, decodeToInit, type FromInit, INIT_CONVERSATION, type ToInit } from "./init.ts";

const SPEC = {
  ociVersion: "1.2.0",
  root: { path: "/srv/root" },
  process: { args: ["true"], cwd: "/", user: { uid: 0, gid: 0 } },
} as const;

const TO: readonly Exclude<ToInit, { type: "create" }>[] = [
  { type: "network" },
  {
    type: "network",
    interface: {
      name: "eth0",
      index: 3,
      address: "172.17.0.2",
      prefixLength: 16,
      routes: [{ destination: "0.0.0.0/0", gateway: "172.17.0.1" }],
    },
  },
  { type: "start" },
];

const FROM: readonly FromInit[] = [
  { type: "ready" },
  { type: "ready", terminalFd: 5 },
  { type: "failed", step: "exec", message: "why" },
  { type: "failed", step: "exec", message: "why", errno: 2, exitStatus: 127 },
];

const over = (message: object) => decodePayload(encodeFrame(message).subarray(4));

test("init: every message survives its frame", () => {
  for (const message of TO) expect(decodeToInit(over(message))).toEqual(message);
  for (const message of FROM) expect(decodeFromInit(over(message))).toEqual(message);
});

test("a spec crosses whole", () => {
  const message = decodeToInit(over(createMessage(SPEC)));
  expect(message.type === "create" && message.spec.process.args).toEqual(["true"]);
});

test.each([
  ["no type", {}],
  ["an unknown type", { type: "stop" }],
  ["a network that is text", { type: "network", interface: "eth0" }],
  ["a network without an address", { type: "network", interface: { name: "eth0", index: 1 } }],
])("to init: %s is refused", (_name, message) => {
  expect(() => decodeToInit(message)).toThrow(ProtocolError);
});

test.each([
  ["nil", null],
  ["a list", []],
  ["an empty map", {}],
  ["no process", { ...SPEC, process: undefined }],
  ["arguments that are one text", { ...SPEC, process: { ...SPEC.process, args: "true" } }],
  ["a root that is a number", { ...SPEC, root: 1 }],
])("to init: a spec that is %s is refused in words", (_name, spec) => {
  expect(() => decodeToInit({ type: "create", config: JSON.stringify(spec) })).toThrow(CtrError);
});

test.each([
  ["no text", undefined, ProtocolError],
  ["a map", SPEC, ProtocolError],
  ["half a text", JSON.stringify(SPEC).slice(0, -1), CtrError],
  ["deeper than a stack", "[".repeat(1 << 20), CtrError],
])("to init: a config that is %s is refused", (_name, config, kind) => {
  expect(() => decodeToInit({ type: "create", config })).toThrow(kind);
});

test.each([
  ["no type", {}],
  ["an unknown type", { type: "done" }],
  ["a negative descriptor", { type: "ready", terminalFd: -1 }],
  ["a failure without a step", { type: "failed", message: "why" }],
  ["a failure without words", { type: "failed", step: "exec" }],
  ["a status that is not for programs", { type: "failed", step: "exec", message: "why", exitStatus: 125 }],
  ["an errno that is text", { type: "failed", step: "exec", message: "why", errno: "ENOENT" }],
])("from init: %s is refused", (_name, message) => {
  expect(() => decodeFromInit(message)).toThrow(ProtocolError);
});

test.each([
  ["no hello", { type: "start" }],
  ["another conversation", { ...hello(INIT_CONVERSATION), conversation: "netd" }],
  ["another version", { ...hello(INIT_CONVERSATION), version: 2 }],
  ["no version", { type: "hello", conversation: "init" }],
  ["version 0", { type: "hello", conversation: "init", version: 0 }],
  ["a list", []],
])("hello: %s is refused", (_name, message) => {
  expect(() => checkHello(message, INIT_CONVERSATION)).toThrow(ProtocolError);
});
