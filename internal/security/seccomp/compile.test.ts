import { expect, test } from "bun:test";
import { runFilter } from "../../../test/lib/bpf.ts";
import { randomNumbers } from "../../../test/lib/random.ts";
import { plainReader, randomArguments, randomFilter } from "../../../test/lib/seccomp-random.ts";
import type { Seccomp } from "../../spec/runtime.ts";
import { CAPABILITIES } from "../capabilities.ts";
import { seccompFilter } from "../seccomp.ts";
import { DEFAULT, SECCOMP_ANNOTATION } from "../seccomp-annotation.ts";
import { compileSeccomp } from "./compile.ts";
import { ABIS, type Abi, X32_BIT } from "./numbers.ts";
import { compileHere, defaultSeccomp } from "./on-demand.ts";
import { defaultProfile } from "./profile.ts";
import { resolveProfile } from "./resolve.ts";

const ALLOW = 0x7fff0000;
const errno = (number: number) => 0x00050000 | number;
const EPERM = errno(1);
const ENOSYS = errno(38);
const X86_64 = 0xc000003e;
const I386 = 0x40000003;
const AARCH64 = 0xc00000b7;
const ARM = 0x40000028;

const run = (program: Uint8Array, arch: number, nr: number, args: readonly bigint[] = []) =>
  runFilter(program, { arch, nr, args });

const namesOf = (abi: Abi) => new Map([...abi.numbers()].map(([name, number]) => [number, name]));
const MULTIPLEXERS = ["socketcall", "ipc"];

const abi = (name: Abi["name"]): Abi => {
  const row = ABIS.find((candidate) => candidate.name === name);
  if (row === undefined) throw new Error(name);
  return row;
};

test.each([
  ["x64", "SCMP_ARCH_X86_64", []],
  ["x64", "SCMP_ARCH_X86_64", ["CAP_SYS_CHROOT"]],
  ["x64", "SCMP_ARCH_X86_64", ["CAP_SYS_ADMIN", "CAP_BPF", "CAP_SYS_PTRACE"]],
  ["x64", "SCMP_ARCH_X86", ["CAP_SYS_CHROOT"]],
  ["x64", "SCMP_ARCH_X32", ["CAP_SYS_CHROOT"]],
  ["arm64", "SCMP_ARCH_AARCH64", ["CAP_SYS_CHROOT"]],
  ["arm64", "SCMP_ARCH_ARM", ["CAP_SYS_CHROOT"]],
] as const)(
  "the default profile on %s answers every number of %s as it says, with %p",
  (native, name, capabilities) => {
    const seccomp = resolveProfile(defaultProfile(), { native, capabilities, kernel: "6.1.0" });
    const program = compileSeccomp(seccomp, native);
    const own = abi(name);
    const expected = plainReader(seccomp, own);
    const random = randomNumbers(42);
    const first = name === "SCMP_ARCH_X32" ? X32_BIT : 0;
    const numbers = Array.from({ length: 700 }, (_, nr) => first + nr);
    if (name === "SCMP_ARCH_ARM") numbers.push(0xeffff, 0xf0000, 0xf0001, 0xf0002, 0xf0005, 0xf0006, 0xf0007, 0xf0fff);
    const wrong: string[] = [];
    for (const nr of numbers) {
      for (let round = 0; round < 12; round++) {
        const args = randomArguments(random);
        if (round < 6) args[0] = BigInt(random(50));
        const [answer, wanted] = [run(program, own.auditArch, nr, args), expected(nr, args)];
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
  ["i386 personality with upper bits, which the kernel does not look at, is allowed", I386, 136, [7n << 32n], ALLOW],
  ["another architecture is killed", AARCH64, 172, [], 0x80000000],
  ["32-bit ARM is killed on x86", ARM, 20, [], 0x80000000],
])("default profile: %s", (_, arch, nr, args, answer) => {
  expect(run(program, arch, nr, args)).toBe(answer);
});

// More with CTR_FUZZ_ROUNDS; the seed of a failure is in its message.
const ROUNDS = Number(process.env["CTR_FUZZ_ROUNDS"] ?? 100);

test.each([
  ["x64", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]],
  ["arm64", ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]],
] as const)("random filters for %s answer as they say, on all of %p", (native, architectures) => {
  const abis = architectures.map(abi);
  const everyName = [...new Set(abis.flatMap((own) => [...own.numbers().keys()]))].filter(
    // One of ARM's calls has two names.
    (name) => !MULTIPLEXERS.includes(name) && name !== "arm_sync_file_range",
  );
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const random = randomNumbers(seed);
    const seccomp = randomFilter(random, everyName, { architectures });
    const compiled = compileSeccomp(seccomp, native);
    for (const own of abis) {
      const expected = plainReader(seccomp, own);
      const numbers = own.numbers();
      const names = namesOf(own);
      const named = (seccomp.syscalls ?? []).flatMap((rule) => rule.names.map((name) => numbers.get(name) ?? 0));
      const first = own.name === "SCMP_ARCH_X32" ? X32_BIT : 0;
      const asked = [...named, ...named.map((nr) => nr + 1), ...Array.from({ length: 30 }, () => first + random(520))];
      for (const nr of asked) {
        if (nr < first || MULTIPLEXERS.includes(names.get(nr) ?? "")) continue;
        const args = randomArguments(random);
        const [answer, wanted] = [run(compiled, own.auditArch, nr, args), expected(nr, args)];
        if (answer === wanted) continue;
        throw new Error(
          `seed ${seed}: ${own.name} ${names.get(nr) ?? nr}(${args.join(", ")}) is ${answer.toString(16)} instead of ${wanted.toString(16)}`,
        );
      }
    }
  }
});

