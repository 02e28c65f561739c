/** What a profile answers to a system call, for which arguments and by which rule: `ctr seccomp explain`. */
import { CtrError, errnoName, errnoText } from "../../errors/error.ts";
import type { Seccomp } from "../../spec/runtime.ts";
import { abisOf } from "./compile.ts";
import {
  type Answer,
  type Case,
  type Comparison,
  type Decision,
  type Decisions,
  decisionsOf,
  holds,
  MISSING,
  RET_KILL_PROCESS,
  unnamedAnswer,
} from "./decisions.ts";
import { multiplexers } from "./multiplexed.ts";
import { ABIS, type Abi, NATIVE_ABI, type Native, X32_BIT } from "./numbers.ts";
import type { Profile, RuleFilter } from "./profile.ts";
import { countingRules, type ProfileContext, resolveProfile } from "./resolve.ts";

/** Words for an architecture, the first of which is shown. */
const ARCHITECTURES: readonly (readonly [name: Abi["name"], native: Native, words: readonly string[]])[] = [
  ["SCMP_ARCH_X86_64", "x64", ["x86_64", "amd64", "x64"]],
  ["SCMP_ARCH_X32", "x64", ["x32"]],
  ["SCMP_ARCH_X86", "x64", ["x86", "i386", "386"]],
  ["SCMP_ARCH_AARCH64", "arm64", ["aarch64", "arm64"]],
  ["SCMP_ARCH_ARM", "arm64", ["arm"]],
];

export const ARCHITECTURE_WORDS: readonly string[] = ARCHITECTURES.flatMap(([, , words]) => words);

/** One that a profile is asked about. */
export interface Target {
  readonly abi: Abi;
  /** The kernel's architecture, which decides what of a profile counts. */
  readonly native: Native;
  /** As it is shown: `x86_64`. */
  readonly word: string;
}

/** The architecture of this word, or the kernel's own. Throws `invalid`. */
export function targetOf(word: string | undefined, native: Native): Target {
  const wanted = word?.toLowerCase();
  const row = ARCHITECTURES.find(([name, , words]) =>
    wanted === undefined ? name === NATIVE_ABI[native] : words.includes(wanted) || name.toLowerCase() === wanted,
  );
  const abi = ABIS.find(({ name }) => name === row?.[0]);
  if (row === undefined || abi === undefined) {
    throw new CtrError("invalid", `unknown architecture ${word}: one of ${ARCHITECTURE_WORDS.join(", ")}`);
  }
  return { abi, native: row[1], word: row[2][0] ?? "" };
}

/** One answer, the arguments it is for (none: all that are left), and why. */
export interface Line {
  readonly answer: string;
  readonly when?: string;
  readonly why: string;
}

export interface Explanation {
  /** `socket`, or the number if it has no name. */
  readonly call: string;
  readonly number: number;
  readonly lines: readonly Line[];
  /** Its number as it is shown: x32's without the bit. */
  readonly shown: string;
  /** Rules about the call that do not count for this container, and other ways to it. */
  readonly notes: readonly string[];
}

/**
 * What `profile` (none: there is no filter) answers to a call, by name or number; with arguments, to that very call.
 * Throws `invalid` for a call that the architecture does not have.
 */
export function explain(
  profile: Profile | undefined,
  context: Omit<ProfileContext, "native">,
  { abi, native, word }: Target,
  call: string,
  args?: readonly bigint[],
): Explanation {
  const numbers = abi.numbers();
  const number = numberOf(call, numbers, word);
  const name = [...numbers].find(([, candidate]) => candidate === number)?.[0] ?? `${number}`;
  const told = (lines: readonly Line[], notes: readonly string[] = []) => ({
    call: name,
    number,
    shown: shownNumber(number),
    lines,
    notes,
  });
  if (profile === undefined) return told([{ answer: answerText(0x7fff0000), why: "there is no filter" }]);
  const whole = { ...context, native };
  const seccomp = resolveProfile(profile, whole);
  if (!abisOf(seccomp, native).includes(abi)) return told([otherArchitecture(abi)]);
  const places = countingRules(profile, whole);
  const ruleName = (rule: number) => `syscalls[${places[rule]}]`;
  const decisions = decisionsOf(seccomp, abi);
  const notes = [...otherWays(decisions, abi, name, ruleName), ...notCounting(profile, places, name, whole)];
  const decision = decisions.calls.get(number);
  if (decision === undefined) return told([unnamed(decisions, abi, number, seccomp)], notes);
  if (args !== undefined) return told([forArguments(decision, args, abi, ruleName)], notes);
  return told([...grouped(decision.cases, ruleName), otherwise(decision, ruleName)], notes);
}

