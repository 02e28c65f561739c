import { expect, test } from "bun:test";
import { portsOf, portsText } from "./port-list.ts";
import type { BoundPort, ContainerRecord } from "./record.ts";

function bound(
  containerPort: number,
  hostPort: number,
  hostIp = "0.0.0.0",
  protocol: "tcp" | "udp" = "tcp",
): BoundPort {
  return { containerPort, hostPort, hostIp, protocol };
}

/** Only what the lists look at. */
function container(ports: readonly BoundPort[], exposed: readonly string[] = [], isAttached = true): ContainerRecord {
  return {
    config: { ExposedPorts: Object.fromEntries(exposed.map((port) => [port, {}])) },
    runtime: isAttached ? { endpoint: { ports } } : {},
  } as unknown as ContainerRecord;
}

test.each<[string, readonly BoundPort[], readonly string[], string]>([
  ["nothing", [], [], ""],
  ["exposed only", [], ["80/tcp"], "80/tcp"],
  [
    "published on both families",
    [bound(80, 8080, "::"), bound(80, 8080)],
    ["80/tcp"],
    "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
  ],
  ["equal ports as a range", [bound(81, 81), bound(80, 80), bound(82, 82)], [], "0.0.0.0:80-82->80-82/tcp"],
  ["a gap ends a range", [bound(80, 80), bound(82, 82)], [], "0.0.0.0:80->80/tcp, 0.0.0.0:82->82/tcp"],
  ["protocols apart", [bound(53, 53), bound(53, 53, "0.0.0.0", "udp")], [], "0.0.0.0:53->53/tcp, 0.0.0.0:53->53/udp"],
  ["mapped ones last", [bound(80, 8080)], ["443/tcp", "444/tcp"], "443-444/tcp, 0.0.0.0:8080->80/tcp"],
  ["one port twice", [bound(80, 8080), bound(80, 9090)], [], "0.0.0.0:8080->80/tcp, 0.0.0.0:9090->80/tcp"],
])("%s", (_name, ports, exposed, expected) => {
  expect(portsText(container(ports, exposed))).toBe(expected);
});

test("without an endpoint there are none, whatever is exposed", () => {
  expect(portsOf(container([], ["80/tcp"], false))).toEqual({});
});

test("an exposed port that is not published is null", () => {
  expect(portsOf(container([bound(80, 8080)], ["80/tcp", "443/tcp"]))).toEqual({
    "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "8080" }],
    "443/tcp": null,
  });
});
