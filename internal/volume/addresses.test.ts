import { expect, test } from "bun:test";
import { withAddresses } from "./addresses.ts";
import type { MountPoint } from "./mount-point.ts";

const mount = (type: string, o: string): MountPoint => ({
  Type: "volume",
  Name: "remote",
  Source: "/x",
  Destination: "/x",
  Mode: "z",
  RW: true,
  Propagation: "",
  options: { type, o, device: ":/export" },
});

test("addresses: a name becomes a number, everything else stays", async () => {
  const mounts = [mount("nfs", "ro,addr=localhost,vers=4"), mount("nfs", "addr=10.0.0.1"), mount("tmpfs", "addr=x")];
  expect((await withAddresses(mounts)).map(({ options }) => options?.["o"])).toEqual([
    "ro,addr=127.0.0.1,vers=4",
    "addr=10.0.0.1",
    "addr=x",
  ]);
  const plain = [mount("nfs", "addr=fe80::1"), mount("nfs", "vers=4")];
  expect(await withAddresses(plain)).toEqual(plain);
});

test("addresses: a name that nobody knows is an error", async () => {
  await expect(withAddresses([mount("nfs", "addr=nosuch.invalid")])).rejects.toThrow(
    "error resolving passed in network volume address: nosuch.invalid",
  );
});
