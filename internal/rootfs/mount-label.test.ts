import { expect, test } from "bun:test";
import { quotedForString, withMountLabel } from "./mount-label.ts";

test("only file systems that are made new get the label", () => {
  const label = "system_u:object_r:container_file_t:s0:c1,c2";
  const mounts = [
    { destination: "/", type: "overlay", options: ["lowerdir=/a"] },
    { destination: "/proc", type: "proc" },
    { destination: "/data", type: "bind", source: "/srv" },
    { destination: "/tmp", type: "tmpfs" },
  ];
  expect(withMountLabel(mounts, undefined)).toBe(mounts);
  expect(withMountLabel(mounts, label).map(({ options }) => options)).toEqual([
    ["lowerdir=/a", `context=${label}`],
    undefined,
    undefined,
    [`context=${label}`],
  ]);
  expect(quotedForString(`context=${label}`)).toBe(`context="${label}"`);
  expect(quotedForString("upperdir=/a")).toBe("upperdir=/a");
});
