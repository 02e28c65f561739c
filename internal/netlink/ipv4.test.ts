import { expect, test } from "bun:test";
import {
  formatIpv4,
  formatSubnet,
  ipv4,
  ipv4Bytes,
  ipv4FromBytes,
  networkOf,
  overlaps,
  parseCidr,
  parseIpv4,
  sizeOf,
} from "./ipv4.ts";
import { formatMac, parseMac, randomMac } from "./mac.ts";

test.each([
  ["0.0.0.0", 0],
  ["172.17.0.2", 0xac110002],
  ["255.255.255.255", 0xffffffff],
] as const)("ipv4: %s and its number are the same thing", (text, number) => {
  expect(parseIpv4(text)).toBe(number);
  expect(formatIpv4(number)).toBe(text);
  expect(ipv4FromBytes(ipv4Bytes(number))).toBe(number);
});

test.each(["", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.4 ", "-1.2.3.4", "0x1.2.3.4", "localhost", "::1"])(
  "ipv4: %p is no address",
  (text) => {
    expect(parseIpv4(text)).toBeUndefined();
    expect(() => ipv4(text)).toThrow(`invalid IP address: ${text}`);
  },
);

test("ipv4: subnets", () => {
  expect(parseCidr("10.9.0.1/16")).toEqual({ address: 0x0a090001, prefixLength: 16 });
  expect(formatSubnet({ network: networkOf(ipv4("10.9.3.7"), 16), prefixLength: 16 })).toBe("10.9.0.0/16");
  expect(networkOf(0xffffffff, 0)).toBe(0);
  expect(networkOf(0xffffffff, 32)).toBe(0xffffffff);
  expect(sizeOf(16)).toBe(65536);
  for (const text of ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "/16"])
    expect(() => parseCidr(text)).toThrow();
});

test.each([
  ["172.17.0.0/16", "172.17.5.0/24", true],
  ["172.17.5.0/24", "172.17.0.0/16", true],
  ["172.17.0.0/16", "172.18.0.0/16", false],
  ["0.0.0.0/0", "192.168.0.0/20", true],
] as const)("ipv4: %s and %s overlap: %p", (a, b, expected) => {
  const [left, right] = [parseCidr(a), parseCidr(b)];
  expect(
    overlaps(
      { network: left.address, prefixLength: left.prefixLength },
      { network: right.address, prefixLength: right.prefixLength },
    ),
  ).toBe(expected);
});

test("mac: text and bytes; random ones are unicast and locally administered", () => {
  expect(formatMac(parseMac("02:42:AC:11:00:02"))).toBe("02:42:ac:11:00:02");
  expect(formatMac(parseMac("02-42-ac-11-00-02"))).toBe("02:42:ac:11:00:02");
  for (const text of [
    "",
    "02:42:ac:11:00",
    "02:42:ac:11:00:0g",
    "01:00:5e:00:00:01",
    "00:00:00:00:00:00",
    "2:42:ac:11:00:02",
  ]) {
    expect(() => parseMac(text)).toThrow(`invalid MAC address: ${text}`);
  }
  for (let round = 0; round < 100; round++) expect((randomMac()[0] ?? 0) & 3).toBe(2);
});
