import { expect, test } from "bun:test";
import type { Seccomp, SeccompArg } from "../../spec/runtime.ts";
import { compileSeccomp } from "./compile.ts";
import { ABIS, X32_BIT } from "./numbers.ts";
import { parseProfile } from "./parse-profile.ts";
import { defaultProfile } from "./profile.ts";
import { resolveProfile } from "./resolve.ts";

const ALLOW = 0x7fff0000;
const errno = (number: number) => 0x00050000 | number;
const EPERM = errno(1);
const ENOSYS = errno(38);
const X86_64 = 0xc000003e;
const I386 = 0x40000003;
const AARCH64 = 0xc00000b7;

/** What the kernel's interpreter answers (net/core/filter.c, the instructions seccomp_check_filter lets through). */
function run(program: Uint8Array, arch: number, nr: number, args: readonly bigint[] = []): number {
  const input = new DataView(new ArrayBuffer(64));
  input.setUint32(0, nr, true);
  input.setUint32(4, arch, true);
  for (const [index, value] of args.entries()) input.setBigUint64(16 + 8 * index, BigInt.asUintN(64, value), true);
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let a = 0;
  for (let at = 0; at < program.length / 8; at++) {
    const k = view.getUint32(at * 8 + 4, true);
    const branch = (isTrue: boolean) => view.getUint8(at * 8 + (isTrue ? 2 : 3));
    switch (view.getUint16(at * 8, true)) {
      case 0x20:
        expect(k % 4).toBe(0);
        a = input.getUint32(k, true);
        break;
      case 0x54:
        a = (a & k) >>> 0;
        break;
      case 0x05:
        at += k;
        break;
      case 0x15:
        at += branch(a === k);
        break;
      case 0x25:
        at += branch(a > k);
        break;
      case 0x35:
        at += branch(a >= k);
        break;
      case 0x06:
        return k;
      default:
        throw new Error(`instruction ${at} is not one of ours`);
    }
  }
  throw new Error("ran past the end");
}

/** What the profile says, read without any cleverness. */
function expected(seccomp: Seccomp, numbers: ReadonlyMap<string, number>, nr: number, args: readonly bigint[]): number {
  const rules = (seccomp.syscalls ?? []).filter(({ names }) => names.some((name) => numbers.get(name) === nr));
  const value = (action: string, code = 1) => (action === "SCMP_ACT_ALLOW" ? ALLOW : errno(code));
  if (rules.length === 0) {
    const known = (seccomp.syscalls ?? []).flatMap(({ names }) => names.map((name) => numbers.get(name) ?? -1));
    return nr > Math.max(...known) ? ENOSYS : value(seccomp.defaultAction, seccomp.defaultErrnoRet);
  }
  for (const rule of rules) {
    if (rule.args?.every((arg) => holds(arg, args))) return value(rule.action, rule.errnoRet);
  }
  const plain = rules.find((rule) => rule.args === undefined);
  if (plain !== undefined) return value(plain.action, plain.errnoRet);
  return value(seccomp.defaultAction, seccomp.defaultErrnoRet);
}

function holds({ index, op, value, valueTwo = 0 }: SeccompArg, args: readonly bigint[]): boolean {
  const all = 2n ** 64n - 1n;
  const argument = BigInt.asUintN(64, args[index] ?? 0n);
  const wanted = value >= 2 ** 64 ? all : BigInt(value);
  switch (op) {
    case "SCMP_CMP_NE":
      return argument !== wanted;
    case "SCMP_CMP_LT":
      return argument < wanted;
    case "SCMP_CMP_LE":
      return argument <= wanted;
    case "SCMP_CMP_EQ":
      return argument === wanted;
    case "SCMP_CMP_GE":
      return argument >= wanted;
    case "SCMP_CMP_GT":
      return argument > wanted;
    default:
      return (argument & wanted) === BigInt(valueTwo);
  }
}

let seed = 42;
function random(bound: number): number {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return (seed >>> 8) % bound;
}

