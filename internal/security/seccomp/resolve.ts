/** A profile in Docker's form, for one container: conditions are decided, and an OCI filter is left. */
import type { Seccomp } from "../../spec/runtime.ts";
import { NATIVE_ABI, type Native } from "./numbers.ts";
import type { Profile, RuleFilter } from "./profile.ts";

/** What a profile's conditions are about. */
export interface ProfileContext {
  readonly native: Native;
  /** The bounding set. */
  readonly capabilities: readonly string[];
  /** As in uname(2): `6.1.0-18-amd64`. */
  readonly kernel: string;
}

const GO_ARCH: { readonly [arch in Native]: string } = { x64: "amd64", arm64: "arm64" };

/** The OCI filter of a profile: its rules that count for this container. */
export function resolveProfile(profile: Profile, context: ProfileContext): Seccomp {
  return filterOf(profile, countingRules(profile, context), context);
}

/** The places in `syscalls` of the rules that count, so that an explanation can name them as the file has them. */
export function countingRules(profile: Profile, context: ProfileContext): readonly number[] {
  return [...profile.syscalls.keys()].filter((at) => {
    const { includes, excludes } = profile.syscalls[at] ?? {};
    return isIncluded(includes, context) && !isExcluded(excludes, context);
  });
}

function filterOf(profile: Profile, counting: readonly number[], context: ProfileContext): Seccomp {
  const { archMap: _, syscalls, ...rest } = profile;
  const row = profile.archMap?.find(({ architecture }) => architecture === NATIVE_ABI[context.native]);
  const architectures = row === undefined ? profile.architectures : [row.architecture, ...(row.subArchitectures ?? [])];
  return {
    ...rest,
    ...(architectures === undefined ? {} : { architectures }),
    syscalls: counting.flatMap((at) => {
      const rule = syscalls[at];
      if (rule === undefined) return [];
      const { includes: _includes, excludes: _excludes, ...plain } = rule;
      return [plain];
    }),
  };
}

/** Docker's reading: every capability named must be there, one architecture must fit. */
function isIncluded(filter: RuleFilter | undefined, context: ProfileContext): boolean {
  const { caps = [], arches = [], minKernel } = filter ?? {};
  if (!caps.every((name) => context.capabilities.includes(name))) return false;
  if (arches.length > 0 && !arches.includes(GO_ARCH[context.native])) return false;
  return minKernel === undefined || isAtLeast(context.kernel, minKernel);
}

function isExcluded(filter: RuleFilter | undefined, context: ProfileContext): boolean {
  const { caps = [], arches = [], minKernel } = filter ?? {};
  if (caps.some((name) => context.capabilities.includes(name))) return true;
  if (arches.includes(GO_ARCH[context.native])) return true;
  return minKernel !== undefined && isAtLeast(context.kernel, minKernel);
}

function isAtLeast(kernel: string, least: string): boolean {
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  const [leastMajor = 0, leastMinor = 0] = least.split(".").map(Number);
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}
