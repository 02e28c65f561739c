import { expect, test } from "bun:test";
import { runFilter } from "../../../test/lib/bpf.ts";
import { randomNumbers } from "../../../test/lib/random.ts";
import { randomArguments, randomFilter } from "../../../test/lib/seccomp-random.ts";
import { compileSeccomp } from "./compile.ts";
import { ARCHITECTURE_WORDS, explain, targetOf } from "./explain.ts";
import { parseProfile } from "./parse-profile.ts";
import { defaultProfile } from "./profile.ts";
import { resolveProfile } from "./resolve.ts";

const CONTEXT = { capabilities: ["CAP_SYS_CHROOT"], kernel: "6.1.0" };

/** As the command prints it. */
function told(
  call: string,
  { arch = "x86_64", args = undefined as bigint[] | undefined, profile = defaultProfile() } = {},
) {
  const { lines, notes } = explain(profile, CONTEXT, targetOf(arch, "x64"), call, args);
  return [...lines.map(({ answer, when, why }) => `${answer}|${when ?? ""}|${why}`), ...notes];
}

test("what is always answered alike is one line with its rule", () => {
  expect(told("read")).toEqual(["allowed||syscalls[0]"]);
  expect(told("keyctl")).toEqual([
    "EPERM (operation not permitted)||no rule is about it: SCMP_ACT_ERRNO is the default",
  ]);
  expect(told("1000")).toEqual([
    "ENOSYS (function not implemented)||newer than every call the profile names (the last is 466)",
  ]);
});

test("what depends on arguments says on which; given some, the answer is theirs", () => {
  expect(told("clone").slice(0, 2)).toEqual([
    "allowed|arg0 & 0x7e020000 is 0|syscalls[60]",
    "EPERM (operation not permitted)|otherwise|the default: no rule about it holds",
  ]);
  expect(told("clone", { args: [0x11n] })[0]).toBe("allowed||syscalls[60]: arg0 & 0x7e020000 is 0");
  expect(told("clone", { args: [0x10000011n] })[0]).toStartWith("EPERM");
  expect(told("personality")[0]).toStartWith("allowed|arg0 is one of 0, 8, 0x20000, 0x20008, 0xffffffff|");
});

test("a rule that does not count says what it would take", () => {
  expect(told("mount").at(-1)).toBe("syscalls[47] (SCMP_ACT_ALLOW) does not count here: it needs CAP_SYS_ADMIN");
  const profile = parseProfile(
    JSON.stringify({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [
        { names: ["mkdir"], action: "SCMP_ACT_KILL_PROCESS", excludes: { caps: ["CAP_SYS_CHROOT"], minKernel: "5.0" } },
        { names: ["mkdir"], action: "SCMP_ACT_LOG", includes: { arches: ["arm64"], minKernel: "7.0" } },
      ],
    }),
  );
  expect(told("mkdir", { profile })).toEqual([
    "allowed||no rule is about it: SCMP_ACT_ALLOW is the default",
    "syscalls[0] (SCMP_ACT_KILL_PROCESS) does not count here: it is not for containers with CAP_SYS_CHROOT, it is not for kernel 5.0 and newer",
    "syscalls[1] (SCMP_ACT_LOG) does not count here: it is for arm64, it is for kernel 7.0 and newer",
  ]);
});

test("a profile without the architecture, and none at all", () => {
  const profile = parseProfile('{"defaultAction":"SCMP_ACT_ALLOW"}');
  expect(told("read", { profile, arch: "i386" })).toEqual([
    "ends the process||the profile does not name SCMP_ARCH_X86",
  ]);
  expect(told("read", { profile, arch: "x32" })).toEqual([
    "ENOSYS (function not implemented)||the profile does not name SCMP_ARCH_X32",
  ]);
  expect(explain(undefined, CONTEXT, targetOf("x86_64", "x64"), "mount").lines).toEqual([
    { answer: "allowed", why: "there is no filter" },
  ]);
});

test("i386's other ways to a call are told", () => {
  expect(told("connect", { arch: "x86" }).at(-1)).toBe(
    "the same through socketcall with arg0 3: allowed (syscalls[0])",
  );
});

test("a call nobody knows, one of another architecture, and an architecture nobody knows", () => {
  expect(() => told("nope")).toThrow('unknown system call "nope"');
  expect(() => told("_llseek")).toThrow("x86_64 has no system call _llseek: x86, arm have it");
  expect(() => told("arch_prctl", { arch: "arm64" })).toThrow(
    "aarch64 has no system call arch_prctl: x86_64, x32, x86 have it",
  );
  expect(() => targetOf("z80", "x64")).toThrow("unknown architecture z80: one of x86_64,");
  for (const word of ARCHITECTURE_WORDS) expect(targetOf(word, "x64").abi.name).toStartWith("SCMP_ARCH_");
});

/** An answer's first word for what the kernel does with a value (linux/seccomp.h). */
const WORDS: readonly (readonly [number, RegExp])[] = [
  [0x7fff, /^allowed$/],
  [0x7ffc, /^allowed, and logged$/],
  [0x7ff0, /^asked of the tracer/],
  [0x7fc0, /^asked of the profile's agent$/],
  [0x0005, /^(E[A-Z0-9]+|error \d+) /],
  [0x0003, /^refused with SIGSYS/],
  [0x0000, /^ends the thread$/],
  [0x8000, /^ends the process$/],
];

test("what is explained is what the program answers, for random profiles, calls and arguments", () => {
  const target = targetOf("x86_64", "x64");
  const names = [...target.abi.numbers().keys()];
  for (let seed = 1; seed <= 60; seed++) {
    const random = randomNumbers(seed);
    const filter = randomFilter(random, names);
    const profile = { ...filter, syscalls: filter.syscalls ?? [] };
    const program = compileSeccomp(resolveProfile(profile, { native: "x64", ...CONTEXT }), "x64");
    for (const call of profile.syscalls.flatMap((rule) => rule.names)) {
      const args = randomArguments(random);
      const { number, lines } = explain(profile, CONTEXT, target, call, args);
      const value = runFilter(program, { arch: target.abi.auditArch, nr: number, args });
      const [, wanted = /^$/] = WORDS.find(([action]) => action === value >>> 16) ?? [];
      expect(`seed ${seed} ${call}: ${wanted.test(lines[0]?.answer ?? "")}`).toBe(`seed ${seed} ${call}: true`);
    }
  }
});
