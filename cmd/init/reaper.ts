/** The reaper of `--init` (csrc/reaper.c) as a descriptor to execute: a sealed memfd, so that nothing can be written to it. */
import reaperBase64 from "../../build/reaper.b64" with { type: "text" };
import { F_ADD_SEALS, fcntl, memfdCreate, writeAll } from "../../internal/sys/fd.ts";

const MFD_ALLOW_SEALING = 2;
const F_SEAL_ALL = 0xf;

/** The descriptor; it belongs to the process and goes with its execve. */
export function reaperExecutable(): number {
  const fd = memfdCreate("ctr-init", MFD_ALLOW_SEALING);
  writeAll(fd.number, Uint8Array.fromBase64(reaperBase64));
  fcntl(fd.number, F_ADD_SEALS, F_SEAL_ALL);
  return fd.take();
}
