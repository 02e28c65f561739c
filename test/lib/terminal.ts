/** A person at a terminal: a program on a pseudo-terminal, its output as it comes, keys typed into it. */
import { record } from "./transcript.ts";

export interface Session extends AsyncDisposable {
  readonly pid: number;
  /** All output so far. */
  readonly output: () => string;
  /** Types keys: what a keyboard sends, `\r` for return, `\x03` for ctrl-c. */
  readonly type: (keys: string) => void;
  /** Resolves with the output once `pattern` is in what came after the last `expect`. */
  readonly expect: (pattern: RegExp | string, timeoutMs?: number) => Promise<string>;
  readonly resize: (columns: number, rows: number) => void;
  /** The terminal's modes, as stty(1) tells them: raw or not. */
  readonly isRaw: () => boolean;
  readonly kill: (signal: NodeJS.Signals) => void;
  /** The exit status; 128 + n for a signal. */
  readonly exited: Promise<number>;
}

const ICANON = 0o2; // termios(3), c_lflag; asm-generic
const SIGNAL_NUMBERS: { readonly [name: string]: number } = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGTERM: 15,
};

/** Starts a program on a pseudo-terminal of its own; it is killed at the end of its `await using`. */
export function openSession(
  command: readonly string[],
  options: { readonly env?: Record<string, string>; readonly columns?: number; readonly rows?: number } = {},
): Session {
  const decoder = new TextDecoder();
  let output = "";
  let seen = 0;
  const waiting = new Set<() => void>();
  const child = Bun.spawn([...command], {
    env: { ...process.env, TERM: "xterm", ...options.env },
    terminal: {
      cols: options.columns ?? 80,
      rows: options.rows ?? 24,
      data(_terminal, bytes) {
        output += decoder.decode(bytes, { stream: true });
        for (const wake of waiting) wake();
      },
    },
  });
  const terminal = child.terminal;
  if (terminal === undefined) throw new Error("Bun gave no terminal");
  const exited = child.exited.then((status) => {
    for (const wake of waiting) wake();
    return child.signalCode === null ? status : 128 + (SIGNAL_NUMBERS[child.signalCode] ?? 0);
  });

  const expect = async (pattern: RegExp | string, timeoutMs = 10_000): Promise<string> => {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const fresh = output.slice(seen);
      const at = typeof pattern === "string" ? fresh.indexOf(pattern) : fresh.search(pattern);
      if (at >= 0) {
        const length = typeof pattern === "string" ? pattern.length : (pattern.exec(fresh)?.[0].length ?? 0);
        seen += at + length;
        return fresh.slice(0, at + length);
      }
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`waited for ${pattern} on the terminal; it shows ${JSON.stringify(fresh)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, Math.min(left, 1000));
        function done(): void {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        }
        waiting.add(done);
      });
    }
  };

  return {
    pid: child.pid,
    output: () => output,
    type: (keys) => void terminal.write(keys),
    expect,
    resize: (columns, rows) => terminal.resize(columns, rows),
    isRaw: () => (terminal.localFlags & ICANON) === 0,
    kill: (signal) => child.kill(signal),
    exited,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
      terminal.close();
      record(`terminal: ${command.join(" ")}\n${JSON.stringify(output)}`);
    },
  };
}
