/** Our terminal connected with a container's, for a `run` or `exec` in the foreground. */
import { EIO, isErrno } from "../../internal/errors/error.ts";
import { F_GETFL, F_SETFL, type Fd, fcntl, writeAll } from "../../internal/sys/fd.ts";
import { setWindowSize } from "../../internal/sys/pty.ts";
import { getTermios, getWindowSize, isTerminal, makeRaw, setTermios } from "../../internal/sys/terminal.ts";

const STDIN = 0;
const STDOUT = 1;

export interface Relay extends Disposable {
  /** Resolves when all that the program wrote has been shown. */
  readonly drained: Promise<void>;
}

/** Connects them; our terminal is raw until the relay is disposed. */
export function relayTerminal(master: Fd): Relay {
  using undo = new DisposableStack();
  if (isTerminal(STDIN)) {
    const saved = getTermios(STDIN);
    setTermios(STDIN, makeRaw(saved));
    undo.defer(() => setTermios(STDIN, saved));
    const follow = () => {
      const size = getWindowSize(STDIN);
      if (size !== undefined) setWindowSize(master.number, size.rows, size.columns);
    };
    follow();
    process.on("SIGWINCH", follow);
    undo.defer(() => process.off("SIGWINCH", follow));
  }
  const flags = fcntl(STDIN, F_GETFL);
  undo.defer(() => fcntl(STDIN, F_SETFL, flags));
  void carryInput(master);
  const drained = carryOutput(master);
  const owned = undo.move();
  return { drained, [Symbol.dispose]: () => owned.dispose() };
}

async function carryInput(master: Fd): Promise<void> {
  try {
    for await (const chunk of Bun.stdin.stream()) writeAll(master.number, chunk);
  } catch (error) {
    // Our input is gone (a closed or hung up terminal), or the program's terminal is: the program's end tells the rest.
    if (!isErrno(error, EIO) && !(error instanceof Error)) throw error;
  }
}

async function carryOutput(master: Fd): Promise<void> {
  for await (const chunk of Bun.file(master.number).stream()) writeAll(STDOUT, chunk);
}
