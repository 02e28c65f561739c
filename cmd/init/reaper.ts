/** The reaper of `--init` (csrc/reaper.c) as a descriptor to execute: a sealed memfd, so that nothing can be written to it. */
import reaperBase64 from "../../build/reaper.b64" with { type: "text" };
import { sealedProgram } from "../../internal/sys/fd.ts";

/** The descriptor; it belongs to the process and goes with its execve. */
export function reaperExecutable(): number {
  return sealedProgram("ctr-init", reaperBase64).take();
}