function numberOf(call: string, numbers: ReadonlyMap<string, number>, word: string): number {
  const named = numbers.get(call);
  if (named !== undefined) return named;
  if (/^(\d+|0x[0-9a-f]+)$/i.test(call) && Number(call) < 2 ** 32) return Number(call);
  const others = ABIS.filter((abi) => abi.numbers().has(call));
  if (others.length === 0) throw new CtrError("invalid", `unknown system call ${JSON.stringify(call)}`);
  const words = ARCHITECTURES.filter(([name]) => others.some((abi) => abi.name === name)).map(([, , [first]]) => first);
  throw new CtrError(
    "invalid",
    `${word} has no system call ${call}: ${words.join(", ")} ${words.length > 1 ? "have" : "has"} it`,
  );
}

function otherArchitecture(abi: Abi): Line {
  const why = `the profile does not name ${abi.name}`;
  // Its calls come under x86-64's name, with numbers that has not.
  if (abi.name === "SCMP_ARCH_X32") return { answer: answerText(MISSING), why };
  return { answer: answerText(RET_KILL_PROCESS), why };
}

function unnamed(decisions: Decisions, abi: Abi, number: number, seccomp: Seccomp): Line {
  const answer = unnamedAnswer(decisions, abi, number);
  const isNewer = answer === MISSING && decisions.lastKnown !== undefined && number > decisions.lastKnown;
  const why = isNewer
    ? `newer than every call the profile names (the last is ${shownNumber(decisions.lastKnown ?? 0)})`
    : `no rule is about it: ${seccomp.defaultAction} is the default`;
  return { answer: answerText(answer), why };
}

function shownNumber(number: number): string {
  return number >= X32_BIT ? `x32 ${number - X32_BIT}` : `${number}`;
}

function forArguments(
  { cases, otherwise: last, rule }: Decision,
  args: readonly bigint[],
  abi: Abi,
  ruleName: (rule: number) => string,
): Line {
  const given = (index: number) => BigInt.asUintN(abi.isNarrow ? 32 : 64, args[index] ?? 0n);
  const found = cases.find(({ when }) => when.every((comparison) => holds(comparison, given(comparison.index))));
  if (found !== undefined) {
    return { answer: answerText(found.answer), why: `${ruleName(found.rule)}: ${conditionText(found.when)}` };
  }
  return { answer: answerText(last), why: rule === undefined ? defaultReason(cases) : ruleName(rule) };
}

function otherwise({ cases, otherwise: answer, rule }: Decision, ruleName: (rule: number) => string): Line {
  const when = cases.length > 0 ? "otherwise" : undefined;
  const why = rule === undefined ? defaultReason(cases) : ruleName(rule);
  return { answer: answerText(answer), ...(when === undefined ? {} : { when }), why };
}

function defaultReason(cases: readonly Case[]): string {
  return cases.length > 0 ? "the default: no rule about it holds" : "the default: its rules say no other";
}

/** Rules that follow each other and give one answer for single values of one argument are one line. */
function grouped(cases: readonly Case[], ruleName: (rule: number) => string): readonly Line[] {
  const lines: Line[] = [];
  for (let at = 0; at < cases.length; ) {
    const first = cases[at];
    if (first === undefined) break;
    let end = at + 1;
    while (isOneValue(first) && continues(first, cases[end])) end++;
    const group = cases.slice(at, end);
    const values = group.map(({ when: [comparison] }) => valueText(comparison?.value ?? 0n)).join(", ");
    const last = group.at(-1) ?? first;
    lines.push({
      answer: answerText(first.answer),
      when: group.length > 1 ? `arg${first.when[0]?.index} is one of ${values}` : conditionText(first.when),
      why: first.rule === last.rule ? ruleName(first.rule) : `${ruleName(first.rule)} to ${ruleName(last.rule)}`,
    });
    at = end;
  }
  return lines;
}

