/**
 * An OCI seccomp filter as a classic BPF program (struct sock_filter[], seccomp(2)). For each architecture the numbers
 * become ranges with the same answer and the ranges a balanced tree of comparisons: some eight steps for any call.
 */
import { CtrError } from "../../errors/error.ts";
import type { Seccomp, SeccompAction, SeccompArg, SeccompSyscall } from "../../spec/runtime.ts";
import { ABIS, type Abi, NATIVE_ABI, type Native, X32_BIT } from "./numbers.ts";

// linux/bpf_common.h
const LD_W_ABS = 0x20;
const JA = 0x05;
const JEQ = 0x15;
const JGT = 0x25;
const JGE = 0x35;
const AND = 0x54;
const RET = 0x06;

// linux/seccomp.h, struct seccomp_data
const NR = 0;
const ARCH = 4;
const ARGS = 16;

const MAX_INSTRUCTIONS = 4096; // BPF_MAXINSNS
const MAX_JUMP = 255;
const ENOSYS = 38;
const EPERM = 1;
const RET_KILL_PROCESS = 0x80000000;
const RET_ERRNO = 0x00050000;
const MAX_NUMBER = 2 ** 32 - 1;

interface Instruction {
  readonly code: number;
  readonly k: number;
  readonly jt: number;
  readonly jf: number;
}

/** Instructions that end in an answer on every way through. */
type Code = readonly Instruction[];

/** From `from` up to the next range. */
interface Range {
  readonly from: number;
  readonly code: Code;
}

/** Throws `invalid` or `unsupported` for what cannot be enforced: a filter is never weaker than what was asked for. */
export function compileSeccomp(seccomp: Seccomp, native: Native): Uint8Array {
  const program: Instruction[] = [statement(LD_W_ABS, ARCH)];
  const wanted = new Set<string>([NATIVE_ABI[native], ...(seccomp.architectures ?? [])]);
  const abis = ABIS.filter(({ name }) => wanted.has(name));
  for (const auditArch of new Set(abis.map((abi) => abi.auditArch))) {
    const own = abis.filter((abi) => abi.auditArch === auditArch);
    const section = [statement(LD_W_ABS, NR), ...tree(own.flatMap((abi) => abiRanges(seccomp, abi)).concat(tail(own)))];
    program.push(jump(JEQ, auditArch, 1, 0), statement(JA, section.length), ...section);
  }
  // Numbers of an architecture we have no table for mean nothing to us.
  program.push(statement(RET, RET_KILL_PROCESS));
  if (program.length > MAX_INSTRUCTIONS) {
    const message = `the seccomp profile is too large: ${program.length} instructions, the kernel takes ${MAX_INSTRUCTIONS}`;
    throw new CtrError("invalid", message);
  }
  return encode(program);
}

/** On x86-64 without x32 its numbers still arrive under x86-64's name. */
function tail(abis: readonly Abi[]): readonly Range[] {
  const isX64Only = abis.length === 1 && abis[0]?.name === "SCMP_ARCH_X86_64";
  return isX64Only ? [{ from: X32_BIT, code: [statement(RET, RET_ERRNO | ENOSYS)] }] : [];
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
  const last = known.at(-1);
  const ranges: Range[] = [];
  let next = abi.name === "SCMP_ARCH_X32" ? X32_BIT : 0;
  for (const number of known) {
    if (number > next) ranges.push({ from: next, code: otherwise });
    ranges.push({ from: number, code: rulesCode(rules.get(number) ?? [], otherwise) });
    next = number + 1;
  }
  // What is newer than the profile is missing rather than forbidden, so that programs fall back to older calls.
  const isAllowing = seccomp.defaultAction === "SCMP_ACT_ALLOW" || seccomp.defaultAction === "SCMP_ACT_LOG";
  const isNewer = last !== undefined && !isAllowing;
  ranges.push({ from: next, code: isNewer ? [statement(RET, RET_ERRNO | ENOSYS)] : otherwise });
  return merged(ranges);
}

