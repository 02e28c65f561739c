/** Asking the user at the terminal. */
import { CtrError } from "../../internal/errors/error.ts";
import { getTermios, isTerminal, setTermios, withoutEcho } from "../../internal/sys/terminal.ts";
import { print } from "./output.ts";
import { keepInputFlags } from "./terminal.ts";

const STDIN = 0;
const MAX_LINE = 64 << 10;
const INTERRUPTED_STATUS = 130;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

/** Questions and answers, one after the other; what was typed ahead is the next answer. */
export interface Prompt extends AsyncDisposable {
  /** Asks for a line; what is typed shows. */
  ask(question: string): Promise<string>;
  /** Asks for a line that does not show. The terminal gets its echo back however it ends. */
  askSecret(question: string): Promise<string>;
}

/** True if there is somebody to ask. */
export function mayAsk(): boolean {
  return isTerminal(STDIN);
}

export function openPrompt(): Prompt {
  const flags = keepInputFlags();
  const input = Bun.stdin.stream().getReader();
  const decoder = new TextDecoder();
  let typed = "";
  const line = async (): Promise<string> => {
    for (;;) {
      const end = typed.indexOf("\n");
      if (end >= 0) {
        const found = typed.slice(0, end).replace(/\r$/, "");
        typed = typed.slice(end + 1);
        return found;
      }
      if (typed.length > MAX_LINE) throw new CtrError("invalid", "the line is too long");
      const { done, value } = await input.read();
      if (done) throw new CtrError("invalid", "the input ended");
      typed += decoder.decode(value, { stream: true });
    }
  };
  return {
    async ask(question) {
      print(question);
      return await line();
    },
    async askSecret(question) {
      const saved = getTermios(STDIN);
      const { promise: interrupted, reject } = Promise.withResolvers<never>();
      const onSignal = () => reject(new CtrError("invalid", "interrupted", { exitStatus: INTERRUPTED_STATUS }));
      for (const signal of SIGNALS) process.on(signal, onSignal);
      setTermios(STDIN, withoutEcho(saved));
      try {
        print(question);
        return await Promise.race([line(), interrupted]);
      } finally {
        setTermios(STDIN, saved);
        for (const signal of SIGNALS) process.off(signal, onSignal);
        print("\n");
      }
    },
    async [Symbol.asyncDispose]() {
      await input.cancel();
      flags[Symbol.dispose]();
    },
  };
}
