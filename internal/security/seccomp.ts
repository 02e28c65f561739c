/**
 * The filter of a process. How it crosses to init: `linux.seccomp` holds any filter but the default one, which is named by
 * the annotation `ctr.seccomp=default` instead, because four hundred names in every start would cost more than the rest
 * of the spec together. For the usual capability sets its program was compiled when ctr was built. A profile of the
 * user's in Docker's form is the annotation's value itself: what its conditions mean is decided where the filter is made.
 */
import defaultPrograms from "../../build/seccomp-default.b64" with { type: "text" };
import { CtrError } from "../errors/error.ts";
import type { Seccomp, Spec } from "../spec/runtime.ts";
import { DEFAULT, SECCOMP_ANNOTATION } from "./seccomp-annotation.ts";

/**
 * The BPF program (struct sock_filter[]) of a container's processes, or undefined for one without a filter. Throws for a
 * filter that cannot be enforced: the start ends there. The compiler is loaded only for what was not compiled before.
 */
export async function seccompProgram(
  spec: Pick<Spec, "annotations" | "linux" | "process">,
): Promise<Uint8Array | undefined> {
  const seccomp = spec.linux?.seccomp;
  const name = spec.annotations?.[SECCOMP_ANNOTATION];
  if (seccomp === undefined && name === undefined) return undefined;
  const bounding = spec.process.capabilities?.bounding ?? [];
  if (seccomp === undefined && name !== undefined && name !== DEFAULT) {
    const { compileProfile } = await import("./seccomp/on-demand.ts");
    return compileProfile(name, bounding);
  }
  const compiled = seccomp === undefined ? precompiled(bounding) : undefined;
  if (compiled !== undefined) return compiled;
  const { compileDefault, compileSeccomp } = await import("./seccomp/on-demand.ts");
  return seccomp === undefined ? compileDefault(bounding) : compileSeccomp(seccomp, native());
}

/** Each line is an architecture, the capabilities that matter to the profile, and the program (default-program.ts). */
function precompiled(bounding: readonly string[]): Uint8Array | undefined {
  for (const line of defaultPrograms.split("\n")) {
    const [architecture, capabilities = "", relevant = "", program = ""] = line.split(" ");
    if (architecture !== native()) continue;
    const held = relevant.split(",").filter((name) => bounding.includes(name));
    if (held.join(",") === capabilities) return Uint8Array.fromBase64(program);
  }
  return undefined;
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

/** The architecture as this project names it. */
function native(): "x64" | "arm64" {
  const { arch } = process;
  if (arch !== "x64" && arch !== "arm64") throw new CtrError("unsupported", `no seccomp tables for ${arch}`);
  return arch;
}
