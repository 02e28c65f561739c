/**
 * The client's side of an attached program: its output to our standard streams, our input to it within the window,
 * the terminal's size, signals, and the keys that detach.
 */

import type { ToContainer } from "../../internal/container/connect.ts";
import { startFailure } from "../../internal/container/connect.ts";
import { CtrError } from "../../internal/errors/error.ts";
import { STDIN_WINDOW, type Streams } from "../../internal/ipc/supervisor.ts";
import { signalNumber } from "../../internal/sys/signals.ts";
import { DetachWatch } from "./detach-keys.ts";
import { printError, STDERR, STDOUT, writeOut } from "./output.ts";
import { keepInputFlags, rawTerminal, terminalSize } from "./terminal.ts";

export interface Session {
  readonly streams: Streams;
  /** The program has a terminal. */
  readonly isTty: boolean;
  /** Signals we get go to the program. */
  readonly proxiesSignals: boolean;
  readonly detachKeys: Uint8Array;
  /** Called once when the program runs (or is attached to), with the warnings that came. */
  onStarted?(warnings: readonly string[]): void;
}

/** How an attached session ended. */
export type Ending = { readonly kind: "exited"; readonly status: number } | { readonly kind: "detached" };

/**
 * Carries the streams from the answer to `start`, `exec` or `attach` on until the program has ended, or the user has
 * detached. Throws when the program could not be started, and when the supervisor is lost.
 */
export async function attachedSession(connection: ToContainer, session: Session): Promise<Ending> {
  using cleanup = new DisposableStack();
  const isRaw = session.isTty && session.streams.stdin;
  if (isRaw) cleanup.use(rawTerminal());
  if (session.isTty) cleanup.use(followSize(connection));
  else if (session.proxiesSignals) cleanup.use(proxySignals(connection));
  const input = session.streams.stdin ? new Input(connection, session) : undefined;
  const detached = input === undefined ? new Promise<"detached">(() => {}) : input.detached;
  const output = carryOutput(connection, session, input);
  const ending = await Promise.race([output, detached]);
  if (ending !== "detached") return ending;
  connection.end();
  // The program has left the cursor anywhere in the line.
  cleanup.dispose();
  printError(`${session.isTty ? "\n" : ""}read escape sequence`);
  return { kind: "detached" };
}

async function carryOutput(connection: ToContainer, session: Session, input: Input | undefined): Promise<Ending> {
  let isStarted = false;
  for (;;) {
    const message = await connection.receive();
    if (message === undefined) {
      if (!isStarted) throw startFailure(undefined);
      throw new CtrError("unavailable", "the supervisor is gone: the container was killed or its output was not read");
    }
    switch (message.type) {
      case "started":
      case "attached":
        isStarted = true;
        session.onStarted?.(message.type === "started" ? (message.warnings ?? []) : []);
        input?.begin();
        break;
      case "output":
        writeOut(message.stream === "stdout" ? STDOUT : STDERR, message.data);
        break;
      case "stdin-taken":
        input?.taken(message.bytes);
        break;
      case "exited":
        if (message.error !== undefined && message.error !== "") printError(`ctr: ${message.error}`);
        return { kind: "exited", status: message.status };
      case "failed":
      case "not-meant":
        throw startFailure(message);
      case "done":
      case "execs":
        break;
      default:
        message satisfies never;
    }
  }
}

/** Standard input on its way: at most `STDIN_WINDOW` bytes are under way. */
class Input {
  readonly detached: Promise<"detached">;
  #detach: (outcome: "detached") => void = () => {};
  readonly #connection: ToContainer;
  readonly #watch: DetachWatch | undefined;
  #underWay = 0;
  #room: (() => void) | undefined;

  constructor(connection: ToContainer, session: Session) {
    this.#connection = connection;
    this.#watch = session.isTty ? new DetachWatch(session.detachKeys) : undefined;
    this.detached = new Promise((resolve) => {
      this.#detach = resolve;
    });
  }

  begin(): void {
    void this.#carry();
  }

  taken(bytes: number): void {
    this.#underWay -= bytes;
    if (this.#underWay < STDIN_WINDOW) this.#room?.();
  }

  async #carry(): Promise<void> {
    const flags = keepInputFlags();
    try {
      for await (const chunk of Bun.stdin.stream()) {
        const { data, isDetached } = this.#watch?.push(chunk) ?? { data: chunk, isDetached: false };
        if (data.length > 0) await this.#send(data);
        if (isDetached) return this.#detach("detached");
      }
    } catch {
      // Our input is gone (a closed or hung up terminal): for the program that is its end.
    } finally {
      flags[Symbol.dispose]();
    }
    this.#connection.send({ type: "stdin-end" });
  }

  async #send(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; at += MAX_CHUNK) {
      while (this.#underWay >= STDIN_WINDOW) {
        await new Promise<void>((resolve) => {
          this.#room = resolve;
        });
      }
      const piece = data.subarray(at, at + MAX_CHUNK);
      this.#underWay += piece.length;
      this.#connection.send({ type: "stdin", data: piece });
    }
  }
}

const MAX_CHUNK = 256 << 10;

/** Tells the program's terminal the size of ours whenever it changes. */
function followSize(connection: ToContainer): Disposable {
  const tell = () => {
    const size = terminalSize();
    if (size !== undefined) connection.send({ type: "resize", ...size });
  };
  process.on("SIGWINCH", tell);
  return { [Symbol.dispose]: () => void process.off("SIGWINCH", tell) };
}

/**
 * The signals that end up at a command, all of which go on to the program (docker/cli ForwardAllSignals): not CHLD, PIPE,
 * URG and WINCH, which are about us, nor those of a fault.
 */
const PROXIED = (
  "SIGHUP SIGINT SIGQUIT SIGABRT SIGUSR1 SIGUSR2 SIGALRM SIGTERM SIGCONT SIGTSTP SIGTTIN SIGTTOU SIGXCPU SIGXFSZ " +
  "SIGVTALRM SIGIO SIGPWR"
).split(" ");

function proxySignals(connection: ToContainer): Disposable {
  const listeners = PROXIED.map((name) => {
    const signal = signalNumber(name) ?? 0;
    const send = () => connection.send({ type: "signal", signal });
    process.on(name as NodeJS.Signals, send);
    return { name, send };
  });
  return {
    [Symbol.dispose]: () => {
      for (const { name, send } of listeners) process.off(name, send);
    },
  };
}
