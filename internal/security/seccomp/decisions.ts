/**
 * What a filter answers, read once: for each call of an architecture the cases in the order in which they are tried. The
 * compiler makes its program from this and `ctr seccomp explain` prints it. The reading is that of runc with libseccomp,
 * so that a profile means here what it means under Docker:
 *
 * - a rule that answers what the default answers says nothing;
 * - the first rule without conditions answers every call, whatever other rules say;
 * - otherwise the rules are tried in their order, then the default. All conditions of a rule must hold, but two on one
 *   argument are alternatives;
 * - a number above the highest that the filter names is missing (ENOSYS) rather than forbidden, unless the default lets
 *   calls happen: then programs fall back to older calls.
 */
import { CtrError } from "../../errors/error.ts";
import type { Seccomp, SeccompAction, SeccompArg, SeccompOperator, SeccompSyscall } from "../../spec/runtime.ts";
import { type Multiplexer, multiplexers } from "./multiplexed.ts";
import { type Abi, ARM_PRIVATE, X32_BIT } from "./numbers.ts";

/** A value that a filter returns: linux/seccomp.h, SECCOMP_RET_…, the errno (or the tracer's message) in the lower half. */
export type Answer = number;

const EPERM = 1;
const ENOSYS = 38;
export const RET_KILL_PROCESS: Answer = 0x80000000;
const RET_ERRNO = 0x00050000;
export const MISSING: Answer = RET_ERRNO | ENOSYS;

/** One comparison of an argument with a value of 64 bits; for MASKED_EQ `mask` is applied first. */
export interface Comparison {
  readonly index: number;
  readonly op: SeccompOperator;
  readonly value: bigint;
  readonly mask: bigint;
}

/** The answer where all comparisons hold, and the number of the rule that says so in `syscalls`. */
export interface Case {
  readonly when: readonly Comparison[];
  readonly answer: Answer;
  readonly rule: number;
}

export interface Decision {
  readonly cases: readonly Case[];
  readonly otherwise: Answer;
  /** The rule that says otherwise; absent for the default. */
  readonly rule?: number;
}

export interface Decisions {
  /** By number: calls that rules name. */
  readonly calls: ReadonlyMap<number, Decision>;
  /** Calls that no rule names. */
  readonly default: Answer;
  /** The highest number that is known rather than missing; absent if none is missing. */
  readonly lastKnown?: number;
}

/** Throws `invalid` or `unsupported` for what cannot be enforced. */
export function decisionsOf(seccomp: Seccomp, abi: Abi): Decisions {
  const otherwise = answerOf(seccomp.defaultAction, seccomp.defaultErrnoRet);
  const numbers = abi.numbers();
  /** The rules about a call: by its number, which two names may share, and by name where a multiplexer knows it. */
  const named = new Map<number | string, number[]>();
  const note = (key: number | string, at: number): void => {
    const places = named.get(key);
    if (places === undefined) named.set(key, [at]);
    else if (places.at(-1) !== at) places.push(at);
  };
  const rules = seccomp.syscalls ?? [];
  let lastKnown = -1;
  for (const [at, { names }] of rules.entries()) {
    for (const name of new Set(names)) {
      // A name that this architecture does not have needs no rule; libseccomp passes over it too.
      const number = numbers.get(name);
      if (multiplexers(abi).some((call) => call.members.has(name))) note(name, at);
      if (number === undefined) continue;
      note(number, at);
      if (!isPrivate(abi, number)) lastKnown = Math.max(lastKnown, number);
    }
  }
  const calls = new Map<number, Decision>();
  // Hundreds of calls are in the same rules; they share one decision.
  const known = new Map<string, Decision>();
  const decide = (places: readonly number[]): Decision => {
    const key = places.join();
    const decided = known.get(key) ?? decision(rules, places, otherwise, abi);
    known.set(key, decided);
    return decided;
  };
  for (const [key, places] of named) if (typeof key === "number") calls.set(key, decide(places));
  for (const call of multiplexers(abi)) {
    const number = numbers.get(call.name);
    if (number === undefined) continue;
    const own = calls.get(number) ?? { cases: [], otherwise };
    const derived = own.rule === undefined ? throughMultiplexer(call, (name) => decide(named.get(name) ?? [])) : [];
    if (derived.length > 0) calls.set(number, { ...own, cases: [...own.cases, ...derived] });
  }
  const isLenient = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].includes(seccomp.defaultAction);
  return { calls, default: otherwise, ...(isLenient || lastKnown < 0 ? {} : { lastKnown }) };
}

/** What calls that no rule names are answered, by number. */
export function unnamedAnswer(decisions: Decisions, abi: Abi, number: number): Answer {
  const { lastKnown } = decisions;
  return lastKnown !== undefined && number > lastKnown && !isPrivate(abi, number) ? MISSING : decisions.default;
}

function isPrivate(abi: Abi, number: number): boolean {
  return abi.name === "SCMP_ARCH_ARM" && number > ARM_PRIVATE && number <= ARM_PRIVATE + 6;
}

