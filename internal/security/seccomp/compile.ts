/**
 * A filter as a classic BPF program (struct sock_filter[], seccomp(2)). For each architecture the numbers become ranges
 * with the same answer and the ranges a balanced tree of comparisons: some eight steps for any call. What is decided by
 * one argument becomes ranges of its values in the same way. Only loads, comparisons, AND and RET are used: then the kernel
 * finds out by itself which calls are always allowed and does not run the filter for those at all (kernel 5.11,
 * seccomp_is_const_allow).
 */
import { CtrError } from "../../errors/error.ts";
import type { Seccomp } from "../../spec/runtime.ts";
import { assemble, MAX_INSTRUCTIONS, type Node, type NodeMaker, nodeMaker } from "./assemble.ts";
import {
  type Answer,
  type Case,
  type Comparison,
  type Decision,
  decisionsOf,
  firstNumber,
  holds,
  MISSING,
  RET_KILL_PROCESS,
  unnamedAnswer,
} from "./decisions.ts";
import { ABIS, type Abi, ARM_PRIVATE, NATIVE_ABI, type Native, X32_BIT } from "./numbers.ts";

// linux/seccomp.h, struct seccomp_data
const NR = 0;
const ARCH = 4;
const ARGS = 16;

/** From `from` up to the next range. */
interface Range<From> {
  readonly from: From;
  readonly node: Node;
}

// runtime-spec config-linux.md#seccomp
export const ARCHITECTURES: ReadonlySet<string> = new Set(
  `X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X PARISC
  PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB`
    .split(/\s+/)
    .map((name) => `SCMP_ARCH_${name}`),
);

/**
 * The architectures whose calls a filter answers; a call of any other kills the process. Throws `invalid` for a name that
 * is none.
 */
export function abisOf(seccomp: Seccomp, native: Native): readonly Abi[] {
  const unknown = seccomp.architectures?.find((name) => !ARCHITECTURES.has(name));
  if (unknown !== undefined) throw new CtrError("invalid", `seccomp: unknown architecture ${JSON.stringify(unknown)}`);
  const wanted = new Set<string>([NATIVE_ABI[native], ...(seccomp.architectures ?? [])]);
  return ABIS.filter(({ name }) => wanted.has(name));
}

/** Throws `invalid` or `unsupported` for what cannot be enforced: a filter is never weaker than what was asked for. */
export function compileSeccomp(seccomp: Seccomp, native: Native): Uint8Array {
  const abis = abisOf(seccomp, native);
  const make = nodeMaker();
  // Numbers of an architecture we have no table for mean nothing to us.
  let program = make.ret(RET_KILL_PROCESS);
  for (const auditArch of [...new Set(abis.map((abi) => abi.auditArch))].reverse()) {
    const own = abis.filter((abi) => abi.auditArch === auditArch);
    const ranges = [...own.flatMap((abi) => abiRanges(seccomp, abi, make)), ...tail(own, make)];
    const numbers = tree(ranges, (from) => from, make);
    program = make.test("eq", auditArch, make.load(NR, numbers), program);
  }
  return assemble(make.load(ARCH, program));
}

/** On x86-64 without x32 its numbers still arrive under x86-64's name. */
function tail(abis: readonly Abi[], make: NodeMaker): readonly Range<number>[] {
  const isX64Only = abis.length === 1 && abis[0]?.name === "SCMP_ARCH_X86_64";
  return isX64Only ? [{ from: X32_BIT, node: make.ret(MISSING) }] : [];
}

/** The answers to all numbers of one ABI, in ascending order. */
function abiRanges(seccomp: Seccomp, abi: Abi, make: NodeMaker): readonly Range<number>[] {
  const decisions = decisionsOf(seccomp, abi);
  const first = firstNumber(abi);
  // What no rule names changes its answer only here.
  const borders = [first, (decisions.lastKnown ?? first) + 1];
  if (abi.name === "SCMP_ARCH_ARM") borders.push(ARM_PRIVATE + 1, ARM_PRIVATE + 7);
  const starts = new Set([...borders, ...[...decisions.calls.keys()].flatMap((number) => [number, number + 1])]);
  const decided = new Map<Decision, Node>();
  const nodeOf = (decision: Decision): Node => {
    const node = decided.get(decision) ?? decisionNode(decision, abi.isNarrow, make);
    decided.set(decision, node);
    return node;
  };
  const ranges = [...starts]
    .sort((a, b) => a - b)
    .map((from): Range<number> => {
      const decision = decisions.calls.get(from);
      return { from, node: decision === undefined ? make.ret(unnamedAnswer(decisions, abi, from)) : nodeOf(decision) };
    });
  return merged(ranges);
}