const INTERESTING = [
  0n,
  1n,
  8n,
  17n,
  38n,
  40n,
  45n,
  46n,
  0x20008n,
  0x10000000n,
  0x02000000n,
  0xffffffffn,
  1n << 32n,
  (1n << 32n) + 2n,
  -1n,
];
const argument = () => INTERESTING[random(INTERESTING.length)] ?? 0n;

const abi = (name: string) => {
  const row = ABIS.find((candidate) => candidate.name === name);
  if (row === undefined) throw new Error(name);
  return { arch: row.auditArch, numbers: row.numbers() };
};

test.each([
  ["x64", "SCMP_ARCH_X86_64", []],
  ["x64", "SCMP_ARCH_X86_64", ["CAP_SYS_CHROOT"]],
  ["x64", "SCMP_ARCH_X86_64", ["CAP_SYS_ADMIN", "CAP_BPF", "CAP_SYS_PTRACE"]],
  ["x64", "SCMP_ARCH_X86", ["CAP_SYS_CHROOT"]],
  ["x64", "SCMP_ARCH_X32", ["CAP_SYS_CHROOT"]],
  ["arm64", "SCMP_ARCH_AARCH64", ["CAP_SYS_CHROOT"]],
] as const)(
  "the default profile on %s answers every number of %s as it says, with %p",
  (native, name, capabilities) => {
    const seccomp = resolveProfile(defaultProfile(), { native, capabilities, kernel: "6.1.0" });
    const program = compileSeccomp(seccomp, native);
    const { arch, numbers } = abi(name);
    const first = name === "SCMP_ARCH_X32" ? X32_BIT : 0;
    const wrong: string[] = [];
    for (let nr = first; nr < first + 700; nr++) {
      for (let round = 0; round < 6; round++) {
        const args = [argument(), argument(), argument()];
        const [answer, wanted] = [run(program, arch, nr, args), expected(seccomp, numbers, nr, args)];
        if (answer !== wanted)
          wrong.push(`${nr}(${args.join(", ")}): ${answer.toString(16)} instead of ${wanted.toString(16)}`);
      }
    }
    expect(wrong).toEqual([]);
  },
);

const program = compileSeccomp(
  resolveProfile(defaultProfile(), { native: "x64", capabilities: ["CAP_SYS_CHROOT"], kernel: "6.1.0" }),
  "x64",
);
test.each<[string, number, number, readonly bigint[], number]>([
  ["getpid is allowed", X86_64, 39, [], ALLOW],
  ["io_uring_setup is refused", X86_64, 425, [], EPERM],
  ["keyctl is refused", X86_64, 250, [], EPERM],
  ["mount is refused", X86_64, 165, [], EPERM],
  ["open_tree is refused", X86_64, 428, [], EPERM],
  ["chroot is allowed", X86_64, 161, [], ALLOW],
  ["ptrace is allowed", X86_64, 101, [], ALLOW],
  ["clone3 is missing", X86_64, 435, [], ENOSYS],
  ["clone without namespaces is allowed", X86_64, 56, [0x01200011n], ALLOW],
  ["clone with a user namespace is refused", X86_64, 56, [0x10000011n], EPERM],
  ["unshare is refused", X86_64, 272, [0n], EPERM],
  ["a vsock is refused", X86_64, 41, [40n], EPERM],
  ["a vsock with upper bits is refused", X86_64, 41, [(1n << 32n) + 40n], EPERM],
  ["AF_ALG is refused", X86_64, 41, [38n], EPERM],
  ["AF_INET is allowed", X86_64, 41, [2n], ALLOW],
  ["personality(0xffffffff) is allowed", X86_64, 135, [0xffffffffn], ALLOW],
  ["personality(ADDR_NO_RANDOMIZE) is refused", X86_64, 135, [0x40000n], EPERM],
  ["a number from the future is missing", X86_64, 1000, [], ENOSYS],
  ["number -1 is missing", X86_64, 0xffffffff, [], ENOSYS],
  ["x32 keyctl is refused", X86_64, X32_BIT + 250, [], EPERM],
  ["x32 getpid is allowed", X86_64, X32_BIT + 39, [], ALLOW],
  ["i386 keyctl is refused", I386, 288, [], EPERM],
  ["i386 vsock by socket(2) is refused", I386, 359, [40n], EPERM],
  ["i386 getpid is allowed", I386, 20, [], ALLOW],
  ["another architecture is killed", AARCH64, 172, [], 0x80000000],
])("default profile: %s", (_, arch, nr, args, answer) => {
  expect(run(program, arch, nr, args)).toBe(answer);
});

