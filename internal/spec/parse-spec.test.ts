import { expect, test } from "bun:test";
import { CtrError } from "../errors/error.ts";
import { parseSpec } from "./parse-spec.ts";

const minimal = {
  ociVersion: "1.2.0",
  process: { user: { uid: 0, gid: 0 }, args: ["true"], cwd: "/" },
  root: { path: "rootfs" },
};

function refusal(value: unknown): string {
  try {
    parseSpec(value);
  } catch (error) {
    if (error instanceof CtrError && error.kind === "invalid") return error.message;
    throw error;
  }
  return "accepted";
}

test("a minimal spec is copied as it is", () => {
  expect(parseSpec(minimal)).toEqual(minimal);
});

test("unknown fields and nulls are dropped", () => {
  const value = { ...minimal, vm: {}, mounts: null, process: { ...minimal.process, commandLine: "x", env: null } };
  expect(parseSpec(value)).toEqual(minimal);
});

test("a field named __proto__ changes no prototype", () => {
  const value = JSON.parse(
    `{"ociVersion":"1.2.0","process":{"user":{"uid":0,"gid":0},"args":["a"],"cwd":"/"},"root":{"path":"r"},"annotations":{"__proto__":"x"},"__proto__":{"hostname":"h"}}`,
  );
  const spec = parseSpec(value);
  expect(spec.hostname).toBeUndefined();
  expect(Object.keys(spec.annotations ?? {})).toEqual(["__proto__"]);
});

const process = minimal.process;
test.each<[string, unknown, string]>([
  ["no object", 3, "spec: must be an object"],
  ["an empty object", {}, "ociVersion: is missing"],
  [
    "an argument that is a number",
    { ...minimal, process: { ...process, args: ["a", 1] } },
    "process.args[1]: must be a string",
  ],
  [
    "an argument with a NUL",
    { ...minimal, process: { ...process, args: ["a\0"] } },
    "process.args[0]: must not hold a NUL",
  ],
  ["a relative cwd", { ...minimal, process: { ...process, cwd: "x" } }, "process.cwd: must be an absolute path"],
  [
    "uid -1",
    { ...minimal, process: { ...process, user: { uid: 0xffffffff, gid: 0 } } },
    "process.user.uid: must be between 0 and 4294967294",
  ],
  [
    "a fraction",
    { ...minimal, linux: { resources: { pids: { limit: 0.5 } } } },
    "linux.resources.pids.limit: must be a whole number",
  ],
  [
    "two pid namespaces",
    { ...minimal, linux: { namespaces: [{ type: "pid" }, { type: "pid" }] } },
    "linux.namespaces: pid is listed twice",
  ],
  [
    "an unknown namespace",
    { ...minimal, linux: { namespaces: [{ type: "net" }] } },
    "linux.namespaces[0].type: must be one of pid, network, mount, ipc, uts, user, cgroup, time",
  ],
  [
    "an unknown seccomp action",
    { ...minimal, linux: { seccomp: { defaultAction: "x" } } },
    "linux.seccomp.defaultAction: must be one of SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_TRAP, SCMP_ACT_TRACE, SCMP_ACT_LOG, SCMP_ACT_NOTIFY",
  ],
  ["a list that is an object", { ...minimal, mounts: {} }, "mounts: must be a list"],
])("%s is refused with its place", (_, value, message) => {
  expect(refusal(value)).toBe(message);
});

test("seeded garbage in any place is refused or dropped, never crashes", () => {
  let seed = 1;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  const junk: readonly unknown[] = [
    null,
    0,
    -1,
    1.5,
    Number.NaN,
    "",
    "\0",
    "x",
    [],
    [null],
    {},
    { type: 1 },
    true,
    2n ** 70n,
    Symbol.iterator,
  ];
  const paths = ["ociVersion", "process", "root", "mounts", "hooks", "annotations", "linux", "hostname"];
  for (let round = 0; round < 2000; round++) {
    const value: { [key: string]: unknown } = structuredClone(minimal);
    const key = paths[random(paths.length)] ?? "";
    const inner = junk[random(junk.length)];
    const keys = ["resources", "seccomp", "namespaces", "devices", "sysctl", "user", "args", "env", "path"];
    value[key] = random(2) === 0 ? inner : { [keys[random(keys.length)] ?? ""]: inner };
    expect(refusal(value)).toBeString();
  }
});