function isOneValue({ when }: Case): boolean {
  return when.length === 1 && when[0]?.op === "SCMP_CMP_EQ";
}

function continues(first: Case, next: Case | undefined): boolean {
  return (
    next !== undefined &&
    isOneValue(next) &&
    next.answer === first.answer &&
    next.when[0]?.index === first.when[0]?.index
  );
}

const SIGNS = {
  SCMP_CMP_NE: "is not",
  SCMP_CMP_LT: "<",
  SCMP_CMP_LE: "<=",
  SCMP_CMP_EQ: "is",
  SCMP_CMP_GE: ">=",
  SCMP_CMP_GT: ">",
} as const;

function conditionText(when: readonly Comparison[]): string {
  return when
    .map(({ index, op, value, mask }) =>
      op === "SCMP_CMP_MASKED_EQ"
        ? `arg${index} & ${valueText(mask)} is ${valueText(value)}`
        : `arg${index} ${SIGNS[op]} ${valueText(value)}`,
    )
    .join(" and ");
}

/** Small numbers as people write them, masks and flags as the kernel's headers do. */
function valueText(value: bigint): string {
  return value < 1024n ? `${value}` : `0x${value.toString(16)}`;
}

/** What a program sees of an answer. */
function answerText(answer: Answer): string {
  const code = answer & 0xffff;
  switch (answer >>> 16) {
    case 0x7fff:
      return "allowed";
    case 0x7ffc:
      return "allowed, and logged";
    case 0x7ff0:
      return `asked of the tracer with ${code}, missing (ENOSYS) without one`;
    case 0x7fc0:
      return "asked of the profile's agent";
    case 0x0005:
      return code === 0 ? "not done, and told as done (errno 0)" : `${errnoName(code)} (${errnoText(code)})`;
    case 0x0003:
      return "refused with SIGSYS, which can be caught";
    case 0x0000:
      return "ends the thread";
    default:
      return "ends the process";
  }
}

/** On i386 some calls can be made through another, which is answered for itself. */
function otherWays(
  decisions: Decisions,
  abi: Abi,
  name: string,
  ruleName: (rule: number) => string,
): readonly string[] {
  return multiplexers(abi).flatMap(({ name: other, members }) => {
    const value = members.get(name);
    const number = abi.numbers().get(other);
    if (value === undefined || number === undefined) return [];
    const decision = decisions.calls.get(number) ?? { cases: [], otherwise: decisions.default };
    const { answer, why } = forArguments(decision, [BigInt(value)], abi, ruleName);
    return [`the same through ${other} with arg0 ${value}: ${answer} (${why})`];
  });
}

/** Rules that name the call and do not count here, each with what it would take. */
function notCounting(
  profile: Profile,
  counting: readonly number[],
  name: string,
  context: ProfileContext,
): readonly string[] {
  return profile.syscalls.flatMap(({ names, action, includes, excludes }, at) => {
    if (!names.includes(name) || counting.includes(at)) return [];
    const reasons = [...missing(includes, context), ...present(excludes, context)];
    return [`syscalls[${at}] (${action}) does not count here: ${reasons.join(", ")}`];
  });
}

function missing({ caps = [], arches = [], minKernel }: RuleFilter = {}, context: ProfileContext): readonly string[] {
  const lacking = caps.filter((name) => !context.capabilities.includes(name));
  return [
    ...(lacking.length === 0 ? [] : [`it needs ${lacking.join(" and ")}`]),
    ...(arches.length === 0 ? [] : [`it is for ${arches.join(", ")}`]),
    ...(minKernel === undefined ? [] : [`it is for kernel ${minKernel} and newer`]),
  ];
}

function present({ caps = [], arches = [], minKernel }: RuleFilter = {}, context: ProfileContext): readonly string[] {
  const held = caps.filter((name) => context.capabilities.includes(name));
  return [
    ...(held.length === 0 ? [] : [`it is not for containers with ${held.join(" or ")}`]),
    ...(arches.length === 0 ? [] : [`it is not for ${arches.join(", ")}`]),
    ...(minKernel === undefined ? [] : [`it is not for kernel ${minKernel} and newer`]),
  ];
}
