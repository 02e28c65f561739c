/** How a filter is named in a runtime-spec's annotations; seccomp.ts makes it. */

/** The annotation that names a filter which ctr carries itself. */
export const SECCOMP_ANNOTATION = "ctr.seccomp";
export const DEFAULT = "default";

/** The annotations of a container with the default filter. */
export const DEFAULT_SECCOMP: { readonly [name: string]: string } = { [SECCOMP_ANNOTATION]: DEFAULT };

/** The annotations of a container with a profile of the user's: the text of a JSON object. */
export function profileSeccomp(profile: string): { readonly [name: string]: string } {
  return { [SECCOMP_ANNOTATION]: profile };
}
