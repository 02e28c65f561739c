/**
 * An OCI seccomp filter as a classic BPF program (struct sock_filter[], seccomp(2)). For each architecture the numbers
 * become ranges with the same answer and the ranges a balanced tree of comparisons: some eight steps for any call. Only
 * loads, comparisons, AND and RET are used: then the kernel finds out by itself which calls are always allowed and does
 * not run the filter for those at all (kernel 5.11, seccomp_is_const_allow).
 */
import { CtrError } from "../../errors/error.ts";
import type { Seccomp, SeccompAction, SeccompArg, SeccompSyscall } from "../../spec/runtime.ts";
import { assemble, type Node, ret, type Test } from "./assemble.ts";
import { ABIS, type Abi, NATIVE_ABI, type Native, X32_BIT } from "./numbers.ts";

// linux/seccomp.h, struct seccomp_data
const NR = 0;
const ARCH = 4;
const ARGS = 16;

const ENOSYS = 38;
const EPERM = 1;
const RET_KILL_PROCESS = 0x80000000;
const RET_ERRNO = 0x00050000;
const MISSING = ret(RET_ERRNO | ENOSYS);
const MAX_NUMBER = 2 ** 32 - 1;

/** From `from` up to the next range. */
interface Range {
  readonly from: number;
  readonly node: Node;
}

/** Throws `invalid` or `unsupported` for what cannot be enforced: a filter is never weaker than what was asked for. */
export function compileSeccomp(seccomp: Seccomp, native: Native): Uint8Array {
  const wanted = new Set<string>([NATIVE_ABI[native], ...(seccomp.architectures ?? [])]);
  const abis = ABIS.filter(({ name }) => wanted.has(name));
  // Numbers of an architecture we have no table for mean nothing to us.
  let program: Node = ret(RET_KILL_PROCESS);
  for (const auditArch of [...new Set(abis.map((abi) => abi.auditArch))].reverse()) {
    const own = abis.filter((abi) => abi.auditArch === auditArch);
    const numbers = tree([...own.flatMap((abi) => abiRanges(seccomp, abi)), ...tail(own)]);
    program = test("eq", auditArch, { load: NR, next: numbers }, program);
  }
  return assemble({ load: ARCH, next: program });
}

/** On x86-64 without x32 its numbers still arrive under x86-64's name. */
function tail(abis: readonly Abi[]): readonly Range[] {
  const isX64Only = abis.length === 1 && abis[0]?.name === "SCMP_ARCH_X86_64";
  return isX64Only ? [{ from: X32_BIT, node: MISSING }] : [];
}

/** The answers to all numbers of one ABI, in ascending order. */
function abiRanges(seccomp: Seccomp, abi: Abi): Range[] {
  const numbers = abi.numbers();
  const rules = new Map<number, SeccompSyscall[]>();
  for (const rule of seccomp.syscalls ?? []) {
    for (const name of rule.names) {
      // A name that this architecture does not have needs no rule; libseccomp passes over it too.
      const number = numbers.get(name);
      if (number === undefined) continue;
      const list = rules.get(number);
      if (list === undefined) rules.set(number, [rule]);
      else list.push(rule);
    }
  }
  const otherwise = answer(seccomp.defaultAction, seccomp.defaultErrnoRet);
  const known = [...rules.keys()].sort((a, b) => a - b);
  const ranges: Range[] = [];
  let next = abi.name === "SCMP_ARCH_X32" ? X32_BIT : 0;
  for (const number of known) {
    if (number > next) ranges.push({ from: next, node: otherwise });
    ranges.push({ from: number, node: rulesNode(rules.get(number) ?? [], otherwise) });
    next = number + 1;
  }
  // What is newer than the profile is missing rather than forbidden, so that programs fall back to older calls.
  const isAllowing = seccomp.defaultAction === "SCMP_ACT_ALLOW" || seccomp.defaultAction === "SCMP_ACT_LOG";
  ranges.push({ from: next, node: known.length === 0 || isAllowing ? otherwise : MISSING });
  return merged(ranges);
}

function merged(ranges: readonly Range[]): Range[] {
  const result: Range[] = [];
  for (const range of ranges) {
    if (result.at(-1)?.node !== range.node) result.push(range);
  }
  return result;
}

/** A balanced tree over ascending ranges, the first of which begins at the least value there is. */
function tree(ranges: readonly Range[]): Node {
  const middle = ranges.length >> 1;
  const range = ranges[middle];
  if (range === undefined) throw new CtrError("internal", "a seccomp tree without a range");
  if (ranges.length === 1) return range.node;
  return test("ge", range.from, tree(ranges.slice(middle)), tree(ranges.slice(0, middle)));
}

/** An answer for calls whose arguments compare so. */
interface Conditional {
  readonly args: readonly SeccompArg[];
  readonly node: Node;
}

/** The answer to one call: the rules with conditions in their order, then the one without, then the default. */
function rulesNode(rules: readonly SeccompSyscall[], otherwise: Node): Node {
  const plain = rules.find((rule) => (rule.args?.length ?? 0) === 0);
  const final = plain === undefined ? otherwise : answer(plain.action, plain.errnoRet);
  const conditional = rules
    .filter((rule) => (rule.args?.length ?? 0) > 0)
    .flatMap((rule) =>
      alternatives(rule.args ?? []).map((args) => ({ args, node: answer(rule.action, rule.errnoRet) })),
    )
    .filter(({ node }) => plain === undefined || node !== final);
  const values = valueSet(conditional, final);
  if (values !== undefined) return values;
  // From the last to the first: each leads to the one after it where it does not hold.
  return conditional.reduceRight((rest, { args, node }) => conditionNode(args, node, rest), final);
}

