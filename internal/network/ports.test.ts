import { afterEach, expect, test } from "bun:test";
import { holdPorts, noPorts, releasePorts, validatePort } from "./ports.ts";

const ports = noPorts();
afterEach(() => {
  for (const { owner } of [...ports.held]) releasePorts(ports, owner);
});

test("ports: without a host port the kernel chooses; released, it is free again", () => {
  const [binding] = holdPorts(ports, "a", [{ containerPort: 80, protocol: "tcp", hostIp: "127.0.0.1" }]);
  const hostPort = binding?.hostPort ?? 0;
  expect(hostPort).toBeGreaterThan(1023);
  const request = { containerPort: 81, protocol: "tcp" as const, hostIp: "127.0.0.1", hostPort };
  expect(() => holdPorts(ports, "b", [request])).toThrow(
    `Bind for 127.0.0.1:${hostPort} failed: port is already allocated`,
  );
  expect(() => holdPorts(ports, "b", [{ ...request, hostIp: "" }])).toThrow("Bind for 0.0.0.0:");
  releasePorts(ports, "a");
  expect(holdPorts(ports, "b", [request])).toEqual([{ ...request, hostIp: "127.0.0.1" }]);
});

test("ports: TCP and UDP do not meet", () => {
  const [tcp] = holdPorts(ports, "a", [{ containerPort: 53, protocol: "tcp", hostIp: "127.0.0.1" }]);
  const hostPort = tcp?.hostPort ?? 0;
  expect(holdPorts(ports, "b", [{ containerPort: 53, protocol: "udp", hostIp: "127.0.0.1", hostPort }])).toHaveLength(
    1,
  );
});

test("ports: a port of another program", () => {
  using server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const request = { containerPort: 80, protocol: "tcp" as const, hostIp: "127.0.0.1", hostPort: server.port };
  expect(() => holdPorts(ports, "a", [request])).toThrow(
    `listen tcp4 127.0.0.1:${server.port}: bind: address already in use`,
  );
});

test("ports: all or nothing", () => {
  const [held] = holdPorts(ports, "a", [{ containerPort: 80, protocol: "tcp", hostIp: "127.0.0.1" }]);
  const taken = { containerPort: 80, protocol: "tcp" as const, hostIp: "127.0.0.1", hostPort: held?.hostPort ?? 0 };
  expect(() => holdPorts(ports, "b", [{ containerPort: 81, protocol: "tcp", hostIp: "127.0.0.1" }, taken])).toThrow();
  expect(ports.held.map(({ owner }) => owner)).toEqual(["a"]);
});

test.each([
  ["localhost", "invalid IP address: localhost"],
  ["300.0.0.1", "invalid IP address: 300.0.0.1"],
  ["::1", "IPv6"],
])("ports: the address %s is refused", (hostIp, reason) => {
  expect(() => validatePort({ containerPort: 80, protocol: "tcp", hostIp })).toThrow(reason);
});
