/** The filter of a container's further programs: compiled once, as it cannot change (`config.json` is a copy). */
import type { SeccompFilter } from "../security/seccomp.ts";
import { SECCOMP_ANNOTATION } from "../security/seccomp-annotation.ts";
import type { Spec } from "../spec/runtime.ts";
import type { ContainerDirectory } from "./container.ts";

/** In front of the program in the file: its flags, as one number. */
const FLAGS_BYTES = 8;

/** The filter, or undefined for a container without one. */
export async function seccompOf(
  spec: Pick<Spec, "annotations" | "linux" | "process">,
  directory: ContainerDirectory,
): Promise<SeccompFilter | undefined> {
  const isAnnotated = spec.annotations?.[SECCOMP_ANNOTATION] !== undefined;
  if (spec.linux?.seccomp === undefined && !isAnnotated) return undefined;
  // A filter by annotation depends on the program's capabilities.
  const kept = isAnnotated ? undefined : directory.readFilter();
  if (kept !== undefined) {
    return { flags: Number(new Float64Array(kept.slice(0, FLAGS_BYTES).buffer)[0]), program: kept.slice(FLAGS_BYTES) };
  }
  const [{ seccompFilter }, { parseConfig }] = await Promise.all([
    import("../security/seccomp.ts"),
    import("./bundle.ts"),
  ]);
  // Read again, with every digit of its numbers.
  const filter = await seccompFilter({ ...parseConfig(directory.readConfig()), process: spec.process });
  if (isAnnotated) return filter;
  // One with an agent is not only a program: that is found anew each time.
  if (filter === undefined || filter.listener !== undefined) return filter;
  const bytes = new Uint8Array(FLAGS_BYTES + filter.program.length);
  bytes.set(new Uint8Array(new Float64Array([filter.flags]).buffer));
  bytes.set(filter.program, FLAGS_BYTES);
  directory.writeFilter(bytes);
  return filter;
}