function merged<From>(ranges: readonly Range<From>[]): Range<From>[] {
  const result: Range<From>[] = [];
  for (const range of ranges) {
    if (result.at(-1)?.node !== range.node) result.push(range);
  }
  return result;
}

/** A balanced tree over ascending ranges, the first of which begins at the least value there is. */
function tree<From>(ranges: readonly Range<From>[], word: (from: From) => number, make: NodeMaker): Node {
  const middle = ranges.length >> 1;
  const range = ranges[middle];
  if (range === undefined) throw new CtrError("internal", "a seccomp tree without a range");
  if (ranges.length === 1) return range.node;
  const [low, high] = [tree(ranges.slice(0, middle), word, make), tree(ranges.slice(middle), word, make)];
  return make.test("ge", word(range.from), high, low);
}

/** The cases in their order, then what is said otherwise. */
function decisionNode({ cases, otherwise }: Decision, isNarrow: boolean, make: NodeMaker): Node {
  const last = make.ret(otherwise);
  if (cases.length === 0) return last;
  const index = cases[0]?.when[0]?.index ?? 0;
  const isOneArgument = cases.every(({ when }) => {
    const [only] = when;
    return when.length === 1 && only?.index === index && only.op !== "SCMP_CMP_MASKED_EQ";
  });
  const comparisons = cases.reduce((sum, { when }) => sum + when.length, 0);
  // Each is two instructions at least.
  if (comparisons * 2 > MAX_INSTRUCTIONS) throw tooLarge(`${comparisons} comparisons for one call`);
  if (isOneArgument) return valuesNode(index, cases, otherwise, isNarrow, make);
  // From the last to the first: each leads to the one after it where it does not hold.
  return cases.reduceRight((rest: Node, one) => caseNode(one, rest, isNarrow, make), last);
}

function tooLarge(what: string): CtrError {
  return new CtrError("invalid", `the seccomp profile is too large: ${what}`);
}

const TWO_64 = 2n ** 64n;
const LOW_ONES = 0xffffffffn;

/** What one argument decides alone: its values become ranges with one answer each, and the ranges a tree. */
function valuesNode(
  index: number,
  cases: readonly Case[],
  otherwise: Answer,
  isNarrow: boolean,
  make: NodeMaker,
): Node {
  const end = isNarrow ? LOW_ONES + 1n : TWO_64;
  const comparisons = cases.flatMap(({ when: [comparison], answer }) =>
    comparison === undefined ? [] : [{ comparison, answer }],
  );
  const borders = new Set([0n, ...comparisons.flatMap(({ comparison: { value } }) => [value, value + 1n])]);
  const starts = [...borders].filter((from) => from < end).sort((a, b) => (a < b ? -1 : 1));
  const ranges = merged(
    starts.map((from) => ({
      from,
      node: make.ret(comparisons.find(({ comparison }) => holds(comparison, from))?.answer ?? otherwise),
    })),
  );
  const lows = (within: readonly Range<bigint>[]): Node =>
    within.length === 1 && within[0] !== undefined
      ? within[0].node
      : make.load(
          lowOffset(index),
          tree(within, (from) => Number(from & LOW_ONES), make),
        );
  if (isNarrow) return lows(ranges);
  return highs(ranges, lows, index, make);
}