/** The lowest number of an architecture. */
export function firstNumber(abi: Abi): number {
  return abi.name === "SCMP_ARCH_X32" ? X32_BIT : 0;
}

function decision(rules: readonly SeccompSyscall[], places: readonly number[], otherwise: Answer, abi: Abi): Decision {
  const cases: Case[] = [];
  for (const rule of places) {
    const { action, errnoRet, args = [] } = rules[rule] ?? { action: "SCMP_ACT_KILL_PROCESS" };
    const answer = answerOf(action, errnoRet);
    if (answer === otherwise) continue;
    for (const alternative of alternatives(args)) {
      const when = alternative
        .map((arg) => comparisonOf(arg, abi))
        .filter((comparison) => !alwaysHolds(comparison, abi));
      if (when.length === 0) return { cases: [], otherwise: answer, rule };
      cases.push({ when, answer, rule });
    }
  }
  return { cases, otherwise };
}

/** Two conditions on one argument are alternatives, as runc has it; on different arguments all must hold. */
function alternatives(args: readonly SeccompArg[]): readonly (readonly SeccompArg[])[] {
  const isRepeated = new Set(args.map(({ index }) => index)).size < args.length;
  return isRepeated ? args.map((arg) => [arg]) : [args];
}

const ALL_ONES = 2n ** 64n - 1n;
const LOW_ONES = 2n ** 32n - 1n;

function comparisonOf({ index, op, value, valueTwo }: SeccompArg, abi: Abi): Comparison {
  const first = bits(value);
  const second = bits(valueTwo ?? 0);
  const [mask, wanted] = op === "SCMP_CMP_MASKED_EQ" ? [first, second & first] : [ALL_ONES, first];
  if (!abi.isNarrow) return { index, op, value: wanted, mask };
  // A negative number is written with 64 bits; as an argument of 32 it is the lower half of that.
  const value32 = wanted >> 32n === LOW_ONES ? wanted & LOW_ONES : wanted;
  return op === "SCMP_CMP_MASKED_EQ"
    ? { index, op, value: wanted & LOW_ONES, mask: mask & LOW_ONES }
    : { index, op, value: value32, mask };
}

/** A number that JSON brought as 2^64 was all ones before it was rounded. */
function bits(value: number | bigint): bigint {
  const exact = BigInt(value);
  return exact > ALL_ONES ? ALL_ONES : exact;
}

function alwaysHolds({ op, value, mask }: Comparison, abi: Abi): boolean {
  const most = abi.isNarrow ? LOW_ONES : ALL_ONES;
  switch (op) {
    case "SCMP_CMP_GE":
      return value === 0n;
    case "SCMP_CMP_LE":
      return value >= most;
    case "SCMP_CMP_LT":
    case "SCMP_CMP_NE":
      return value > most;
    default:
      return op === "SCMP_CMP_MASKED_EQ" && mask === 0n;
  }
}

/** True if the argument compares so; the plain reading of one comparison. */
export function holds({ op, value, mask }: Comparison, argument: bigint): boolean {
  switch (op) {
    case "SCMP_CMP_NE":
      return argument !== value;
    case "SCMP_CMP_LT":
      return argument < value;
    case "SCMP_CMP_LE":
      return argument <= value;
    case "SCMP_CMP_EQ":
      return argument === value;
    case "SCMP_CMP_GE":
      return argument >= value;
    case "SCMP_CMP_GT":
      return argument > value;
    case "SCMP_CMP_MASKED_EQ":
      return (argument & mask) === value;
    default:
      return op satisfies never;
  }
}

/**
 * What a filter says of `connect` must hold for socketcall(SYS_CONNECT) too. Arguments are behind a pointer there, so of
 * several possible answers the strictest is given.
 */
function throughMultiplexer({ members, mask }: Multiplexer, decide: (name: string) => Decision): readonly Case[] {
  return [...members].flatMap(([name, value]): readonly Case[] => {
    const { cases, otherwise, rule } = decide(name);
    // Of equals the first: a rule rather than the default.
    const [strictest] = cases.toSorted((a, b) => strictness(b.answer) - strictness(a.answer));
    const isDefault =
      rule === undefined && (strictest === undefined || strictness(otherwise) >= strictness(strictest.answer));
    if (isDefault) return [];
    const said = strictest ?? { answer: otherwise, rule: rule ?? 0 };
    const when = [{ index: 0, op: "SCMP_CMP_MASKED_EQ" as const, value: BigInt(value), mask }];
    return [{ when, answer: said.answer, rule: said.rule }];
  });
}

// From the mildest to the strictest, the order of seccomp(2); an errno is none of the caller's own.
const BY_STRICTNESS = [0x7fff, 0x7ffc, 0x7ff0, 0x7fc0, 0x0005, 0x0003, 0x0000, 0x8000];

function strictness(answer: Answer): number {
  return BY_STRICTNESS.indexOf(answer >>> 16);
}

/** Throws for an action of which the kernel has no equal. */
export function answerOf(action: SeccompAction, errnoRet: number = EPERM): Answer {
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
      return 0x7fc00000;
    default:
      throw new CtrError("internal", `unknown seccomp action ${action satisfies never}`);
  }
}
