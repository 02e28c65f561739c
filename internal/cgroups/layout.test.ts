import { expect, test } from "bun:test";
import { checkSet, parseCpuList } from "./cpu-list.ts";
import { parseLayout, usualLayout } from "./layout.ts";

const V1 = (point: string, options: string) =>
  `32 31 0:29 / ${point} rw,relatime shared:9 - cgroup cgroup rw,${options}`;
const V2 = (point: string) => `41 31 0:38 / ${point} rw,relatime - cgroup2 cgroup2 rw,nsdelegate`;

test("v1: controllers that are mounted together are one hierarchy", () => {
  const text = [
    V1("/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct"),
    V1("/sys/fs/cgroup/systemd", "xattr,name=systemd"),
  ].join("\n");
  expect(parseLayout(text, "")).toEqual({
    mode: "v1",
    hierarchies: [
      { version: 1, mountPoint: "/sys/fs/cgroup/cpu,cpuacct", controllers: ["cpu", "cpuacct"] },
      { version: 1, mountPoint: "/sys/fs/cgroup/systemd", controllers: ["name=systemd"] },
    ],
  });
});

test("hybrid and v2 are told apart, a second mount of the same hierarchy does not count", () => {
  const both = [V1("/c/memory", "memory"), V2("/c/unified"), V1("/elsewhere", "memory")].join("\n");
  expect(parseLayout(both, "")?.mode).toBe("hybrid");
  expect(parseLayout(both, "")?.hierarchies.map(({ mountPoint }) => mountPoint)).toEqual(["/c/memory", "/c/unified"]);
  expect(parseLayout(V2("/sys/fs/cgroup"), "")?.mode).toBe("v2");
});

test("no cgroup mount is no layout, and a blank in a mount point is read", () => {
  expect(parseLayout("23 1 0:1 / / rw - ext4 /dev/vda rw\n", "")).toBeUndefined();
  expect(parseLayout(V1("/a\\040b", "pids"), "")?.hierarchies[0]?.mountPoint).toBe("/a b");
});

test("our own cgroup is found by controller, by name, and in v2", () => {
  const own = "9:name=systemd:/user.slice\n4:cpu,cpuacct:/a:b\n0::/init.scope\n";
  const text = [V1("/c/cpu", "cpu,cpuacct"), V1("/c/s", "name=systemd"), V2("/c/u"), V1("/c/m", "memory")].join("\n");
  expect(parseLayout(text, own)?.hierarchies.map((hierarchy) => hierarchy.own)).toEqual([
    "/a:b",
    "/user.slice",
    "/init.scope",
    undefined,
  ]);
});

const V1_MAGIC = 0x27e0eb;
const V2_MAGIC = 0x63677270;
test("with everything at its usual place mountinfo is not needed", () => {
  const own = "9:name=systemd:/x\n4:cpu,cpuacct:/\n0::/y\n";
  const type = (path: string) => (path.endsWith("/unified") ? V2_MAGIC : V1_MAGIC);
  expect(usualLayout(own, type)).toEqual({
    mode: "hybrid",
    hierarchies: [
      { version: 1, mountPoint: "/sys/fs/cgroup/systemd", controllers: ["name=systemd"], own: "/x" },
      { version: 1, mountPoint: "/sys/fs/cgroup/cpu,cpuacct", controllers: ["cpu", "cpuacct"], own: "/" },
      { version: 2, mountPoint: "/sys/fs/cgroup/unified", controllers: [], own: "/y" },
    ],
  });
  expect(usualLayout(own, (path) => (path.endsWith("/unified") ? 0 : V1_MAGIC))?.mode).toBe("v1");
});

test("with one elsewhere, or none at all, it is", () => {
  const own = "9:name=systemd:/x\n4:cpu,cpuacct:/\n0::/y\n";
  expect(usualLayout(own, (path) => (path.endsWith("/systemd") ? 0 : V1_MAGIC))).toBeUndefined();
  expect(usualLayout("0::/y\n", () => 0)).toBeUndefined();
  expect(usualLayout("0::/y\n", () => V2_MAGIC)).toBeUndefined();
});

test.each<[string, number[]]>([
  ["0", [0]],
  ["0-2,4", [0, 1, 2, 4]],
  ["3,1", [3, 1]],
])("cpu list %p", (list, numbers) => {
  expect([...parseCpuList(list)]).toEqual(numbers);
});

test.each(["", "a", "2-1", "0-", "0-99999", "1,,2", "-1"])("cpu list %p is refused", (list) => {
  expect(() => parseCpuList(list)).toThrow("invalid value");
});

test("a CPU that is not there is refused in Docker's words", () => {
  expect(() => checkSet("CPUs", "0,9", "0-1\n")).toThrow(
    "Requested CPUs are not available - requested 0,9, available: 0-1",
  );
  checkSet("CPUs", "1", "0-1");
});
