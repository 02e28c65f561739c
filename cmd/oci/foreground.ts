/** A program that is our child: our signals are its, and so is our exit status. */

import { ESRCH, isErrno } from "../../internal/errors/error.ts";
import type { Fd } from "../../internal/sys/fd.ts";
import { forwardSignals, holdSignals, pidfdSendSignal, reapChild, waitForwarding } from "../../internal/sys/process.ts";
import { signalName, signalNumber } from "../../internal/sys/signals.ts";

export interface ForegroundProgram {
  readonly pid: number;
  readonly pidfd: Fd;
  /** Its terminal, which ours is connected with. */
  readonly terminal?: Fd;
}

const FORWARDED = ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "CONT", "TSTP", "TTIN", "TTOU", "WINCH"];

/** Before the program is started: a signal that comes for it meanwhile must not end us and leave it behind. */
export function holdForwarded(): void {
  holdSignals(numbers());
}

/** Resolves with its exit status: its own, or 128 and the signal's number. */
export async function waitForeground({ pid, pidfd, terminal }: ForegroundProgram): Promise<number> {
  if (terminal === undefined) return waitForwarding(pidfd.number, numbers()).status;
  const { promise: ended, resolve } = Promise.withResolvers<number>();
  const look = () => {
    const exit = reapChild(pid);
    if (exit !== undefined) resolve(exit.status);
  };
  forwardSignals(pidfd.number);
  process.on("SIGCHLD", look);
  for (const number of numbers()) process.on(signalName(number), () => forward(pidfd, number));
  // It may have ended before anybody listened.
  look();
  const { relayTerminal } = await import("./relay-terminal.ts");
  using relay = relayTerminal(terminal);
  const status = await ended;
  await relay.drained;
  return status;
}

function numbers(): readonly number[] {
  return FORWARDED.map((name) => signalNumber(name) ?? 0);
}

function forward(pidfd: Fd, signal: number): void {
  try {
    pidfdSendSignal(pidfd.number, signal);
  } catch (error) {
    // It has just ended; its status says how.
    if (!isErrno(error, ESRCH)) throw error;
  }
}
