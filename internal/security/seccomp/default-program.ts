/**
 * The default profile compiled when ctr is built, for the capability sets that most containers have, so that a
 * start loads neither tables nor compiler. build.ts embeds the text: one line
 * `<arch> <those held> <those that matter> <base64>` each.
 */
import { compileSeccomp } from "./compile.ts";
import type { Native } from "./numbers.ts";
import { defaultProfile, PROFILE_CAPABILITIES } from "./profile.ts";
import { resolveProfile } from "./resolve.ts";

/**
 * Capabilities of the profile that the precompiled programs are for: Docker's default has only this one; or none, one of
 * those that people add most, or all.
 */
const USUAL = "CAP_SYS_CHROOT";
const SETS: readonly (readonly string[])[] = [
  [USUAL],
  [],
  [USUAL, "CAP_SYS_ADMIN"],
  [USUAL, "CAP_SYS_PTRACE"],
  [USUAL, "CAP_SYS_NICE"],
  PROFILE_CAPABILITIES,
].map((set) => PROFILE_CAPABILITIES.filter((name) => set.includes(name)));
// The profile asks only for 4.8, and ctr needs a newer kernel anyway (docs/security.md).
const KERNEL = "5.8";

/** The text that `build/seccomp-default.b64` holds; internal/security/seccomp.ts reads it. */
function defaultPrograms(native: Native): string {
  const relevant = PROFILE_CAPABILITIES.join(",");
  const lines = SETS.map((capabilities) => {
    const seccomp = resolveProfile(defaultProfile(), { native, capabilities, kernel: KERNEL });
    return `${native} ${capabilities.join(",")} ${relevant} ${compileSeccomp(seccomp, native).toBase64()}`;
  });
  return `${lines.join("\n")}\n`;
}

/** Writes that text for the machine that builds, whose C compiler makes the rest of ctr; for build.ts, before it bundles. */
export async function writeDefaultPrograms(path: string): Promise<void> {
  await Bun.write(path, defaultPrograms(process.arch === "arm64" ? "arm64" : "x64"));
}