test("a filter without architectures kills i386 and does not know x32", () => {
  const compiled = compileSeccomp({ defaultAction: "SCMP_ACT_ALLOW" }, "x64");
  expect(run(compiled, I386, 20)).toBe(0x80000000);
  expect(run(compiled, X86_64, X32_BIT + 39)).toBe(ENOSYS);
  expect(run(compiled, X86_64, 5000)).toBe(ALLOW);
});

test("what is refused as a call is refused through socketcall and ipc of i386 too", () => {
  const compiled = compileSeccomp(
    {
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
      syscalls: [
        { names: ["connect"], action: "SCMP_ACT_ERRNO", errnoRet: 13 },
        { names: ["shmget"], action: "SCMP_ACT_KILL_PROCESS" },
        { names: ["sendto"], action: "SCMP_ACT_ERRNO", args: [{ index: 3, value: 1, op: "SCMP_CMP_EQ" }] },
      ],
    },
    "x64",
  );
  expect(run(compiled, I386, 362)).toBe(errno(13)); // connect
  expect(run(compiled, I386, 102, [3n])).toBe(errno(13)); // socketcall(SYS_CONNECT)
  expect(run(compiled, I386, 102, [(7n << 32n) + 3n])).toBe(errno(13)); // upper bits are not the kernel's
  expect(run(compiled, I386, 102, [1n])).toBe(ALLOW);
  expect(run(compiled, I386, 102, [11n])).toBe(EPERM); // its arguments cannot be seen
  expect(run(compiled, I386, 117, [23n])).toBe(0x80000000); // ipc(SHMGET)
  expect(run(compiled, I386, 117, [(1n << 16n) + 23n])).toBe(0x80000000); // with a version
  expect(run(compiled, I386, 117, [24n])).toBe(ALLOW);
});

test("what is allowed only sometimes is not allowed through socketcall", () => {
  const compiled = compileSeccomp(
    {
      defaultAction: "SCMP_ACT_ERRNO",
      architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
      syscalls: [
        { names: ["socket"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 2, op: "SCMP_CMP_EQ" }] },
        { names: ["bind"], action: "SCMP_ACT_ALLOW" },
      ],
    },
    "x64",
  );
  expect(run(compiled, I386, 359, [2n])).toBe(ALLOW); // socket
  expect(run(compiled, I386, 102, [1n])).toBe(EPERM);
  expect(run(compiled, I386, 102, [2n])).toBe(ALLOW); // bind
});

