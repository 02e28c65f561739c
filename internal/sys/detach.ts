/** Detaching a mount by a thread of its own (csrc/detach.c), because umount2(2) waits for a grace period of RCU. */
import { EAGAIN, isErrno } from "../errors/error.ts";
import { type Fd, O_DIRECTORY, O_PATH, open } from "./fd.ts";
import { check, lib } from "./lib.ts";
import { MNT_DETACH, umount2 } from "./mount.ts";

// struct ctr_detach, in words of 32 bits.
const DIRECTORY_AT = 2;
const WORDS = 4;

/** A detaching that is under way. */
export interface Detaching {
  /** Waits until it is done, once. Throws why it could not be. */
  end(): void;
}

/** Begins umount2(".", MNT_DETACH): the topmost mount on the current directory's place. The current directory may change meanwhile. */
export function beginDetach(): Detaching {
  const directory = open(".", O_PATH | O_DIRECTORY);
  const job = new Int32Array(new ArrayBuffer(4 * WORDS));
  job[DIRECTORY_AT] = directory.number;
  try {
    check("pthread_create", lib.ctr_detach_begin(job));
  } catch (error) {
    directory.close();
    // A limit of processes counts threads.
    if (!isErrno(error, EAGAIN)) throw error;
    umount2(".", MNT_DETACH);
    return { end() {} };
  }
  return { end: () => endDetach(job, directory) };
}

function endDetach(job: Int32Array, directory: Fd): void {
  try {
    check("umount", lib.ctr_detach_end(job), ".");
  } finally {
    directory.close();
  }
}
