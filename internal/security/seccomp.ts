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

/** What seccomp(2) is given: struct sock_filter[] and its flags. */
export interface SeccompFilter {
  readonly program: Uint8Array;
  readonly flags: number;
  /** Where the agent of a filter with SCMP_ACT_NOTIFY listens. */
  readonly listener?: SeccompListener;
}

export interface SeccompListener {
  readonly path: string;
  readonly metadata: string;
}

/**
 * The filter of a container's processes, or undefined for one without. Throws for a filter that cannot be enforced: the
 * start ends there. The compiler is loaded only for what was not compiled before.
 */
export async function seccompFilter(
  spec: Pick<Spec, "annotations" | "linux" | "process">,
): Promise<SeccompFilter | undefined> {
  const given = spec.linux?.seccomp;
  const name = spec.annotations?.[SECCOMP_ANNOTATION];
  if (given === undefined && name === undefined) return undefined;
  const bounding = spec.process.capabilities?.bounding ?? [];
  const isDefault = given === undefined && name === DEFAULT;
  const compiled = isDefault ? precompiled(bounding) : undefined;
  if (compiled !== undefined) return { program: compiled, flags: 0 };
  const { compileHere, defaultSeccomp, profileSeccomp } = await import("./seccomp/on-demand.ts");
  const seccomp = given ?? (isDefault ? defaultSeccomp(bounding) : profileSeccomp(name ?? "", bounding));
  const listener = listenerOf(seccomp);
  const flags = seccompFlags(seccomp) | (listener === undefined ? 0 : FLAGS.SECCOMP_FILTER_FLAG_NEW_LISTENER);
  return { program: compileHere(seccomp), flags, ...(listener === undefined ? {} : { listener }) };
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
const FLAGS = {
  /** Nothing to do: the one thread that takes the filter is the one that becomes the program. */
  SECCOMP_FILTER_FLAG_TSYNC: 0,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_NEW_LISTENER: 8,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 32,
} as const;

/** Those a profile may ask for; a listener comes with SCMP_ACT_NOTIFY (runtime-spec config-linux.md#seccomp). */
const ASKED = new Map<string, number>(
  Object.entries(FLAGS).filter(([, bit]) => bit !== FLAGS.SECCOMP_FILTER_FLAG_NEW_LISTENER),
);

/** The names of them. */
export const SECCOMP_FLAGS: readonly string[] = [...ASKED.keys()];

/** seccomp(2)'s flags for a filter. Throws `invalid` for one nobody knows. */
export function seccompFlags(seccomp: Seccomp): number {
  let flags = 0;
  for (const name of seccomp.flags ?? []) {
    const bit = ASKED.get(name);
    if (bit === undefined) throw new CtrError("invalid", `seccomp: unknown flag ${JSON.stringify(name)}`);
    flags |= bit;
  }
  return flags;
}

const NOTIFY = "SCMP_ACT_NOTIFY";

/** Throws `invalid` for a filter with SCMP_ACT_NOTIFY that could never start. */
function listenerOf(seccomp: Seccomp): SeccompListener | undefined {
  if (seccomp.defaultAction === NOTIFY)
    throw new CtrError("invalid", `seccomp: ${NOTIFY} cannot be the default action`);
  const asked = (seccomp.syscalls ?? []).filter(({ action }) => action === NOTIFY);
  if (asked.length === 0) return undefined;
  // It carries the listener to the agent: nobody would answer.
  if (asked.some(({ names }) => names.includes("sendmsg"))) {
    throw new CtrError("invalid", `seccomp: ${NOTIFY} cannot be used for sendmsg`);
  }
  const { listenerPath, listenerMetadata } = seccomp;
  if (listenerPath === undefined || listenerPath === "") {
    throw new CtrError("invalid", `seccomp: ${NOTIFY} needs listenerPath, the socket of the agent that answers`);
  }
  return { path: listenerPath, metadata: listenerMetadata ?? "" };
}

/** Where the precompiled programs are for. */
function native(): string {
  return process.arch;
}
