import { expect, test } from "bun:test";
import { hostnameOf, isExcepted, isInNetwork, isLoopback, parseAddress, parseNetwork } from "./host-match.ts";

test("addresses and networks, IPv4, IPv6, and IPv4 in IPv6", () => {
  const isIn = (address: string, network: string) => {
    const [a, n] = [parseAddress(address), parseNetwork(network)];
    return a !== undefined && n !== undefined && isInNetwork(a, n);
  };
  expect(isIn("10.1.2.3", "10.0.0.0/8")).toBe(true);
  expect(isIn("11.1.2.3", "10.0.0.0/8")).toBe(false);
  expect(isIn("10.1.2.3", "0.0.0.0/0")).toBe(true);
  expect(isIn("fd00::1", "fd00::/8")).toBe(true);
  expect(isIn("fe80::1", "fd00::/8")).toBe(false);
  expect(isIn("::ffff:10.1.2.3", "10.0.0.0/8")).toBe(true);
  expect(isIn("::1", "10.0.0.0/8")).toBe(false);
  for (const bad of [
    "",
    "1.2.3",
    "1.2.3.256",
    "1.2.3.4.5",
    "::1::",
    "1:2:3:4:5:6:7:8:9",
    "g::",
    "host",
    "1:2:3:4:5:6:7",
  ]) {
    expect(parseAddress(bad)).toBeUndefined();
  }
  for (const bad of ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "x/8", "10.0.0.0/8/8", "fd00::/129"]) {
    expect(parseNetwork(bad)).toBeUndefined();
  }
});

test("loopback is this machine, and only it", () => {
  for (const host of ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]) {
    expect(isLoopback(host)).toBe(true);
  }
  for (const host of ["128.0.0.1", "localhost.example.com", "1.127.0.0", "127.0.0.1.example.com", "::2"]) {
    expect(isLoopback(host)).toBe(false);
  }
  expect([hostnameOf("a:5000"), hostnameOf("[::1]:5000"), hostnameOf("a")]).toEqual(["a", "::1", "a"]);
});

test.each<readonly [string, string, string, boolean]>([
  ["r.example.com", "443", "example.com", true],
  ["example.com", "443", "example.com", true],
  ["badexample.com", "443", "example.com", false],
  ["example.com", "443", ".example.com", false],
  ["r.example.com", "443", ".example.com", true],
  ["r.example.com", "443", "*.example.com", true],
  ["r.example.com", "443", "*", true],
  ["r.example.com", "443", "r.example.com:443", true],
  ["r.example.com", "444", "r.example.com:443", false],
  ["10.1.2.3", "80", "10.0.0.0/8", true],
  ["10.1.2.3", "80", "10.1.2.3", true],
  ["10.1.2.3", "80", "10.1.2.3:81", false],
  ["fd00::5", "80", "fd00::/8", true],
  ["R.EXAMPLE.com", "443", "r.example.COM", true],
  ["anything", "443", "", false],
])("NO_PROXY: %p port %p and %p: %p", (host, port, entry, wanted) => {
  expect(isExcepted(host, port, [entry])).toBe(wanted);
});
