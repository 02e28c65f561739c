/** The master side of a pseudo-terminal (pty(7), ioctl_tty(2)). */
import { Fd, O_CLOEXEC, O_NOCTTY, O_RDWR } from "./fd.ts";
import { check, lib } from "./lib.ts";

const TIOCSPTLCK = 0x40045431;
const TIOCGPTPEER = 0x5441;
const TIOCSWINSZ = 0x5414;

/** TIOCSPTLCK: lets the slave be opened. */
export function unlockTerminal(master: number): void {
  check("ioctl TIOCSPTLCK", lib.ctr_ioctl(master, TIOCSPTLCK, new Int32Array([0])));
}

/** TIOCGPTPEER (kernel 4.13): the slave, without a name being looked up. */
export function openTerminalPeer(master: number): Fd {
  return new Fd(check("ioctl TIOCGPTPEER", lib.ctr_ioctl_value(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)));
}

/** TIOCSWINSZ: tells the foreground process group of the terminal (SIGWINCH). */
export function setWindowSize(terminal: number, rows: number, columns: number): void {
  check("ioctl TIOCSWINSZ", lib.ctr_ioctl(terminal, TIOCSWINSZ, new Uint16Array([rows, columns, 0, 0])));
}
