import { expect, test } from "bun:test";
import { formatIpv4, formatSubnet, ipv4 } from "../netlink/ipv4.ts";
import { chooseSubnet, createPool, isLeased, lease, release, take } from "./ipam.ts";

const subnet = (text: string, prefixLength: number) => ({ network: ipv4(text), prefixLength });

test("ipam: the lowest free address, the gateway and the ends left out", () => {
  const pool = createPool(subnet("172.17.0.0", 16), ipv4("172.17.0.1"));
  expect([lease(pool), lease(pool), lease(pool)].map(formatIpv4)).toEqual(["172.17.0.2", "172.17.0.3", "172.17.0.4"]);
  release(pool, ipv4("172.17.0.3"));
  release(pool, ipv4("172.17.0.3"));
  expect(isLeased(pool, ipv4("172.17.0.3"))).toBe(false);
  take(pool, ipv4("172.17.0.5"));
  expect([lease(pool), lease(pool)].map(formatIpv4)).toEqual(["172.17.0.3", "172.17.0.6"]);
});

test.each([
  [30, 1],
  [29, 5],
  [27, 29],
  [26, 61],
  [16, 65533],
] as const)("ipam: a /%i has room for %i containers, each address once", (prefixLength, room) => {
  const pool = createPool(subnet("10.0.0.0", prefixLength), ipv4("10.0.0.1"));
  const leased = new Set<number>();
  for (let count = 0; count < room; count++) leased.add(lease(pool));
  expect(leased.size).toBe(room);
  expect(() => lease(pool)).toThrow(`no available IPv4 addresses in 10.0.0.0/${prefixLength}`);
  release(pool, ipv4("10.0.0.2"));
  expect(formatIpv4(lease(pool))).toBe("10.0.0.2");
});

test("ipam: a gateway in the middle, an address of another subnet", () => {
  const pool = createPool(subnet("10.0.0.0", 24), ipv4("10.0.0.2"));
  expect([lease(pool), lease(pool)].map(formatIpv4)).toEqual(["10.0.0.1", "10.0.0.3"]);
  expect(() => take(pool, ipv4("10.0.1.1"))).toThrow("10.0.1.1 is not in 10.0.0.0/24");
});

test("ipam: Docker's subnets in order, those in use left out", () => {
  expect(formatSubnet(chooseSubnet([]))).toBe("172.17.0.0/16");
  expect(formatSubnet(chooseSubnet([subnet("172.17.3.0", 24)]))).toBe("172.18.0.0/16");
  expect(formatSubnet(chooseSubnet([subnet("172.16.0.0", 12)]))).toBe("192.168.0.0/20");
  expect(() => chooseSubnet([subnet("172.16.0.0", 12), subnet("192.168.0.0", 16)])).toThrow("address pool");
});
