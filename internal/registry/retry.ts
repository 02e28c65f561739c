/** Attempts with growing pauses between them. */

import { UNREACHED } from "./fetch-errors.ts";
import { RegistryError } from "./registry-error.ts";
import type { RegistrySettings } from "./settings.ts";

export interface RetryOptions {
  readonly settings: RegistrySettings;
  readonly signal?: AbortSignal | undefined;
  readonly onRetry?: ((why: string) => void) | undefined;
  /** Fewer than the settings' say: a mirror is not waited for as long as the registry itself. */
  readonly retries?: number;
  /** True once the host has answered: until then a refused connection is a wrong address, not a bad moment. */
  readonly wasReached?: () => boolean;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

/** Calls `attempt` until it succeeds, fails for good, or all attempts are used up; then throws its last error. */
export async function withRetries<T>(options: RetryOptions, attempt: () => Promise<T>): Promise<T> {
  for (let made = 0; ; made++) {
    try {
      return await attempt();
    } catch (error) {
      await pauseAfter(error, made, options);
    }
  }
}

/** Waits before the attempt that follows `made` failed ones and this error; throws the error if none shall follow. */
export async function pauseAfter(error: unknown, made: number, options: RetryOptions): Promise<void> {
  const { settings, signal, onRetry, wasReached } = options;
  if (!(error instanceof RegistryError) || !error.isTransient) throw error;
  if (error.code === UNREACHED && wasReached?.() !== true) throw error;
  if (made >= (options.retries ?? settings.retries)) throw error;
  const asked = error.retryAfterMs ?? 0;
  if (asked > settings.retryAfterLimitMs) {
    const seconds = Math.ceil(asked / 1000);
    throw new RegistryError("unavailable", `${error.message} (the registry asks to wait ${seconds} seconds)`, {
      ...(error.status === undefined ? {} : { status: error.status }),
      ...(error.code === undefined ? {} : { code: error.code }),
      cause: error,
    });
  }
  const pauseMs = Math.max(asked, jittered(Math.min(FIRST_PAUSE_MS * 2 ** made, LONGEST_PAUSE_MS)));
  onRetry?.(`${error.message}: trying again in ${(pauseMs / 1000).toFixed(1)} s`);
  await pause(pauseMs, signal);
}

/** Between half and the whole of it: clients that failed together do not come back together. */
function jittered(ms: number): number {
  const [random = 0] = crypto.getRandomValues(new Uint32Array(1));
  return ms / 2 + (ms / 2) * (random / 2 ** 32);
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const abort = () => reject(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}
