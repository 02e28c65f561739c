/**
 * The same filters made by ctr and by libseccomp, as runc makes them: the same answers to every call. Of several rules that
 * could all hold libseccomp has an order of its own, so the random ones here have one action.
 */
import { beforeAll, expect } from "bun:test";
import { rmSync } from "node:fs";
import { compileSeccomp } from "../../internal/security/seccomp/compile.ts";
import { ABIS, type Abi, X32_BIT } from "../../internal/security/seccomp/numbers.ts";
import { defaultProfile } from "../../internal/security/seccomp/profile.ts";
import { resolveProfile } from "../../internal/security/seccomp/resolve.ts";
import { stringifyJson } from "../../internal/spec/json.ts";
import type { Seccomp, SeccompOperator, SeccompSyscall } from "../../internal/spec/runtime.ts";
import { runFilter } from "../lib/bpf.ts";
import { testHome } from "../lib/home.ts";
import { needs } from "../lib/needs.ts";
import { randomNumbers } from "../lib/random.ts";
import { plainValue, randomArguments, randomFilter } from "../lib/seccomp-random.ts";
import { test } from "../lib/test.ts";

const isHere = needs("libseccomp") && process.arch === "x64";
const directory = testHome("libseccomp");
const maker = `${directory}/libseccomp-filter`;

beforeAll(() => {
  if (!isHere) return;
  const source = `${import.meta.dir}/../lib/libseccomp-filter.c`;
  const flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", maker, source, "-lseccomp"];
  expect(Bun.spawnSync(["gcc", ...flags]).stderr.toString()).toBe("");
});

// seccomp.h, SCMP_ARCH_… and enum scmp_compare
const ARCHITECTURES: { readonly [name: string]: number } = {
  SCMP_ARCH_X86_64: 0xc000003e,
  SCMP_ARCH_X86: 0x40000003,
  SCMP_ARCH_X32: 0x4000003e,
};
const OPERATORS: readonly SeccompOperator[] = [
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
];

/** The program that runc would load, but for its beginning: what is newer than the filter is missing there. */
function libseccompProgram(seccomp: Seccomp): Uint8Array {
  const lines = [`default ${plainValue(seccomp.defaultAction, seccomp.defaultErrnoRet).toString(16)}`];
  for (const name of seccomp.architectures ?? []) lines.push(`arch ${ARCHITECTURES[name]?.toString(16)}`);
  for (const { names, action, errnoRet, args = [] } of seccomp.syscalls ?? []) {
    const value = plainValue(action, errnoRet).toString(16);
    const isRepeated = new Set(args.map(({ index }) => index)).size < args.length;
    const rules = isRepeated ? args.map((arg) => [arg]) : [args];
    for (const name of names) {
      for (const rule of rules) {
        lines.push(`rule ${value} ${name} ${rule.length}`);
        for (const { index, op, value: first, valueTwo } of rule) {
          lines.push(`${index} ${OPERATORS.indexOf(op) + 1} ${first} ${valueTwo ?? 0}`);
        }
      }
    }
  }
  const ran = Bun.spawnSync([maker], { stdin: new TextEncoder().encode(`${lines.join("\n")}\n`) });
  if (ran.exitCode !== 0) throw new Error(`libseccomp-filter: ${ran.exitCode}: ${lines.join("\n")}`);
  return ran.stdout;
}

const abis = ABIS.filter(({ name }) => ARCHITECTURES[name] !== undefined);

/** Calls that ctr treats otherwise on purpose (docs/seccomp.md). */
const MULTIPLEXERS = new Set(["socketcall", "ipc"]);

/** Newer than this libseccomp (2.5.4), which passes over their names; what is numbered above them it knows none of. */
function isUnknownThere(name: string): boolean {
  const UNKNOWN =
    /^(cachestat|fchmodat2|map_shadow_stack|futex_(wake|wait|requeue)|statmount|listmount|lsm_|mseal|\w+xattrat|set_mempolicy_home_node|uretprobe|uprobe|open_tree_attr|file_[gs]etattr|listns|rseq_slice_yield)/;
  return UNKNOWN.test(name);
}

