/** Our terminal connected with a container's, for a `run` or `exec` in the foreground. */
import { EAGAIN, EIO, isErrno } from "../../internal/errors/error.ts";
import { F_GETFL, F_SETFL, type Fd, fcntl, O_NONBLOCK, POLLOUT, poll, write } from "../../internal/sys/fd.ts";
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
  // Bun reads what would block only of descriptors that do not.
  fcntl(master.number, F_SETFL, fcntl(master.number, F_GETFL) | O_NONBLOCK);
  void carryInput(master);
  const drained = carryOutput(master);
  const owned = undo.move();
  return { drained, [Symbol.dispose]: () => owned.dispose() };
}

async function carryInput(master: Fd): Promise<void> {
  try {
    for await (const chunk of Bun.stdin.stream()) writePatiently(master.number, chunk);
  } catch (error) {
    // Our input is gone (a closed or hung up terminal), or the program's terminal is: the program's end tells the rest.
    if (!isEio(error)) throw error;
  }
}

async function carryOutput(master: Fd): Promise<void> {
  try {
    for await (const chunk of Bun.file(master.number).stream()) writePatiently(STDOUT, chunk);
  } catch (error) {
    // A terminal whose last user is gone reads as EIO (pty(7)): its end of file.
    if (!isEio(error)) throw error;
  }
}

/** Writes all of it, also where the descriptor does not wait by itself. */
function writePatiently(fd: number, bytes: Uint8Array): void {
  for (let rest = bytes; rest.length > 0; ) {
    try {
      rest = rest.subarray(write(fd, rest));
    } catch (error) {
      if (!isErrno(error, EAGAIN)) throw error;
      poll(fd, POLLOUT, -1);
    }
  }
}

function isEio(error: unknown): boolean {
  return isErrno(error, EIO) || (error instanceof Error && "code" in error && error.code === "EIO");
}