test("hundreds of calls with conditions fit the kernel's limit, on three architectures", () => {
  const names = [...abi("SCMP_ARCH_X86_64").numbers().keys()];
  const args = [0, 1, 2, 3, 4, 5].map((index) => ({ index, value: 2 ** 33 + index, op: "SCMP_CMP_GE" as const }));
  const seccomp: Seccomp = {
    defaultAction: "SCMP_ACT_ERRNO",
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    syscalls: [
      { names: names.filter((_, at) => at % 2 === 0), action: "SCMP_ACT_ALLOW", args },
      { names: names.filter((_, at) => at % 2 === 1), action: "SCMP_ACT_LOG", args: args.slice(0, 3) },
    ],
  };
  const compiled = compileSeccomp(seccomp, "x64");
  expect(compiled.length / 8).toBeLessThan(2000);
  const big = args.map(({ value }) => BigInt(value));
  expect(run(compiled, X86_64, 0, big)).toBe(ALLOW);
  expect(run(compiled, X86_64, 0, big.with(5, 0n))).toBe(EPERM);
  expect(run(compiled, X86_64, 1, big)).toBe(0x7ffc0000);
  expect(run(compiled, X86_64, X32_BIT + 1, big)).toBe(0x7ffc0000);
});

test.each([1500, 40_000])("a filter of %d different conditions on one call is refused as too large", (count) => {
  const syscalls = Array.from({ length: count }, (_, at) => ({
    names: ["kill"],
    action: "SCMP_ACT_ALLOW" as const,
    args: [0, 1].map((index) => ({ index, value: 1000 * at + index, op: "SCMP_CMP_EQ" as const })),
  }));
  expect(() => compileSeccomp({ defaultAction: "SCMP_ACT_ERRNO", syscalls }, "x64")).toThrow(
    "the seccomp profile is too large",
  );
});

test("jumps of more than 255 instructions lead where they should", () => {
  // Every other number allowed: a tree with a leaf for each, whose answers are far away.
  const names = [...abi("SCMP_ARCH_X86_64").numbers().keys()].filter((_, at) => at % 2 === 0);
  const errnos = names.map((name, at) => ({
    names: [name],
    action: "SCMP_ACT_ERRNO" as const,
    errnoRet: 1 + (at % 90),
  }));
  const seccomp: Seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls: errnos };
  const compiled = compileSeccomp(seccomp, "x64");
  expect(compiled.length / 8).toBeGreaterThan(512);
  const own = abi("SCMP_ARCH_X86_64");
  const expected = plainReader(seccomp, own);
  for (let nr = 0; nr < 600; nr++) {
    expect(run(compiled, X86_64, nr)).toBe(expected(nr, []));
  }
});

test("an architecture nobody knows is refused", () => {
  expect(() => compileSeccomp({ defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_Z80"] }, "x64")).toThrow(
    'seccomp: unknown architecture "SCMP_ARCH_Z80"',
  );
});

test("the program of the default profile is the size it was", () => {
  const context = { capabilities: ["CAP_SYS_CHROOT"], kernel: "6.1.0" } as const;
  const size = (native: "x64" | "arm64") =>
    compileSeccomp(resolveProfile(defaultProfile(), { native, ...context }), native).length / 8;
  expect(size("x64")).toBeLessThan(450);
  expect(size("arm64")).toBeLessThan(300);
});

test.each([
  [[]],
  [["CAP_SYS_CHROOT"]],
  [["CAP_KILL", "CAP_SYS_CHROOT", "CAP_SYS_ADMIN"]],
  [["CAP_SYS_PTRACE", "CAP_SYS_CHROOT"]],
  [["CAP_SYS_NICE", "CAP_SYS_CHROOT", "CAP_NET_ADMIN"]],
  [[...CAPABILITIES]],
])("what was compiled when ctr was built for %p is what would be compiled now", async (bounding) => {
  const process = { user: { uid: 0, gid: 0 }, args: [], cwd: "/", capabilities: { bounding } };
  const filter = await seccompFilter({ annotations: { [SECCOMP_ANNOTATION]: DEFAULT }, process });
  const now = compileHere(defaultSeccomp(bounding));
  expect(filter?.program.toBase64()).toBe(now.toBase64());
});
