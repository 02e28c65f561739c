/** Waiting for what happens: a changed file (inotify(7)), any of several descriptors (poll(2)). */

import { EAGAIN, isErrno } from "../errors/error.ts";
import { Fd, O_CLOEXEC, O_NONBLOCK, read } from "./fd.ts";
import type { Mapping } from "./file-pages.ts";
import { check, cstr, lib, type PathBytes } from "./lib.ts";

export const IN_MODIFY = 2;
export const IN_CLOSE_WRITE = 8;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE_SELF = 0x400;

/** eventfd(2), of 0: close-on-exec and non-blocking. */
export function eventfd(): Fd {
  return new Fd(check("eventfd2", lib.ctr_eventfd2(0, O_CLOEXEC | O_NONBLOCK)));
}

/** inotify_init1(2): close-on-exec and non-blocking. */
export function inotifyInit(): Fd {
  return new Fd(check("inotify_init1", lib.ctr_inotify_init1(O_CLOEXEC | O_NONBLOCK)));
}

/** inotify_add_watch(2): the descriptor becomes readable when one of `mask` happens to the file. */
export function inotifyAddWatch(fd: number, path: PathBytes, mask: number): void {
  check("inotify_add_watch", lib.ctr_inotify_add_watch(fd, cstr(path), mask), path);
}

/** Takes what is there to read, so that the next poll waits for something new. */
export function inotifyDrain(fd: number): void {
  const events = new Uint8Array(4096);
  try {
    while (read(fd, events) === events.length);
  } catch (error) {
    if (!isErrno(error, EAGAIN)) throw error;
  }
}

/** What to wait for: poll(2). */
export interface Pollable {
  readonly fd: number;
  readonly events: number;
}

/**
 * poll(2) of several descriptors: what happened to each, all 0 after `timeoutMs` (-1 waits for ever). The pages of
 * `without` are let go of (MADV_DONTNEED) at the last moment before the wait.
 */
export function pollAny(
  wanted: readonly Pollable[],
  timeoutMs: number,
  without: readonly Mapping[] = [],
): readonly number[] {
  const pollfds = packPollfds(wanted);
  if (without.length === 0) check("poll", lib.ctr_poll(pollfds, wanted.length, timeoutMs));
  else {
    const ranges = new BigUint64Array(without.flatMap(({ start, size }) => [BigInt(start), BigInt(size)]));
    check("poll", lib.ctr_poll_without(ranges, without.length, pollfds, wanted.length, timeoutMs));
  }
  return happened(pollfds);
}

/** `struct pollfd[]` */
function packPollfds(wanted: readonly Pollable[]): Uint8Array {
  const pollfds = new DataView(new ArrayBuffer(8 * wanted.length));
  for (const [at, { fd, events }] of wanted.entries()) {
    pollfds.setInt32(8 * at, fd, true);
    pollfds.setInt16(8 * at + 4, events, true);
  }
  return new Uint8Array(pollfds.buffer);
}

function happened(pollfds: Uint8Array): number[] {
  const view = new DataView(pollfds.buffer);
  return Array.from({ length: pollfds.length / 8 }, (_, at) => view.getInt16(8 * at + 6, true));
}