/** Two conditions on one argument are alternatives, as runc has it; on different arguments all must hold. */
function alternatives(args: readonly SeccompArg[]): readonly (readonly SeccompArg[])[] {
  const isRepeated = new Set(args.map(({ index }) => index)).size < args.length;
  return isRepeated ? args.map((arg) => [arg]) : [args];
}

/** Many values of one argument with one answer (socket, personality) are a tree as well; undefined if it is not that. */
function valueSet(rules: readonly Conditional[], final: Node): Node | undefined {
  const [first] = rules;
  const index = first?.args[0]?.index;
  if (first === undefined || index === undefined || rules.length < 2) return undefined;
  const values = new Set<number>();
  for (const { args, node } of rules) {
    const [arg] = args;
    const isOne = arg !== undefined && args.length === 1 && arg.op === "SCMP_CMP_EQ" && arg.index === index;
    if (!isOne || arg.value > MAX_NUMBER || node !== first.node) return undefined;
    values.add(arg.value);
  }
  const ranges: Range[] = [];
  let next = 0;
  for (const value of [...values].sort((a, b) => a - b)) {
    if (value > next) ranges.push({ from: next, node: final });
    ranges.push({ from: value, node: first.node });
    next = value + 1;
  }
  if (next <= MAX_NUMBER) ranges.push({ from: next, node: final });
  const low = { load: lowOffset(index), next: tree(merged(ranges)) };
  return { load: highOffset(index), next: test("eq", 0, low, final) };
}

/** `then` if all comparisons hold, otherwise `otherwise`. */
function conditionNode(args: readonly SeccompArg[], then: Node, otherwise: Node): Node {
  return args.reduceRight((holds, arg) => comparison(arg, holds, otherwise), then);
}

/** A 64-bit comparison of an argument in its two halves; the upper half decides unless it is equal. */
function comparison({ index, op, value, valueTwo = 0 }: SeccompArg, holds: Node, fails: Node): Node {
  const [valueHigh, valueLow] = halves(value);
  const high = (next: Node): Node => ({ load: highOffset(index), next });
  const low = (next: Node): Node => ({ load: lowOffset(index), next });
  switch (op) {
    case "SCMP_CMP_EQ":
      return high(test("eq", valueHigh, low(test("eq", valueLow, holds, fails)), fails));
    case "SCMP_CMP_NE":
      return high(test("eq", valueHigh, low(test("eq", valueLow, fails, holds)), holds));
    case "SCMP_CMP_GT":
    case "SCMP_CMP_GE": {
      const lower = low(test(op === "SCMP_CMP_GT" ? "gt" : "ge", valueLow, holds, fails));
      return high(test("gt", valueHigh, holds, test("eq", valueHigh, lower, fails)));
    }
    case "SCMP_CMP_LT":
    case "SCMP_CMP_LE": {
      const lower = low(test(op === "SCMP_CMP_LE" ? "gt" : "ge", valueLow, fails, holds));
      return high(test("gt", valueHigh, fails, test("eq", valueHigh, lower, holds)));
    }
    case "SCMP_CMP_MASKED_EQ": {
      const [leftHigh, leftLow] = halves(valueTwo);
      const lower = low({ and: valueLow, next: test("eq", leftLow, holds, fails) });
      return high({ and: valueHigh, next: test("eq", leftHigh, lower, fails) });
    }
    default:
      return op satisfies never;
  }
}

function test(compare: Test["test"], k: number, yes: Node, no: Node): Node {
  return { test: compare, k, yes, no };
}

// Both architectures are little-endian.
function lowOffset(index: number): number {
  return ARGS + 8 * index;
}

function highOffset(index: number): number {
  return lowOffset(index) + 4;
}

/** All ones arrives as 2^64, see internal/spec/runtime.ts. */
function halves(value: number): readonly [high: number, low: number] {
  if (value >= 2 ** 64) return [MAX_NUMBER, MAX_NUMBER];
  return [Math.floor(value / 2 ** 32), value % 2 ** 32];
}

function answer(action: SeccompAction, errnoRet: number = EPERM): Node {
  return ret(answerValue(action, errnoRet));
}

/** linux/seccomp.h, SECCOMP_RET_…; the errno (or the tracer's message) is in the lower half. */
function answerValue(action: SeccompAction, errnoRet: number): number {
  switch (action) {
    case "SCMP_ACT_ALLOW":
      return 0x7fff0000;
    case "SCMP_ACT_ERRNO":
      return RET_ERRNO | errnoRet;
    case "SCMP_ACT_KILL_PROCESS":
      return RET_KILL_PROCESS;
    case "SCMP_ACT_KILL":
    case "SCMP_ACT_KILL_THREAD":
      return 0;
    case "SCMP_ACT_TRAP":
      return 0x00030000;
    case "SCMP_ACT_LOG":
      return 0x7ffc0000;
    case "SCMP_ACT_TRACE":
      return 0x7ff00000 | errnoRet;
    case "SCMP_ACT_NOTIFY":
      throw new CtrError("unsupported", "seccomp: SCMP_ACT_NOTIFY needs an agent, which ctr has none of yet");
    default:
      return action satisfies never;
  }
}
