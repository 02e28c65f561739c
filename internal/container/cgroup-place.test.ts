import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cgroupDriver, cgroupPathOf, newCgroupPlace, specCgroupsPath } from "./cgroup-place.ts";

const home = mkdtempSync("/tmp/ctr-place-");
afterAll(() => rmSync(home, { recursive: true }));

function config(text: string): { readonly CTR_CONFIG: string } {
  const path = `${home}/${crypto.randomUUID()}.toml`;
  writeFileSync(path, text);
  return { CTR_CONFIG: path };
}

const EMPTY = config("");
const SYSTEMD = 'exec-opts = ["native.cgroupdriver=systemd"]\ncgroup-parent = "apps.slice"\n';

test("cgroup place: the flag, else the environment, else the configuration, else the engine's own", () => {
  expect(newCgroupPlace(undefined, EMPTY)).toEqual({ CgroupParent: "" });
  const set = config('cgroup-parent = "/apps"\n');
  expect(newCgroupPlace(undefined, set)).toEqual({ CgroupParent: "/apps" });
  expect(newCgroupPlace("", { ...set, CTR_CGROUP_PARENT: "/env" })).toEqual({ CgroupParent: "/env" });
  expect(newCgroupPlace("/flag", { ...set, CTR_CGROUP_PARENT: "/env" })).toEqual({ CgroupParent: "/flag" });
});

test("cgroup place: systemd by the configuration, and the environment over it", () => {
  const set = config(SYSTEMD);
  const place = { CgroupParent: "apps.slice", CgroupDriver: "systemd" } as const;
  expect(newCgroupPlace(undefined, set)).toEqual(place);
  expect(cgroupDriver(set)).toBe("systemd");
  expect(cgroupDriver({ ...set, CTR_CGROUP_DRIVER: "cgroupfs" })).toBe("cgroupfs");
  expect(cgroupPathOf({ id: "x", hostConfig: place })).toBe("/apps.slice/ctr-x.scope");
  expect(specCgroupsPath({ id: "x", hostConfig: place })).toBe("apps.slice:ctr:x");
  expect(cgroupPathOf({ id: "x", hostConfig: { CgroupParent: "" } })).toBe("/ctr/x");
  expect(specCgroupsPath({ id: "x", hostConfig: { CgroupParent: "/p" } })).toBe("/p/x");
});

test("cgroup place: what is no driver, no slice and no setting is refused", () => {
  expect(() => cgroupDriver({ ...EMPTY, CTR_CGROUP_DRIVER: "other" })).toThrow("must be cgroupfs, systemd or auto");
  expect(() => newCgroupPlace("/path", { ...EMPTY, CTR_CGROUP_DRIVER: "systemd" })).toThrow(
    "cgroup-parent for systemd cgroup should be a valid slice",
  );
  expect(() => cgroupDriver(config('exec-opts = ["native.umask=normal"]\n'))).toThrow(
    "exec-opts has an option that is none",
  );
});