/** Differences in the answers to `calls`, each a line. */
function compare(
  seccomp: Seccomp,
  calls: (abi: Abi, numbers: ReadonlyMap<string, number>) => readonly Call[],
): string[] {
  const own = compileSeccomp(seccomp, "x64");
  const reference = libseccompProgram(seccomp);
  return abis.flatMap((abi) => {
    const numbers = abi.numbers();
    const names = new Map([...numbers].map(([name, number]) => [number, name]));
    return calls(abi, numbers).flatMap(({ nr, args }) => {
      const name = names.get(nr) ?? "";
      if (name === "" || isUnknownThere(name) || (abi.name === "SCMP_ARCH_X86" && MULTIPLEXERS.has(name))) return [];
      const call = { arch: abi.auditArch, nr, args };
      const [mine, theirs] = [runFilter(own, call), runFilter(reference, call)];
      if (mine === theirs) return [];
      return [`${abi.name} ${name}(${args.join(", ")}): ${mine.toString(16)}, libseccomp ${theirs.toString(16)}`];
    });
  });
}

interface Call {
  readonly nr: number;
  readonly args: readonly bigint[];
}

/** Arguments of x32 have 32 bits to libseccomp, all 64 to us and to the kernel. */
function fitting(abi: Abi, args: readonly bigint[]): bigint[] {
  return args.map((arg) => (abi.name === "SCMP_ARCH_X32" ? arg & 0xffffffffn : arg));
}

test.if(isHere)("the default profile answers what libseccomp's program for it answers, number by number", () => {
  for (const capabilities of [["CAP_SYS_CHROOT"], [], ["CAP_SYS_ADMIN", "CAP_BPF"]]) {
    const seccomp = resolveProfile(defaultProfile(), { native: "x64", capabilities, kernel: "6.1.0" });
    const random = randomNumbers(3);
    const differences = compare(seccomp, (abi) => {
      const first = abi.name === "SCMP_ARCH_X32" ? X32_BIT : 0;
      return Array.from({ length: 450 * 4 }, (_, at) => {
        const args = fitting(abi, randomArguments(random));
        if (at % 2 === 0) args[0] = BigInt(random(50));
        return { nr: first + (at >> 2), args };
      });
    });
    expect(differences).toEqual([]);
  }
});

// More with CTR_FUZZ_ROUNDS; the seed of a failure is in its message.
const ROUNDS = Number(process.env["CTR_FUZZ_ROUNDS"] ?? 200);

/**
 * What libseccomp 2.5.4 answers rightly: one rule with conditions for each call, and any without; of several its tree lets
 * through what none of them does. An order next to another condition forgets the upper halves. And what 32 bits cannot hold
 * means something else to it there.
 */
function simplified(rules: readonly SeccompSyscall[]): readonly SeccompSyscall[] {
  const seen = new Set<string>();
  return rules.map((rule) => {
    const fitting = (rule.args ?? []).filter(
      ({ value, valueTwo = 0 }) => value <= 0xffffffff && valueTwo <= 0xffffffff,
    );
    const args = fitting.length < 2 ? fitting : fitting.filter(({ op }) => /EQ|NE/.test(op));
    const names = args.length === 0 ? rule.names : rule.names.filter((name) => !seen.has(name));
    for (const name of args.length === 0 ? [] : names) seen.add(name);
    return { ...rule, names: [...new Set(names)], args };
  });
}

test.if(isHere)("random profiles answer what libseccomp's programs for them answer", () => {
  // A name that one of them lacks may leave a program of libseccomp 2.5.4 without the instruction that loads the number.
  const tables = abis.map((abi) => abi.numbers());
  const everyName = [...(tables[0] ?? new Map()).keys()].filter(
    (name) => tables.every((numbers) => numbers.has(name)) && !MULTIPLEXERS.has(name) && !isUnknownThere(name),
  );
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const random = randomNumbers(seed);
    const filter = randomFilter(random, everyName, {
      isUnambiguous: true,
      architectures: abis.map(({ name }) => name),
    });
    const seccomp = { ...filter, syscalls: simplified(filter.syscalls ?? []) };
    const differences = compare(seccomp, (abi, numbers) =>
      (seccomp.syscalls ?? [])
        .flatMap(({ names }) => names)
        .flatMap((name) => {
          const nr = numbers.get(name);
          if (nr === undefined) return [];
          return Array.from({ length: 4 }, () => ({ nr, args: fitting(abi, randomArguments(random)) }));
        }),
    );
    if (differences.length > 0)
      throw new Error(`seed ${seed}: ${differences.slice(0, 5).join("\n")}\n${stringifyJson(seccomp)}`);
  }
});

test("clean up", () => rmSync(directory, { recursive: true }));