function merged(ranges: readonly Range[]): Range[] {
  const result: Range[] = [];
  for (const range of ranges) {
    const before = result.at(-1);
    if (before === undefined || !isSame(before.code, range.code)) result.push(range);
  }
  return result;
}

function isSame(a: Code, b: Code): boolean {
  return (
    a.length === b.length &&
    a.every((one, at) => {
      const other = b[at];
      return one.code === other?.code && one.k === other.k && one.jt === other.jt && one.jf === other.jf;
    })
  );
}

/** A balanced tree over ascending ranges, the first of which begins at the least value there is. */
function tree(ranges: readonly Range[]): Code {
  const [only] = ranges;
  if (only === undefined) throw new CtrError("internal", "a seccomp tree without a range");
  if (ranges.length === 1) return only.code;
  const middle = ranges.length >> 1;
  const [left, right] = [tree(ranges.slice(0, middle)), tree(ranges.slice(middle))];
  const from = ranges[middle]?.from ?? 0;
  if (left.length <= MAX_JUMP) return [jump(JGE, from, left.length, 0), ...left, ...right];
  return [jump(JGE, from, 0, 1), statement(JA, left.length), ...left, ...right];
}

/** An answer for calls whose arguments compare so. */
interface Conditional {
  readonly args: readonly SeccompArg[];
  readonly code: Code;
}

/** The answer to one call: the rules with conditions in their order, then the one without, then the default. */
function rulesCode(rules: readonly SeccompSyscall[], otherwise: Code): Code {
  const plain = rules.find((rule) => (rule.args?.length ?? 0) === 0);
  const final = plain === undefined ? otherwise : answer(plain.action, plain.errnoRet);
  const conditional = rules
    .filter((rule) => (rule.args?.length ?? 0) > 0)
    .flatMap((rule) =>
      alternatives(rule.args ?? []).map((args) => ({ args, code: answer(rule.action, rule.errnoRet) })),
    )
    .filter(({ code }) => plain === undefined || !isSame(code, final));
  return (
    valueSet(conditional, final) ?? [...conditional.flatMap(({ args, code }) => conditionCode(args, code)), ...final]
  );
}

/** Two conditions on one argument are alternatives, as runc has it; on different arguments all must hold. */
function alternatives(args: readonly SeccompArg[]): readonly (readonly SeccompArg[])[] {
  const isRepeated = new Set(args.map(({ index }) => index)).size < args.length;
  return isRepeated ? args.map((arg) => [arg]) : [args];
}

/** Many values of one argument with one answer (socket, personality) are a tree as well; undefined if it is not that. */
function valueSet(rules: readonly Conditional[], final: Code): Code | undefined {
  const [first] = rules;
  const index = first?.args[0]?.index;
  if (first === undefined || index === undefined || rules.length < 2) return undefined;
  const values: number[] = [];
  for (const { args, code } of rules) {
    const [arg] = args;
    const isOne = arg !== undefined && args.length === 1 && arg.op === "SCMP_CMP_EQ" && arg.index === index;
    if (!isOne || arg.value > MAX_NUMBER || !isSame(code, first.code)) return undefined;
    values.push(arg.value);
  }
  const ranges: Range[] = [];
  let next = 0;
  for (const value of [...new Set(values)].sort((a, b) => a - b)) {
    if (value > next) ranges.push({ from: next, code: final });
    ranges.push({ from: value, code: first.code });
    next = value + 1;
  }
  if (next <= MAX_NUMBER) ranges.push({ from: next, code: final });
  return [
    statement(LD_W_ABS, highOffset(index)),
    jump(JEQ, 0, final.length, 0),
    ...final,
    statement(LD_W_ABS, lowOffset(index)),
    ...tree(merged(ranges)),
  ];
}

type Target = number | "holds" | "fails";

