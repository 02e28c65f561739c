/** A program that is our child: our signals are its, and so is our exit status. */

import { ESRCH, isErrno } from "../../internal/errors/error.ts";
import type { Fd } from "../../internal/sys/fd.ts";
import { pidfdSendSignal, reapChild } from "../../internal/sys/process.ts";
import { signalNumber } from "../../internal/sys/signals.ts";

export interface ForegroundProgram {
  readonly pid: number;
  readonly pidfd: Fd;
  /** Its terminal, which ours is connected with. */
  readonly terminal?: Fd;
}

const FORWARDED = ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "CONT", "TSTP", "TTIN", "TTOU", "WINCH"];

/** Resolves with its exit status: its own, or 128 and the signal's number. */
export async function waitForeground({ pid, pidfd, terminal }: ForegroundProgram): Promise<number> {
  const { promise: ended, resolve } = Promise.withResolvers<number>();
  const look = () => {
    const exit = reapChild(pid);
    if (exit !== undefined) resolve(exit.status);
  };
  process.on("SIGCHLD", look);
  for (const name of FORWARDED) {
    const number = signalNumber(name) ?? 0;
    process.on(`SIG${name}`, () => forward(pidfd, number));
  }
  // It may have ended before anybody listened.
  look();
  if (terminal === undefined) return await ended;
  const { relayTerminal } = await import("./relay-terminal.ts");
  using relay = relayTerminal(terminal);
  const status = await ended;
  await relay.drained;
  return status;
}

function forward(pidfd: Fd, signal: number): void {
  try {
    pidfdSendSignal(pidfd.number, signal);
  } catch (error) {
    // It has just ended; its status says how.
    if (!isErrno(error, ESRCH)) throw error;
  }
}
