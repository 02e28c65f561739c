import { expect, test } from "bun:test";
import { lib } from "./lib.ts";

const HELPER = `${import.meta.dir}/../../build/helper.so`;

test("the helper exports what is declared, and nothing else", () => {
  const result = Bun.spawnSync(["nm", "--dynamic", "--defined-only", "--format=just-symbols", HELPER]);
  expect(result.exitCode).toBe(0);
  const exported = result.stdout.toString().trim().split("\n");
  const declared = Object.keys(Object.getPrototypeOf(lib));
  expect(declared.length).toBeGreaterThan(100);
  expect(exported.filter((name) => !/^_(init|fini)$/.test(name)).sort()).toEqual(declared.sort());
});

test("a function is linked once", () => {
  expect(Object.keys(lib)).not.toContain("ctr_getcwd");
  const first = lib.ctr_getcwd;
  expect(Object.getOwnPropertyDescriptor(lib, "ctr_getcwd")?.value).toBe(first);
  expect(lib.ctr_getcwd).toBe(first);
});
