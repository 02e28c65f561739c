/** A terminal for a further program. */
import { openTerminal } from "../rootfs/devices.ts";
import type { Process } from "../spec/runtime.ts";
import type { Fd } from "../sys/fd.ts";
import { setWindowSize } from "../sys/pty.ts";
import { getWindowSize } from "../sys/terminal.ts";

export interface UserTerminal extends Disposable {
  readonly master: Fd;
  readonly slave: Fd;
  /** The master is the caller's from here on. */
  takeMaster(): Fd;
}

/** One of the container's, of the size that is asked for, else of the terminal behind `stdin`. */
export function openUserTerminal(root: number, { consoleSize }: Process, stdin: number): UserTerminal {
  const { master, slave } = openTerminal(root);
  const own = getWindowSize(stdin);
  if (consoleSize !== undefined) setWindowSize(master.number, consoleSize.height, consoleSize.width);
  else if (own !== undefined) setWindowSize(master.number, own.rows, own.columns);
  let isTaken = false;
  return {
    master,
    slave,
    takeMaster: () => {
      isTaken = true;
      return master;
    },
    [Symbol.dispose]: () => {
      slave.close();
      if (!isTaken) master.close();
    },
  };
}
