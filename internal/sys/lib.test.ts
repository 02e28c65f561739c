import { expect, test } from "bun:test";

const HELPER = `${import.meta.dir}/../../build/helper.so`;

function symbols(...options: readonly string[]): readonly string[] {
  const result = Bun.spawnSync(["objdump", ...options, HELPER]);
  expect(result.exitCode).toBe(0);
  return result.stdout.toString().split("\n");
}

test("the helper needs nothing newer than glibc 2.17", () => {
  const versions = symbols("-T").flatMap((line) => /\(?GLIBC_(\d+)\.(\d+)/.exec(line)?.slice(1).map(Number) ?? []);
  expect(versions.length).toBeGreaterThan(0);
  for (let i = 0; i < versions.length; i += 2) {
    const [major = 0, minor = 0] = versions.slice(i, i + 2);
    expect([major, minor <= 17]).toEqual([2, true]);
  }
});

test("the helper needs the C library alone, and exports nothing but ctr_ functions", () => {
  const needed = symbols("-p").flatMap((line) => /NEEDED\s+(\S+)/.exec(line)?.[1] ?? []);
  expect(needed).toEqual(["libc.so.6"]);
  const exported = symbols("-T").flatMap((line) => / g +DF \.text\s+\S+\s+(?:Base\s+)?(\S+)$/.exec(line)?.[1] ?? []);
  expect(exported.length).toBeGreaterThan(50);
  expect(exported.filter((name) => !name.startsWith("ctr_"))).toEqual([]);
});
