/**
 * The default profile compiled when ctr is built, for the two capability sets nearly every container has, so that a
 * start loads neither tables nor compiler. build.ts embeds the text: one line
 * `<arch> <those held> <those that matter> <base64>` each.
 */
import { compileSeccomp } from "./compile.ts";
import type { Native } from "./numbers.ts";
import { defaultProfile, PROFILE_CAPABILITIES } from "./profile.ts";
import { resolveProfile } from "./resolve.ts";

/** Capabilities of the profile that the precompiled programs are for: Docker's default has only this one; or none. */
const SETS = [["CAP_SYS_CHROOT"], []];
const NATIVES: readonly Native[] = ["x64", "arm64"];
// The profile asks only for 4.8, and ctr needs a newer kernel anyway (docs/security.md).
const KERNEL = "5.8";

/** The text that `build/seccomp-default.b64` holds; internal/security/seccomp.ts reads it. */
export function defaultPrograms(): string {
  const lines = NATIVES.flatMap((native) =>
    SETS.map((capabilities) => {
      const seccomp = resolveProfile(defaultProfile(), { native, capabilities, kernel: KERNEL });
      const relevant = PROFILE_CAPABILITIES.join(",");
      return `${native} ${capabilities.join(",")} ${relevant} ${compileSeccomp(seccomp, native).toBase64()}`;
    }),
  );
  return `${lines.join("\n")}\n`;
}

/** Writes that text; for build.ts, before it bundles. */
export async function writeDefaultPrograms(path: string): Promise<void> {
  await Bun.write(path, defaultPrograms());
}
