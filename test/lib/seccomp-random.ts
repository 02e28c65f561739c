/** Seeded random filters, calls that are likely to meet their borders, and the plain reading of a filter. */
import type { Abi } from "../../internal/security/seccomp/numbers.ts";
import type { Seccomp, SeccompAction, SeccompArg, SeccompSyscall } from "../../internal/spec/runtime.ts";

const OPERATORS = [
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
] as const;

const VALUES = [
  0n,
  1n,
  2n,
  8n,
  40n,
  0x7e020000n,
  0x80000000n,
  0xffffffffn,
  1n << 32n,
  (1n << 32n) + 2n,
  (1n << 40n) + 7n,
  (1n << 63n) + 5n,
  (1n << 64n) - 2n,
  (1n << 64n) - 1n,
];

const ACTIONS: readonly SeccompAction[] = [
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_LOG",
  "SCMP_ACT_NOTIFY",
];

export interface RandomOptions {
  /** No two rules about one call whose conditions could both hold with different answers. */
  readonly isUnambiguous?: boolean;
  readonly architectures?: readonly string[];
}

/** A filter over a few of these names, so that rules meet. */
export function randomFilter(
  random: (bound: number) => number,
  names: readonly string[],
  { isUnambiguous = false, architectures }: RandomOptions = {},
): Seccomp {
  const pick = <T>(list: readonly [T, ...T[]] | readonly T[]): T => list[random(list.length)] as T;
  const few = Array.from({ length: 3 + random(12) }, () => pick(names));
  const action = isUnambiguous ? pick(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"] as const) : undefined;
  const errnoRet = 1 + random(30);
  const argument = (index: number): SeccompArg => {
    const op = pick(OPERATORS);
    const value = pick(VALUES);
    const small = Number(value);
    return {
      index,
      op,
      value: Number.isSafeInteger(small) && random(2) === 0 ? small : value,
      ...(op === "SCMP_CMP_MASKED_EQ" ? { valueTwo: pick([...VALUES, value]) } : {}),
    };
  };
  const rule = (): SeccompSyscall => {
    const count = pick([0, 1, 1, 1, 2, 3]);
    const isRepeated = random(4) === 0;
    const args = Array.from({ length: count }, (_, at) => argument(isRepeated ? random(2) : at));
    return {
      names: Array.from({ length: 1 + random(3) }, () => pick(few)),
      action: action ?? pick(ACTIONS),
      ...(action === undefined && random(3) === 0 ? {} : { errnoRet }),
      ...(args.length === 0 ? {} : { args }),
    };
  };
  const others = ACTIONS.filter((candidate) => candidate !== "SCMP_ACT_NOTIFY" && candidate !== action);
  return {
    defaultAction: pick(isUnambiguous ? others : ACTIONS.slice(0, 8)),
    ...(random(3) === 0 ? {} : { defaultErrnoRet: isUnambiguous ? 99 : 1 + random(40) }),
    ...(architectures === undefined ? {} : { architectures }),
    syscalls: Array.from({ length: 1 + random(24) }, rule),
  };
}

/** Arguments at and around the values that conditions compare with, and anything. */
export function randomArguments(random: (bound: number) => number): bigint[] {
  return Array.from({ length: 6 }, () => {
    if (random(6) === 0) return BigInt(random(2 ** 32)) * BigInt(1 + random(2 ** 32));
    const value = VALUES[random(VALUES.length)] ?? 0n;
    return BigInt.asUintN(64, value + BigInt(random(3) - 1));
  });
}

const ALL = 2n ** 64n - 1n;
const LOW = 2n ** 32n - 1n;

/** What a filter says about a call, read from its text rule by rule as runc and libseccomp do; `undefined` is the default. */
function plainAnswer(
  seccomp: Seccomp,
  abi: Abi,
  name: string | undefined,
  args: readonly bigint[],
): SeccompSyscall | undefined {
  if (name === undefined) return undefined;
  const rules = (seccomp.syscalls ?? []).filter((rule) => rule.names.includes(name) && !saysNothing(seccomp, rule));
  const always = rules.find((rule) => conditions(rule).some((all) => all.every((arg) => isVoid(arg, abi))));
  if (always !== undefined) return always;
  return rules.find((rule) =>
    conditions(rule).some((all) => all.every((arg) => holds(arg, abi, args[arg.index] ?? 0n))),
  );
}

function saysNothing(seccomp: Seccomp, rule: SeccompSyscall): boolean {
  return plainValue(rule.action, rule.errnoRet) === plainValue(seccomp.defaultAction, seccomp.defaultErrnoRet);
}

/** Conditions that name one argument twice are alternatives. */
function conditions({ args = [] }: SeccompSyscall): readonly (readonly SeccompArg[])[] {
  const indexes = args.map(({ index }) => index);
  return indexes.length === new Set(indexes).size ? [args] : args.map((arg) => [arg]);
}

/** True whatever the argument is: what compares with the ends of its range says so at both, and anything in between. */
function isVoid(arg: SeccompArg, abi: Abi): boolean {
  if (arg.op === "SCMP_CMP_MASKED_EQ") return BigInt.asUintN(abi.isNarrow ? 32 : 64, BigInt(arg.value)) === 0n;
  const value = BigInt(arg.value);
  const around = [0n, value - 1n, value, value + 1n, ALL].map((given) => BigInt.asUintN(64, given));
  return around.every((given) => holds(arg, abi, given));
}

function holds({ op, value, valueTwo }: SeccompArg, abi: Abi, given: bigint): boolean {
  const argument = abi.isNarrow ? given & LOW : given;
  let wanted = BigInt(value);
  if (op === "SCMP_CMP_MASKED_EQ") {
    const mask = abi.isNarrow ? wanted & LOW : wanted;
    return (argument & mask) === (BigInt(valueTwo ?? 0) & mask);
  }
  if (abi.isNarrow && wanted >> 32n === LOW) wanted &= LOW;
  if (op === "SCMP_CMP_NE") return argument !== wanted;
  if (op === "SCMP_CMP_EQ") return argument === wanted;
  if (op === "SCMP_CMP_LT") return argument < wanted;
  if (op === "SCMP_CMP_LE") return argument <= wanted;
  return op === "SCMP_CMP_GT" ? argument > wanted : argument >= wanted;
}

const VALUE_OF: { readonly [action in SeccompAction]: number } = {
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_TRAP: 0x30000,
  SCMP_ACT_ERRNO: 0x50000,
  SCMP_ACT_NOTIFY: 0x7fc00000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};

/** The value that stands for an action (linux/seccomp.h). */
export function plainValue(action: SeccompAction, errnoRet = 1): number {
  return VALUE_OF[action] + (action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE" ? errnoRet : 0);
}

const ENOSYS = 0x50026;

/** The value that a filter gives for each call of an architecture, read without any cleverness. */
export function plainReader(seccomp: Seccomp, abi: Abi): (nr: number, args: readonly bigint[]) => number {
  const numbers = abi.numbers();
  const names = new Map([...numbers].map(([name, number]) => [number, name]));
  const named = new Set((seccomp.syscalls ?? []).flatMap((rule) => rule.names));
  const isPrivate = (nr: number) => abi.name === "SCMP_ARCH_ARM" && nr > 0xf0000 && nr <= 0xf0006;
  const known = [...named].map((name) => numbers.get(name) ?? -1).filter((number) => !isPrivate(number));
  const last = Math.max(-1, ...known);
  const isLenient = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].includes(seccomp.defaultAction);
  return (nr, args) => {
    const name = names.get(nr);
    const rule = plainAnswer(seccomp, abi, name, args);
    if (rule !== undefined) return plainValue(rule.action, rule.errnoRet);
    const isNamed = name !== undefined && named.has(name);
    if (!isNamed && !isLenient && last >= 0 && nr > last && !isPrivate(nr)) return ENOSYS;
    return plainValue(seccomp.defaultAction, seccomp.defaultErrnoRet);
  };
}
