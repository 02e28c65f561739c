/** Filters that were not compiled when ctr was built: other capability sets, profiles of the user's. */
import { CtrError } from "../../errors/error.ts";
import type { Seccomp } from "../../spec/runtime.ts";
import { readText } from "../../sys/file.ts";
import { compileSeccomp } from "./compile.ts";
import { parseProfile } from "./parse-profile.ts";
import { defaultProfile, PROFILE_CAPABILITIES } from "./profile.ts";
import { resolveProfile } from "./resolve.ts";

export { compileSeccomp };

/** The default filter's program for a bounding set. */
export function compileDefault(bounding: readonly string[]): Uint8Array {
  return compileSeccomp(defaultSeccomp(PROFILE_CAPABILITIES.filter((name) => bounding.includes(name))), architecture());
}

/** The program of a profile in Docker's form. Throws `invalid` for one that does not parse or cannot be enforced. */
export function compileProfile(text: string, bounding: readonly string[]): Uint8Array {
  const kernel = readText("/proc/sys/kernel/osrelease").trim();
  const profile = parseProfile(text);
  if ((profile.flags ?? []).length > 0) {
    throw new CtrError("unsupported", `seccomp profile: flags (${profile.flags?.join(", ")}) are not supported`);
  }
  const native = architecture();
  return compileSeccomp(resolveProfile(profile, { native, capabilities: bounding, kernel }), native);
}

/** The default filter as OCI has it, for a bundle that is written for other runtimes. */
export function defaultSeccomp(capabilities: readonly string[]): Seccomp {
  const kernel = readText("/proc/sys/kernel/osrelease").trim();
  return resolveProfile(defaultProfile(), { native: architecture(), capabilities, kernel });
}

function architecture(): "x64" | "arm64" {
  const { arch } = process;
  if (arch !== "x64" && arch !== "arm64") throw new CtrError("unsupported", `no seccomp tables for ${arch}`);
  return arch;
}
