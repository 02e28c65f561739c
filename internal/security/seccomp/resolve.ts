/** A profile in Docker's form, for one container: conditions are decided, and an OCI filter is left. */
import { CtrError } from "../../errors/error.ts";
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

/** The OCI filter of a profile. Throws `invalid` for a profile that contradicts itself. */
export function resolveProfile(profile: Profile, context: ProfileContext): Seccomp {
  if ((profile.architectures?.length ?? 0) > 0 && (profile.archMap?.length ?? 0) > 0) {
    throw new CtrError("invalid", "the seccomp profile has both architectures and archMap");
  }
  const row = profile.archMap?.find(({ architecture }) => architecture === NATIVE_ABI[context.native]);
  const architectures = row === undefined ? profile.architectures : [row.architecture, ...(row.subArchitectures ?? [])];
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(architectures === undefined ? {} : { architectures }),
    ...(profile.flags === undefined ? {} : { flags: profile.flags }),
    syscalls: profile.syscalls
      .filter(({ includes, excludes }) => isIncluded(includes, context) && !isExcluded(excludes, context))
      .map(({ names, action, errnoRet, args }) => ({
        names,
        action,
        ...(errnoRet === undefined ? {} : { errnoRet }),
        ...(args === undefined ? {} : { args }),
      })),
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