/** An instruction whose jumps may lead past the comparison (it holds) or past the rule (it fails). */
interface Step {
  readonly code: number;
  readonly k: number;
  readonly jt: Target;
  readonly jf: Target;
}

/** If all comparisons hold the answer, otherwise on to what follows. */
function conditionCode(args: readonly SeccompArg[], then: Code): Code {
  const comparisons = args.map(comparison);
  const total = comparisons.reduce((sum, steps) => sum + steps.length, 0) + then.length;
  const code: Instruction[] = [];
  for (const steps of comparisons) {
    const end = code.length + steps.length;
    for (const { code: operation, k, jt, jf } of steps) {
      const offset = (target: Target) =>
        target === "holds" ? end - code.length - 1 : target === "fails" ? total - code.length - 1 : target;
      code.push(jump(operation, k, offset(jt), offset(jf)));
    }
  }
  return [...code, ...then];
}

/** A 64-bit comparison of an argument in its two halves; the upper half decides unless it is equal. */
function comparison({ index, op, value, valueTwo = 0 }: SeccompArg): readonly Step[] {
  const high = load(highOffset(index));
  const low = load(lowOffset(index));
  const [valueHigh, valueLow] = halves(value);
  const step = (code: number, k: number, jt: Target, jf: Target): Step => ({ code, k, jt, jf });
  switch (op) {
    case "SCMP_CMP_EQ":
      return [high, step(JEQ, valueHigh, 0, "fails"), low, step(JEQ, valueLow, "holds", "fails")];
    case "SCMP_CMP_NE":
      return [high, step(JEQ, valueHigh, 0, "holds"), low, step(JEQ, valueLow, "fails", "holds")];
    case "SCMP_CMP_GT":
    case "SCMP_CMP_GE":
      return [
        high,
        step(JGT, valueHigh, "holds", 0),
        step(JEQ, valueHigh, 0, "fails"),
        low,
        step(op === "SCMP_CMP_GT" ? JGT : JGE, valueLow, "holds", "fails"),
      ];
    case "SCMP_CMP_LT":
    case "SCMP_CMP_LE":
      return [
        high,
        step(JGT, valueHigh, "fails", 0),
        step(JEQ, valueHigh, 0, "holds"),
        low,
        step(op === "SCMP_CMP_LE" ? JGT : JGE, valueLow, "fails", "holds"),
      ];
    case "SCMP_CMP_MASKED_EQ": {
      const [leftHigh, leftLow] = halves(valueTwo);
      return [
        high,
        step(AND, valueHigh, 0, 0),
        step(JEQ, leftHigh, 0, "fails"),
        low,
        step(AND, valueLow, 0, 0),
        step(JEQ, leftLow, "holds", "fails"),
      ];
    }
    default:
      return op satisfies never;
  }
}

function load(offset: number): Step {
  return { code: LD_W_ABS, k: offset, jt: 0, jf: 0 };
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

function answer(action: SeccompAction, errnoRet: number = EPERM): Code {
  return [statement(RET, answerValue(action, errnoRet))];
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

function statement(code: number, k: number): Instruction {
  return { code, k, jt: 0, jf: 0 };
}

function jump(code: number, k: number, jt: number, jf: number): Instruction {
  return { code, k, jt, jf };
}

/** struct sock_filter: u16 code, u8 jt, u8 jf, u32 k. */
function encode(program: readonly Instruction[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(program.length * 8));
  for (const [at, { code, k, jt, jf }] of program.entries()) {
    if (jt > MAX_JUMP || jf > MAX_JUMP) throw new CtrError("internal", "a seccomp jump is too long");
    view.setUint16(at * 8, code, true);
    view.setUint8(at * 8 + 2, jt);
    view.setUint8(at * 8 + 3, jf);
    view.setUint32(at * 8 + 4, k >>> 0, true);
  }
  return new Uint8Array(view.buffer);
}
