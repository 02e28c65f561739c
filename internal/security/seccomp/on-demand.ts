/** Filters that were not compiled when ctr was built: other capability sets, profiles of the user's. */
import { CtrError } from "../../errors/error.ts";
import type { Seccomp } from "../../spec/runtime.ts";
import { readText } from "../../sys/file.ts";
import { compileSeccomp } from "./compile.ts";
import type { Native } from "./numbers.ts";
import { parseProfile } from "./parse-profile.ts";
import { defaultProfile, type Profile } from "./profile.ts";
import { type ProfileContext, resolveProfile } from "./resolve.ts";

/** The default filter as OCI has it. */
export function defaultSeccomp(bounding: readonly string[]): Seccomp {
  return resolveProfile(defaultProfile(), contextHere(bounding));
}

/** The filter of a profile in Docker's form. Throws `invalid` for one that does not parse. */
export function profileSeccomp(text: string, bounding: readonly string[]): Seccomp {
  return resolveProfile(parseProfile(text), contextHere(bounding));
}

/** The program of a filter. Throws `invalid` or `unsupported` for what cannot be enforced. */
export function compileHere(seccomp: Seccomp): Uint8Array {
  return compileSeccomp(seccomp, native());
}

/** A profile by its name: a file, `builtin`, or `unconfined`, which is none. Throws for a file that is no profile. */
export function readProfile(name: string): Profile | undefined {
  if (name === "unconfined") return undefined;
  return name === "builtin" ? defaultProfile() : parseProfile(readText(name));
}

/** A container with these capabilities on this machine. */
export function contextHere(capabilities: readonly string[]): ProfileContext {
  return { native: native(), capabilities, kernel: readText("/proc/sys/kernel/osrelease").trim() };
}

/** The architecture as this project names it. */
function native(): Native {
  const { arch } = process;
  if (arch !== "x64" && arch !== "arm64") throw new CtrError("unsupported", `no seccomp tables for ${arch}`);
  return arch;
}
