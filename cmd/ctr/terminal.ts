/** The caller's terminal while a container has it: raw, and always given back as it was. */
import { CtrError } from "../../internal/errors/error.ts";
import type { TerminalSize } from "../../internal/ipc/supervisor.ts";
import { F_GETFL, F_SETFL, fcntl } from "../../internal/sys/fd.ts";
import { getTermios, getWindowSize, isTerminal, makeRaw, setTermios } from "../../internal/sys/terminal.ts";

const STDIN = 0;
const STDOUT = 1;

/** Docker's refusal: a terminal's program wants a terminal's input. Throws with status 1. */
export function checkInputTerminal(): void {
  if (!isTerminal(STDIN)) throw new CtrError("invalid", "the input device is not a TTY", { exitStatus: 1 });
}

/** The size of the terminal that shows the output. */
export function terminalSize(): TerminalSize | undefined {
  return getWindowSize(STDOUT) ?? getWindowSize(STDIN);
}

/** Makes the terminal raw until disposed; nothing where standard input is no terminal. */
export function rawTerminal(): Disposable {
  if (!isTerminal(STDIN)) return { [Symbol.dispose]: () => {} };
  const saved = getTermios(STDIN);
  setTermios(STDIN, makeRaw(saved));
  return { [Symbol.dispose]: () => setTermios(STDIN, saved) };
}

/** The status flags of standard input until disposed: reading without blocking changes them for everybody who has it. */
export function keepInputFlags(): Disposable {
  const flags = fcntl(STDIN, F_GETFL);
  return { [Symbol.dispose]: () => fcntl(STDIN, F_SETFL, flags) };
}
