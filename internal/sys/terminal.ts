/** The terminal we were called from: termios(3) and ioctl_tty(2), the same layout on x86-64 and arm64. */
import { EBADF, EINVAL, EIO, ENOTTY, isErrno } from "../errors/error.ts";
import { check, lib } from "./lib.ts";

const TCGETS = 0x5401;
const TCSETSW = 0x5403;
const TIOCGWINSZ = 0x5413;
/** struct termios of the kernel: four 32-bit flag words, the line discipline, 19 control characters. */
const TERMIOS_BYTES = 36;

// Flag words of struct termios.
const IFLAG = 0;
const OFLAG = 1;
const CFLAG = 2;
const LFLAG = 3;
const VTIME = 17 + 5;
const VMIN = 17 + 6;

// termios(3), "Raw mode"; octal as in asm-generic/termbits.h.
const INPUT_OFF = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000; // IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON
const OPOST = 0o1;
const LOCAL_OFF = 0o1 | 0o2 | 0o10 | 0o100 | 0o100000; // ISIG ICANON ECHO ECHONL IEXTEN
const ECHO = 0o10;
const CSIZE_PARENB = 0o60 | 0o400;
const CS8 = 0o60;

/** A terminal's settings, to be given back as they are. */
export type Termios = Uint8Array;

/** True if the descriptor is a terminal. */
export function isTerminal(fd: number): boolean {
  try {
    getTermios(fd);
    return true;
  } catch (error) {
    // ENOTTY for a file or pipe; EBADF, EINVAL and EIO for what is closed, no tty driver's, or hung up.
    if (isErrno(error, ENOTTY, EBADF, EINVAL, EIO)) return false;
    throw error;
  }
}

/** TCGETS. */
export function getTermios(fd: number): Termios {
  const termios = new Uint8Array(TERMIOS_BYTES);
  check("ioctl TCGETS", lib.ctr_ioctl(fd, TCGETS, termios));
  return termios;
}

/** TCSETSW: after what was written has gone out; what was typed ahead stays. */
export function setTermios(fd: number, termios: Termios): void {
  check("ioctl TCSETS", lib.ctr_ioctl(fd, TCSETSW, termios));
}

/** The settings with everything passed through: cfmakeraw(3). */
export function makeRaw(termios: Termios): Termios {
  const raw = termios.slice();
  const flags = new Uint32Array(raw.buffer, 0, 4);
  flags[IFLAG] = (flags[IFLAG] ?? 0) & ~INPUT_OFF;
  flags[OFLAG] = (flags[OFLAG] ?? 0) & ~OPOST;
  flags[LFLAG] = (flags[LFLAG] ?? 0) & ~LOCAL_OFF;
  flags[CFLAG] = ((flags[CFLAG] ?? 0) & ~CSIZE_PARENB) | CS8;
  raw[VMIN] = 1;
  raw[VTIME] = 0;
  return raw;
}

/** The settings with what is typed not shown, but for the end of a line; lines and signals work as before. */
export function withoutEcho(termios: Termios): Termios {
  const silent = termios.slice();
  const flags = new Uint32Array(silent.buffer, 0, 4);
  flags[LFLAG] = (flags[LFLAG] ?? 0) & ~ECHO;
  return silent;
}

/** TIOCGWINSZ, or undefined for what is no terminal or does not know its size. */
export function getWindowSize(fd: number): { readonly rows: number; readonly columns: number } | undefined {
  const size = new Uint16Array(4);
  if (Number(lib.ctr_ioctl(fd, TIOCGWINSZ, size)) < 0) return undefined;
  const [rows = 0, columns = 0] = size;
  return rows === 0 && columns === 0 ? undefined : { rows, columns };
}
