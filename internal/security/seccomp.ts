/**
 * The filter of a process. How it crosses to init: `linux.seccomp` holds any filter but the default one, which is named by
 * the annotation `ctr.seccomp=default` instead, because four hundred names in every start would cost more than the rest
 * of the spec together. For the usual capability sets its program was compiled when ctr was built.
 */
import defaultPrograms from "../../build/seccomp-default.b64" with { type: "text" };
import { CtrError } from "../errors/error.ts";
import type { Seccomp, Spec } from "../spec/runtime.ts";
import { readText } from "../sys/file.ts";
import { compileSeccomp } from "./seccomp/compile.ts";
import type { Native } from "./seccomp/numbers.ts";
import { defaultProfile, PROFILE_CAPABILITIES } from "./seccomp/profile.ts";
import { resolveProfile } from "./seccomp/resolve.ts";

/** The annotation that names a filter which ctr carries itself. */
export const SECCOMP_ANNOTATION = "ctr.seccomp";
const DEFAULT = "default";

/** The annotations of a container with the default filter. */
export const DEFAULT_SECCOMP: { readonly [name: string]: string } = { [SECCOMP_ANNOTATION]: DEFAULT };

/**
 * The BPF program (struct sock_filter[]) of a container's processes, or undefined for one without a filter. Throws for a
 * filter that cannot be enforced: the start ends there.
 */
export function seccompProgram(spec: Spec): Uint8Array | undefined {
  const seccomp = spec.linux?.seccomp;
  if (seccomp !== undefined) return compileSeccomp(seccomp, native());
  const name = spec.annotations?.[SECCOMP_ANNOTATION];
  if (name === undefined) return undefined;
  if (name !== DEFAULT) throw new CtrError("invalid", `no seccomp filter is called ${JSON.stringify(name)}`);
  return defaultSeccompProgram(spec.process.capabilities?.bounding ?? []);
}

/** The default filter for a bounding set. */
export function defaultSeccompProgram(capabilities: readonly string[]): Uint8Array {
  const relevant = PROFILE_CAPABILITIES.filter((name) => capabilities.includes(name));
  const key = `${native()} ${relevant.join(",")} `;
  const line = defaultPrograms.split("\n").find((candidate) => candidate.startsWith(key));
  if (line !== undefined) return Uint8Array.fromBase64(line.slice(key.length));
  return compileSeccomp(defaultSeccomp(relevant), native());
}

/** The default filter as OCI has it, for a bundle that is written for other runtimes. */
export function defaultSeccomp(capabilities: readonly string[]): Seccomp {
  const kernel = readText("/proc/sys/kernel/osrelease").trim();
  return resolveProfile(defaultProfile(), { native: native(), capabilities, kernel });
}

// linux/seccomp.h, SECCOMP_FILTER_FLAG_…
const FLAGS: { readonly [name: string]: number } = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 32,
};

/** seccomp(2)'s flags for a filter. Throws `invalid` for one nobody knows. */
export function seccompFlags(seccomp: Seccomp | undefined): number {
  let flags = 0;
  for (const name of seccomp?.flags ?? []) {
    const bit = FLAGS[name];
    if (bit === undefined) throw new CtrError("invalid", `unknown seccomp flag ${name}`);
    flags |= bit;
  }
  return flags;
}

function native(): Native {
  const { arch } = process;
  if (arch !== "x64" && arch !== "arm64") throw new CtrError("unsupported", `no seccomp tables for ${arch}`);
  return arch;
}
