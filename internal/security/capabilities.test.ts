import { expect, test } from "bun:test";
import {
  CAPABILITIES,
  capabilitiesFromFlags,
  capabilityMask,
  capabilityNames,
  DEFAULT_CAPABILITIES,
} from "./capabilities.ts";

test("the default set has Docker's mask", () => {
  expect(capabilityMask(DEFAULT_CAPABILITIES)).toBe(0xa80425fbn);
  expect(capabilitiesFromFlags([], [])).toEqual(DEFAULT_CAPABILITIES);
});

test("a mask and its names are the same", () => {
  expect(CAPABILITIES).toHaveLength(41);
  expect(capabilityMask(capabilityNames(0x1ffffffffffn))).toBe(0x1ffffffffffn);
  expect(capabilityMask()).toBe(0n);
});

test.each<[string[], string[], bigint]>([
  [["net_admin"], [], 0xa80435fbn],
  [["CAP_NET_ADMIN", "Net_Admin"], [], 0xa80435fbn],
  [[], ["mknod"], 0xa00425fbn],
  [["chown"], ["ALL"], 1n],
  [[], ["all"], 0n],
  [["ALL"], ["CHOWN"], 0x1fffffffffen],
  [["ALL"], [], 0x1ffffffffffn],
  [["ALL"], ["ALL"], 0x1ffffffffffn],
  [["kill"], ["kill"], 0xa80425fbn],
])("--cap-add %p --cap-drop %p", (add, drop, mask) => {
  expect(capabilityMask(capabilitiesFromFlags(add, drop))).toBe(mask);
});

test("an unknown name is refused in Docker's words", () => {
  expect(() => capabilitiesFromFlags(["nope"], [])).toThrow('invalid CapAdd: unknown capability: "CAP_NOPE"');
  expect(() => capabilitiesFromFlags([], ["CAP_NOPE"])).toThrow('invalid CapDrop: unknown capability: "CAP_NOPE"');
});
