import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createHostServers, parseServers } from "./resolv-conf.ts";

test.each([
  ["nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n", ["127.0.0.53"]],
  ["# nameserver 1.1.1.1\n;nameserver 1.1.1.1\n nameserver\t10.0.0.1 # first\n", ["10.0.0.1"]],
  ["nameserver fe80::1%eth0\nnameserver 2001:db8::1", ["fe80::1%eth0", "2001:db8::1"]],
  [
    "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\n",
    ["1.1.1.1", "1.1.1.2", "1.1.1.3"],
  ],
  ["nameserver\nnameserver example.org\nnameservers 1.1.1.1\n", []],
])("resolv.conf: %j", (text, expected) => {
  expect(parseServers(text)).toEqual(expected);
});

const directory = mkdtempSync("/tmp/resolv-");
afterAll(() => rmSync(directory, { recursive: true }));

test("resolv.conf: what it says now is what counts, and none means no server", () => {
  const path = `${directory}/resolv.conf`;
  const servers = createHostServers(path);
  expect(servers()).toEqual([]);
  writeFileSync(path, "nameserver 10.0.0.1\n");
  expect(servers()).toEqual(["10.0.0.1"]);
  writeFileSync(`${path}.new`, "nameserver 10.0.0.2\n");
  renameSync(`${path}.new`, path);
  expect(servers()).toEqual(["10.0.0.2"]);
  rmSync(path);
  expect(servers()).toEqual([]);
});