/** The upper half first: where it alone decides there is nothing below. */
function highs(
  ranges: readonly Range<bigint>[],
  lows: (within: readonly Range<bigint>[]) => Node,
  index: number,
  make: NodeMaker,
): Node {
  const words = new Set([0n]);
  for (const { from } of ranges) {
    words.add(from >> 32n);
    // What the last range in a word answers goes on into the next.
    if ((from & LOW_ONES) !== 0n && from >> 32n < LOW_ONES) words.add((from >> 32n) + 1n);
  }
  const byWord = [...words]
    .sort((a, b) => (a < b ? -1 : 1))
    .map((word): Range<bigint> => {
      const start = word << 32n;
      const inside = ranges.filter(({ from }) => from > start && from >> 32n === word);
      const before = ranges.findLast(({ from }) => from <= start);
      return { from: word, node: lows([...(before === undefined ? [] : [{ ...before, from: start }]), ...inside]) };
    });
  const found = merged(byWord);
  const [only] = found;
  if (found.length === 1 && only !== undefined) return only.node;
  return make.load(highOffset(index), tree(found, Number, make));
}

/** `then` if all comparisons hold, otherwise `otherwise`. */
function caseNode({ when, answer }: Case, otherwise: Node, isNarrow: boolean, make: NodeMaker): Node {
  const then = make.ret(answer);
  return when.reduceRight(
    (holding: Node, comparison) =>
      isNarrow
        ? narrowComparison(comparison, holding, otherwise, make)
        : wideComparison(comparison, holding, otherwise, make),
    then,
  );
}

/** A comparison of the lower 32 bits with a value that may have more. */
function narrowComparison({ index, op, value, mask }: Comparison, yes: Node, no: Node, make: NodeMaker): Node {
  // Above what 32 bits can be, and so the same for every argument.
  if (value > LOW_ONES) return holds({ index, op, value, mask }, 0n) ? yes : no;
  return make.load(lowOffset(index), wordComparison(op, Number(value), Number(mask & LOW_ONES), yes, no, make));
}

function wordComparison(op: Comparison["op"], value: number, mask: number, yes: Node, no: Node, make: NodeMaker): Node {
  switch (op) {
    case "SCMP_CMP_EQ":
      return make.test("eq", value, yes, no);
    case "SCMP_CMP_NE":
      return make.test("eq", value, no, yes);
    case "SCMP_CMP_GT":
      return make.test("gt", value, yes, no);
    case "SCMP_CMP_GE":
      return make.test("ge", value, yes, no);
    case "SCMP_CMP_LT":
      return make.test("ge", value, no, yes);
    case "SCMP_CMP_LE":
      return make.test("gt", value, no, yes);
    case "SCMP_CMP_MASKED_EQ":
      return make.and(mask, make.test("eq", value, yes, no));
    default:
      return op satisfies never;
  }
}

/** A 64-bit comparison of an argument in its two halves; the upper half decides unless it is equal. */
function wideComparison({ index, op, value, mask }: Comparison, yes: Node, no: Node, make: NodeMaker): Node {
  const high = Number(value >> 32n);
  const low = make.load(
    lowOffset(index),
    wordComparison(op, Number(value & LOW_ONES), Number(mask & LOW_ONES), yes, no, make),
  );
  const upper = (node: Node): Node => make.load(highOffset(index), node);
  switch (op) {
    case "SCMP_CMP_EQ":
      return upper(make.test("eq", high, low, no));
    case "SCMP_CMP_NE":
      return upper(make.test("eq", high, low, yes));
    case "SCMP_CMP_GT":
    case "SCMP_CMP_GE":
      return upper(make.test("gt", high, yes, make.test("eq", high, low, no)));
    case "SCMP_CMP_LT":
    case "SCMP_CMP_LE":
      return upper(make.test("gt", high, no, make.test("eq", high, low, yes)));
    case "SCMP_CMP_MASKED_EQ": {
      const highMask = Number(mask >> 32n);
      // Most masks are of 32 bits: then the upper half is not looked at.
      return highMask === 0 ? low : upper(make.and(highMask, make.test("eq", high, low, no)));
    }
    default:
      return op satisfies never;
  }
}

// All architectures here are little-endian.
function lowOffset(index: number): number {
  return ARGS + 8 * index;
}

function highOffset(index: number): number {
  return lowOffset(index) + 4;
}
