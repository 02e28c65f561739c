import { expect, test } from "bun:test";
import { ProtocolError } from "../errors/error.ts";
import { decodePayload, encodeFrame } from "./frame.ts";
import { decodeFromNetd, decodeToNetd, type FromNetd, type ToNetd } from "./netd.ts";

const ENDPOINT = {
  id: "e",
  containerId: "c",
  networkId: "n",
  network: "bridge",
  name: "web",
  interface: {
    name: "eth0",
    index: 2,
    address: "172.17.0.2",
    prefixLength: 16,
    routes: [{ destination: "0.0.0.0/0", gateway: "172.17.0.1" }],
  },
  hostInterface: "veth0123456",
  macAddress: "02:42:ac:11:00:02",
  gateway: "172.17.0.1",
  mtu: 1500,
  ports: [{ containerPort: 80, protocol: "tcp", hostIp: "0.0.0.0", hostPort: 8080 }],
} as const;

const SETTINGS = {
  isInternal: false,
  isAttachable: true,
  hasIpv6: true,
  labels: { a: "b" },
  options: {},
  ipamOptions: {},
  pools: [{ subnet: "10.9.0.0/24", gateway: "10.9.0.1", auxAddresses: { printer: "10.9.0.9" } }],
} as const;

const NETWORK = {
  id: "n",
  name: "bridge",
  driver: "bridge",
  createdAtMs: 1,
  device: "ctr0",
  subnet: "172.17.0.0/16",
  ...SETTINGS,
} as const;

const TO: readonly ToNetd[] = [
  {
    type: "attach",
    containerId: "c0ffee",
    name: "web",
    sandbox: { pid: 42 },
    network: "bridge",
    ports: [{ containerPort: 80, protocol: "tcp", hostIp: "127.0.0.1", hostPort: 8080, hostPortLast: 8090 }],
    macAddress: "02:42:ac:11:00:02",
  },
  { type: "attach", containerId: "c", name: "w", sandbox: { path: "/run/netns/a" }, network: "bridge", ports: [] },
  {
    type: "attach",
    containerId: "c",
    name: "w",
    sandbox: { pid: 1 },
    network: "n",
    ports: [],
    hostname: "h",
    aliases: ["a"],
    servers: ["192.0.2.1"],
    ipv4: "10.9.0.9",
    ipv6: "fd00::9",
    gwPriority: -1,
    isLive: true,
    isServedLater: false,
  },
  { type: "detach", containerId: "c0ffee" },
  { type: "detach", containerId: "c0ffee", network: "n", isLive: true },
  { type: "createNetwork", name: "n", driver: "bridge", ...SETTINGS },
  { type: "removeNetwork", network: "n" },
  { type: "check", fix: true },
  { type: "endpoints" },
  { type: "endpoints", containerId: "c0ffee" },
  { type: "endpoints", containerId: "c0ffee", isServed: true },
  { type: "networks" },
  { type: "status" },
];

const FROM: readonly FromNetd[] = [
  { type: "attached", endpoint: ENDPOINT },
  { type: "detached" },
  { type: "endpoints", endpoints: [ENDPOINT] },
  {
    type: "networks",
    networks: [NETWORK],
  },
  { type: "networkCreated", network: NETWORK },
  { type: "networkRemoved", network: NETWORK },
  { type: "checked", differences: ["ctr0 is missing"] },
  { type: "status", status: { version: "1", pid: 7, endpoints: 0, socketActivated: true } },
  { type: "failed", kind: "conflict", message: "port is already allocated" },
];

test("netd: every message survives its frame", () => {
  for (const message of TO) expect(decodeToNetd(decodePayload(encodeFrame(message).subarray(4)))).toEqual(message);
  for (const message of FROM) expect(decodeFromNetd(decodePayload(encodeFrame(message).subarray(4)))).toEqual(message);
});

const ATTACH = { type: "attach", containerId: "c", name: "w", sandbox: { pid: 1 }, network: "bridge", ports: [] };
const PORT = { containerPort: 80, protocol: "tcp" };

test.each([
  ["no map", 1],
  ["no type", {}],
  ["an unknown type", { type: "reboot" }],
  ["a path as id", { type: "detach", containerId: "../x" }],
  ["a rule as id", { type: "detach", containerId: "x -j ACCEPT" }],
  ["no sandbox", { ...ATTACH, sandbox: undefined }],
  ["pid 0", { ...ATTACH, sandbox: { pid: 0 } }],
  ["a fraction as pid", { ...ATTACH, sandbox: { pid: 1.5 } }],
  ["ports that are no list", { ...ATTACH, ports: {} }],
  ["port 0", { ...ATTACH, ports: [{ ...PORT, containerPort: 0 }] }],
  ["port 65536", { ...ATTACH, ports: [{ ...PORT, hostPort: 65536 }] }],
  ["a range backwards", { ...ATTACH, ports: [{ ...PORT, hostPort: 90, hostPortLast: 80 }] }],
  ["an unknown protocol", { ...ATTACH, ports: [{ ...PORT, protocol: "icmp" }] }],
])("netd: %s is refused", (_name, message) => {
  expect(() => decodeToNetd(message)).toThrow(ProtocolError);
});