test("seeded random filters with every operator answer as they say", () => {
  const ops = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
  ] as const;
  const { arch, numbers } = abi("SCMP_ARCH_X86_64");
  const names = [...numbers.keys()];
  const values = [0, 1, 2, 40, 0xffffffff, 2 ** 32, 2 ** 32 + 2, 2 ** 40 + 7, 2 ** 64];
  for (let round = 0; round < 60; round++) {
    const syscalls = Array.from({ length: 1 + random(40) }, () => {
      const indexes = [0, 1, 2].filter(() => random(2) === 0);
      const args = indexes.map(
        (index): SeccompArg => ({
          index,
          value: values[random(values.length)] ?? 0,
          valueTwo: values[random(4)] ?? 0,
          op: ops[random(ops.length)] ?? "SCMP_CMP_EQ",
        }),
      );
      return {
        names: [names[random(names.length)] ?? "read", names[random(20)] ?? "read"],
        action: random(2) === 0 ? ("SCMP_ACT_ALLOW" as const) : ("SCMP_ACT_ERRNO" as const),
        errnoRet: 1 + random(30),
        ...(args.length === 0 ? {} : { args }),
      };
    });
    const seccomp: Seccomp = { defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 13, syscalls };
    const compiled = compileSeccomp(seccomp, "x64");
    for (let nr = 0; nr < 480; nr += 1 + random(3)) {
      const args = [argument(), argument(), argument()];
      expect(run(compiled, arch, nr, args)).toBe(expected(seccomp, numbers, nr, args));
    }
  }
});

test("a filter without architectures kills i386 and does not know x32", () => {
  const compiled = compileSeccomp({ defaultAction: "SCMP_ACT_ALLOW" }, "x64");
  expect(run(compiled, I386, 20)).toBe(0x80000000);
  expect(run(compiled, X86_64, X32_BIT + 39)).toBe(ENOSYS);
  expect(run(compiled, X86_64, 5000)).toBe(ALLOW);
});

test("an agent's action is refused, not weakened", () => {
  const seccomp: Seccomp = {
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_NOTIFY" }],
  };
  expect(() => compileSeccomp(seccomp, "x64")).toThrow("SCMP_ACT_NOTIFY");
});

test("a profile file is read in Docker's form", () => {
  const profile = parseProfile(
    JSON.stringify({
      defaultAction: "SCMP_ACT_ERRNO",
      archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
      syscalls: [
        { name: "mkdir", action: "SCMP_ACT_ALLOW", args: null, comment: "", includes: {}, excludes: {} },
        { names: ["bpf"], action: "SCMP_ACT_ALLOW", includes: { caps: ["CAP_BPF"] } },
        { names: ["chmod"], action: "SCMP_ACT_ERRNO", errnoRet: 2, excludes: { minKernel: "4.8" } },
      ],
    }),
  );
  const seccomp = resolveProfile(profile, { native: "x64", capabilities: ["CAP_CHOWN"], kernel: "5.10.1" });
  expect(seccomp.architectures).toEqual(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
  expect(seccomp.syscalls).toEqual([{ names: ["mkdir"], action: "SCMP_ACT_ALLOW" }]);
});

test.each([
  ["no JSON", "{", "Decoding seccomp profile failed: JSON Parse error: Expected '}'"],
  ["no default action", "{}", "seccomp.defaultAction: is missing"],
  ["an unknown action", `{"defaultAction":"ALLOW"}`, "seccomp.defaultAction: must be one of"],
  ["a list that is none", `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":{}}`, "seccomp: syscalls must be a list"],
  [
    "a bad kernel",
    `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"x"}}]}`,
    "minKernel",
  ],
])("a profile with %s stops the start", (_, text, message) => {
  expect(() => parseProfile(text)).toThrow(message);
});
