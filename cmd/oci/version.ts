/** What `--version` says; dockerd and podman read these lines. */

import { SPEC_VERSION } from "../../internal/oci/spec-version.ts";
import { COMMIT, VERSION } from "../../internal/sys/build-stamp.ts";

/** The lines of `runc --version`, in its order. */
export function versionText(): string {
  return `ctr-oci version ${VERSION}\ncommit: ${COMMIT}\nspec: ${SPEC_VERSION}\n`;
}
