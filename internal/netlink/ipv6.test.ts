import { expect, test } from "bun:test";
import { formatIpv6, ipv6Bytes, ipv6FromBytes, networkOf6, overlaps6, parseCidr6, parseIpv6 } from "./ipv6.ts";

test.each([
  ["::", "::"],
  ["::1", "::1"],
  ["fd00:0:0:1::2", "fd00:0:0:1::2"],
  ["FD00:0db8:0:0:1:0:0:1", "fd00:db8::1:0:0:1"],
  ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
  ["1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"],
  ["::ffff:192.0.2.1", "::ffff:c000:201"],
  ["fe80::", "fe80::"],
])("ipv6: %s is %s", (text, shown) => {
  expect(formatIpv6(parseIpv6(text) ?? -1n)).toBe(shown);
});

test.each([
  "",
  ":",
  ":::",
  "1",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "1::2::3",
  "g::",
  "12345::",
  "::1.2.3.256",
  "1.2.3.4",
])("ipv6: %p is none", (text) => {
  expect(parseIpv6(text)).toBeUndefined();
});

test("ipv6: bytes and subnets", () => {
  const address = parseIpv6("fd00:1:2:3:4:5:6:7") ?? 0n;
  expect(ipv6FromBytes(ipv6Bytes(address))).toBe(address);
  expect(formatIpv6(networkOf6(address, 64))).toBe("fd00:1:2:3::");
  expect(formatIpv6(networkOf6(address, 0))).toBe("::");
  const subnet = (text: string) => {
    const { address: network, prefixLength } = parseCidr6(text) ?? { address: 0n, prefixLength: 0 };
    return { network, prefixLength };
  };
  expect(overlaps6(subnet("fd00::/48"), subnet("fd00:0:0:1::/64"))).toBe(true);
  expect(overlaps6(subnet("fd00::/64"), subnet("fd00:0:0:1::/64"))).toBe(false);
  expect(parseCidr6("fd00::/129")).toBeUndefined();
});
