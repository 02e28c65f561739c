import { expect, test } from "bun:test";
import { isIpAddress, parseExpose, parsePublish, portRequests } from "./ports.ts";

const binding = (HostPort: string, HostIp = "") => ({ HostIp, HostPort });

test.each([
  ["80", { "80/tcp": [binding("")] }],
  ["8080:80", { "80/tcp": [binding("8080")] }],
  ["8080:80/udp", { "80/udp": [binding("8080")] }],
  ["8080:80/TCP", { "80/tcp": [binding("8080")] }],
  ["0:80", { "80/tcp": [binding("0")] }],
  ["127.0.0.1:8080:80", { "80/tcp": [binding("8080", "127.0.0.1")] }],
  ["127.0.0.1::80", { "80/tcp": [binding("", "127.0.0.1")] }],
  ["[::1]:8080:80", { "80/tcp": [binding("8080", "::1")] }],
  ["::1:8080:80", { "80/tcp": [binding("8080", "::1")] }],
  ["8080-8081:80-81", { "80/tcp": [binding("8080")], "81/tcp": [binding("8081")] }],
  ["8000-8010:80", { "80/tcp": [binding("8000-8010")] }],
  ["80-81", { "80/tcp": [binding("")], "81/tcp": [binding("")] }],
])("ports: -p %s", (spec, map) => {
  expect(parsePublish([spec])).toEqual(map);
});

test.each([
  ["99999:80", "invalid hostPort: 99999"],
  ["80:99999", "invalid containerPort: 99999"],
  ["80:0", "invalid containerPort: 0"],
  ["x:80", "invalid hostPort: x"],
  ["80:x", "invalid containerPort: x"],
  ["localhost:80:80", "invalid IP address: localhost"],
  ["80:80/bogus", "invalid proto: bogus"],
  ["80-82:80-81", "invalid ranges specified for container and host Ports: 80-81 and 80-82"],
  ["82-80:80-82", "invalid hostPort: 82-80"],
  ["80:", "no port specified: 80:<empty>"],
  ["", "no port specified: <empty>"],
  ["-1:80", "invalid hostPort: -1"],
])("ports: -p %p is refused", (spec, why) => {
  expect(() => parsePublish([spec])).toThrow(why);
});

test("ports: two publications of one port stay two", () => {
  expect(parsePublish(["8080:80", "8081:80"])).toEqual({ "80/tcp": [binding("8080"), binding("8081")] });
});

test("ports: exposed ones and ranges of them", () => {
  expect(parseExpose(["80", "53/udp", "90-92"])).toEqual(["80/tcp", "53/udp", "90/tcp", "91/tcp", "92/tcp"]);
  expect(() => parseExpose(["80:80"])).toThrow("invalid port format for --expose: 80:80");
  expect(() => parseExpose(["x"])).toThrow("invalid range format for --expose: x");
});

test("ports: netd is asked for bindings, and with -P for the other exposed ones", () => {
  const map = parsePublish(["127.0.0.1:8080:80", "8000-8010:81/udp", "0:82"]);
  const published = [
    { containerPort: 80, protocol: "tcp", hostIp: "127.0.0.1", hostPort: 8080 },
    { containerPort: 81, protocol: "udp", hostPort: 8000, hostPortLast: 8010 },
    { containerPort: 82, protocol: "tcp" },
  ] as const;
  const asked = (PublishAllPorts: boolean) =>
    portRequests({ ExposedPorts: { "80/tcp": {}, "99/tcp": {} } }, { PortBindings: map, PublishAllPorts });
  expect(asked(false)).toEqual([...published]);
  expect(asked(true)).toEqual([...published, { containerPort: 99, protocol: "tcp" }]);
});

test.each([
  ["127.0.0.1", true],
  ["256.0.0.1", false],
  ["1.2.3", false],
  ["01.2.3.4", false],
  ["::", true],
  ["::1", true],
  ["fe80::1:2", true],
  ["::ffff:1.2.3.4", true],
  ["1:2:3:4:5:6:7:8", true],
  ["1:2:3:4:5:6:7", false],
  ["1::2::3", false],
  [":1", false],
  ["g::1", false],
  ["", false],
])("ports: %p is an address: %p", (text, is) => {
  expect(isIpAddress(text)).toBe(is);
});
