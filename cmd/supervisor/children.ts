/** Our children: each is waited for by whoever started it, on the one SIGCHLD. */
import { type ChildExit, reapChild } from "../../internal/sys/process.ts";

const waiting = new Map<number, (exit: ChildExit) => void>();
let isListening = false;

/** Calls `onExit` once, when the child is gone and reaped; at once if it is already. */
export function onChildExit(pid: number, onExit: (exit: ChildExit) => void): void {
  if (!isListening) process.on("SIGCHLD", reap);
  isListening = true;
  waiting.set(pid, onExit);
  // It may have ended before anybody listened.
  reap();
}

function reap(): void {
  for (const [pid, onExit] of waiting) {
    const exit = reapChild(pid);
    if (exit === undefined) continue;
    waiting.delete(pid);
    onExit(exit);
  }
}
