/** The flags that `stop` and `restart` share. */
import type { StopOptions } from "../../internal/container/control.ts";
import { CtrError } from "../../internal/errors/error.ts";
import { signalNumber } from "../../internal/sys/signals.ts";
import type { FlagDefinitions } from "./command.ts";

export const STOP_FLAGS = {
  signal: { type: "string", alias: "s", description: "Signal to send to the container" },
  timeout: {
    type: "string",
    alias: ["t", "time"],
    valueHint: "int",
    description: "Seconds to wait before killing the container",
  },
} as const satisfies FlagDefinitions;

/** `--signal` and `--timeout` (whole seconds, negative for ever). Throws `invalid` for a signal that is none. */
export function stopOptions(flags: {
  readonly signal: string | undefined;
  readonly timeout: string | undefined;
}): StopOptions {
  const seconds = flags.timeout === undefined ? undefined : Number(flags.timeout);
  return {
    ...(flags.signal === undefined || flags.signal === "" ? {} : { signal: parseSignal(flags.signal) }),
    ...(seconds === undefined ? {} : { timeoutMs: seconds < 0 ? -1 : seconds * 1000 }),
  };
}

/** A signal by name or number. Throws `invalid`, in Docker's words. */
export function parseSignal(text: string): number {
  const signal = signalNumber(text);
  if (signal === undefined) throw new CtrError("invalid", `invalid signal: ${text}`);
  return signal;
}
