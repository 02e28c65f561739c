import { expect, test } from "bun:test";
import { parseConfig } from "./config.ts";

test("netd.json: bip and mtu, and Docker's defaults", () => {
  expect(parseConfig("{}", "f")).toEqual({ bip: undefined, mtu: 1500 });
  expect(parseConfig('{"bip": "10.9.0.1/16", "mtu": 1400}', "f")).toEqual({
    bip: { address: 0x0a090001, prefixLength: 16 },
    mtu: 1400,
  });
});

test.each([
  ["", "f: "],
  ["[]", "f: must be an object"],
  ['{"mut": 1400}', "f: unknown key mut"],
  ['{"mtu": "1400"}', "f: mtu must be"],
  ['{"mtu": 10}', "f: mtu must be"],
  ['{"bip": 1}', "f: bip must be text"],
  ['{"bip": "10.9.0.1"}', "invalid CIDR address: 10.9.0.1"],
  ['{"bip": "10.9.0.1/31"}', "f: bip must have a length"],
])("netd.json: %s is refused with its reason", (text, reason) => {
  expect(() => parseConfig(text, "f")).toThrow(reason);
});
