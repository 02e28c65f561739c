/** The names of signals: signal(7), the numbers of x86-64 and arm64, which are the same. */

const NAMES =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG " +
  "XCPU XFSZ VTALRM PROF WINCH IO PWR SYS";

/** By number, from 1. */
const SIGNALS: readonly string[] = ["", ...NAMES.split(" ")];
const ALIASES: { readonly [name: string]: number } = { IOT: 6, CLD: 17, POLL: 29, UNUSED: 31 };
// glibc keeps the first two real-time signals for itself.
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** The number of `TERM`, `SIGTERM`, `15`, `RTMIN+3`, in any case; undefined for what is none. */
export function signalNumber(text: string): number | undefined {
  if (/^\d{1,3}$/.test(text)) {
    const number = Number(text);
    return number >= 1 && number <= SIGRTMAX ? number : undefined;
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const found = SIGNALS.indexOf(name);
  if (found > 0) return found;
  if (Object.hasOwn(ALIASES, name)) return ALIASES[name];
  const [, base, sign, offset] = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name) ?? [];
  if (base === undefined) return undefined;
  const number = (base === "MIN" ? SIGRTMIN : SIGRTMAX) + Number(`${sign ?? "+"}${offset ?? "0"}`);
  return number >= SIGRTMIN && number <= SIGRTMAX ? number : undefined;
}

/** The name with its SIG: `SIGTERM`, `SIGRTMIN+3`. */
export function signalName(number: number): string {
  const name = SIGNALS[number];
  if (name !== undefined && name !== "") return `SIG${name}`;
  return number === SIGRTMIN ? "SIGRTMIN" : `SIGRTMIN+${number - SIGRTMIN}`;
}
