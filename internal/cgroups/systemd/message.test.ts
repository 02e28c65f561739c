import { expect, test } from "bun:test";
import { ProtocolError } from "../../errors/error.ts";
import { messageLength, methodCall, parseMessage, Writer } from "./message.ts";
import { checkSlice, parseSystemdPath, scopePath, scopePlace, systemdCgroupsPath } from "./place.ts";
import { propertiesOf } from "./scope.ts";

test("D-Bus: a call as the specification lays it out", () => {
  const bytes = methodCall(7, { path: "/o", interface: "a.b", member: "Do" }, "su", (body) => {
    body.string("hi");
    body.uint32(258);
  });
  // 'l', call, no flags, version 1; 12 bytes of body; serial 7; 56 bytes of fields.
  const header = "6c010001 0c000000 07000000 38000000";
  const fields =
    "01016f00 02000000 2f6f0000 00000000" + // path, padded to 8
    "02017300 03000000 612e6200" + // interface
    "00000000" +
    "03017300 02000000 446f0000 00000000" + // member
    "08016700 02737500"; // signature
  const body = "02000000 68690000 02010000";
  expect(bytes.toHex()).toBe((header + fields + body).replaceAll(" ", ""));
  expect(messageLength(bytes)).toBe(bytes.length);
  expect(messageLength(bytes.subarray(0, 15))).toBeUndefined();
});

test("D-Bus: properties are structs of a name and a variant, each at a multiple of eight", () => {
  const writer = new Writer();
  writer.array(8, () => {
    writer.align(8);
    writer.string("A");
    writer.variant({ type: "t", value: 5n });
    writer.align(8);
    writer.string("B");
    writer.variant({ type: "au", value: [1, 2] });
  });
  expect(writer.bytes.toHex()).toBe(
    [
      "30000000 00000000", // 48 bytes, from the first element on
      "01000000 4100 0174 00 00000000000000",
      "0500000000000000",
      "01000000 4200 026175 00 0000 08000000 01000000 02000000",
    ]
      .join("")
      .replaceAll(" ", ""),
  );
});

/** A message as systemd sends it: made by hand, little endian. */
function incoming(type: number, fields: readonly (readonly [number, string, string | number])[], body: Uint8Array) {
  const writer = new Writer();
  for (const byte of [0x6c, type, 1, 1]) writer.byte(byte);
  writer.uint32(body.length);
  writer.uint32(99);
  writer.array(8, () => {
    for (const [field, kind, value] of fields) {
      writer.align(8);
      writer.byte(field);
      writer.signature(kind);
      if (typeof value === "number") writer.uint32(value);
      else if (kind === "g") writer.signature(value);
      else writer.string(value);
    }
  });
  writer.align(8);
  writer.raw(body);
  return writer.bytes;
}

test("D-Bus: replies, errors and signals", () => {
  const job = new Writer();
  job.string("/job/1");
  expect(
    parseMessage(
      incoming(
        2,
        [
          [5, "u", 3],
          [8, "g", "o"],
        ],
        job.bytes,
      ),
    ),
  ).toEqual({
    type: 2,
    member: "",
    errorName: "",
    replySerial: 3,
    body: ["/job/1"],
  });
  const removed = new Writer();
  removed.uint32(1);
  for (const text of ["/job/1", "a.scope", "done"]) removed.string(text);
  const signal = parseMessage(
    incoming(
      4,
      [
        [1, "o", "/o"],
        [3, "s", "JobRemoved"],
        [8, "g", "uoss"],
      ],
      removed.bytes,
    ),
  );
  expect(signal).toMatchObject({ type: 4, member: "JobRemoved", body: [1, "/job/1", "a.scope", "done"] });
  const words = new Writer();
  words.string("no such unit");
  expect(
    parseMessage(
      incoming(
        3,
        [
          [4, "s", "x.NoSuchUnit"],
          [5, "u", 9],
          [8, "g", "s"],
        ],
        words.bytes,
      ),
    ),
  ).toMatchObject({
    errorName: "x.NoSuchUnit",
    replySerial: 9,
    body: ["no such unit"],
  });
});

test("D-Bus: whatever comes is a message or a ProtocolError", () => {
  let seed = 11;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed % below;
  };
  const good = incoming(
    4,
    [
      [3, "s", "JobRemoved"],
      [8, "g", "uoss"],
    ],
    new Uint8Array(24),
  );
  for (let round = 0; round < 3000; round++) {
    const bytes = good.slice(0, round % 2 === 0 ? good.length : random(good.length));
    for (let change = random(4); change >= 0; change--) bytes[random(Math.max(1, bytes.length))] = random(256);
    try {
      const length = messageLength(bytes);
      if (length !== undefined && length <= bytes.length) parseMessage(bytes.subarray(0, length));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
    }
  }
});

test("systemd: where a container's scope lies", () => {
  expect(scopePath(scopePlace("abc", ""))).toBe("/system.slice/ctr-abc.scope");
  expect(scopePath(scopePlace("abc", "a-b-c.slice"))).toBe("/a.slice/a-b.slice/a-b-c.slice/ctr-abc.scope");
  expect(scopePath(scopePlace("abc", "-.slice"))).toBe("/ctr-abc.scope");
  expect(parseSystemdPath(systemdCgroupsPath("abc", "web.slice"))).toEqual({
    slice: "web.slice",
    unit: "ctr-abc.scope",
  });
  expect(parseSystemdPath("/ctr/abc")).toBeUndefined();
  for (const bad of ["web", "/web.slice", "a--b.slice", "-a.slice", "a-.slice", "../x.slice", ".slice"]) {
    expect(() => checkSlice(bad)).toThrow(
      'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"',
    );
  }
});

test("systemd: limits in its words", () => {
  const infinity = 2n ** 64n - 1n;
  expect(
    propertiesOf({
      memory: { limit: 64, swap: 100, reservation: 32 },
      cpu: { shares: 1024, quota: 50_000, period: 100_000, cpus: "0,9", mems: "1" },
      pids: { limit: 7 },
      blockIO: { weight: 1000 },
    }),
  ).toEqual([
    ["MemoryMax", { type: "t", value: 64n }],
    ["MemoryLow", { type: "t", value: 32n }],
    ["MemorySwapMax", { type: "t", value: 36n }],
    ["CPUWeight", { type: "t", value: 100n }],
    ["CPUQuotaPeriodUSec", { type: "t", value: 100_000n }],
    ["CPUQuotaPerSecUSec", { type: "t", value: 500_000n }],
    ["AllowedCPUs", { type: "ay", value: new Uint8Array([1, 2]) }],
    ["AllowedMemoryNodes", { type: "ay", value: new Uint8Array([2]) }],
    ["TasksMax", { type: "t", value: 7n }],
    ["IOWeight", { type: "t", value: 10_000n }],
  ]);
  expect(propertiesOf({ memory: { limit: -1, swap: -1 }, pids: { limit: 0 }, cpu: { quota: -1 } })).toEqual([
    ["MemoryMax", { type: "t", value: infinity }],
    ["MemorySwapMax", { type: "t", value: infinity }],
    ["CPUQuotaPeriodUSec", { type: "t", value: 100_000n }],
    ["CPUQuotaPerSecUSec", { type: "t", value: infinity }],
    ["TasksMax", { type: "t", value: infinity }],
  ]);
});
