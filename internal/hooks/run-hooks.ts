/** Hooks: programs of the administrator's at points of a container's life (runtime-spec config.md#posix-platform-hooks). */
import { CtrError, withContext } from "../errors/error.ts";
import type { Hook, Hooks, StringMap } from "../spec/runtime.ts";
import { lseek, memfdCreate, writeAll } from "../sys/fd.ts";
import { readFd } from "../sys/file.ts";

/** The state of a container, as a hook reads it from its standard input (runtime.md#state). */
export interface HookState {
  readonly ociVersion: string;
  readonly id: string;
  readonly status: "creating" | "created" | "running" | "stopped";
  readonly pid: number;
  readonly bundle: string;
  readonly annotations?: StringMap;
}

/** What of a hook's words is told when it fails. */
const MAX_OUTPUT_BYTES = 16 << 10;

/** Runs them one after the other. Throws at the first that fails. */
export async function runHooks(kind: keyof Hooks, hooks: readonly Hook[], state: HookState): Promise<void> {
  for (const [at, hook] of hooks.entries()) {
    try {
      await runHook(hook, state);
    } catch (error) {
      throw withContext(`error running ${kind} hook #${at}`, error);
    }
  }
}

/** The same for those that come last, whose failure stops nothing: each is told to `warn`. */
export async function runLastHooks(
  kind: "poststop",
  hooks: readonly Hook[],
  state: HookState,
  warn: (message: string) => void,
): Promise<void> {
  for (const [at, hook] of hooks.entries()) {
    try {
      await runHook(hook, state);
    } catch (error) {
      warn(withContext(`error running ${kind} hook #${at}`, error).message);
    }
  }
}

async function runHook({ path, args = [], env = [], timeout }: Hook, state: HookState): Promise<void> {
  // Files, not pipes: what a hook leaves running may keep them, and nobody waits for that.
  using input = memfdCreate("hook-state");
  writeAll(input.number, new TextEncoder().encode(JSON.stringify(state)));
  lseek(input.number, 0, 0);
  using output = memfdCreate("hook-output");
  const limit = timeout === undefined ? {} : { timeout: timeout * 1000, killSignal: "SIGKILL" as const };
  const child = Bun.spawn([path, ...args.slice(1)], {
    argv0: args[0] ?? path,
    env: environment(env),
    stdin: input.number,
    stdout: output.number,
    stderr: output.number,
    ...limit,
  });
  const startedNs = Bun.nanoseconds();
  const status = await child.exited;
  if (status === 0 && child.signalCode === null) return;
  const elapsedMs = (Bun.nanoseconds() - startedNs) / 1e6;
  if (timeout !== undefined && child.signalCode === "SIGKILL" && elapsedMs >= timeout * 1000) {
    throw new CtrError("unavailable", `${path}: timed out after ${timeout} s`);
  }
  lseek(output.number, 0, 0);
  const words = new TextDecoder().decode(readSome(output.number)).trim();
  const how = child.signalCode === null ? `exit status ${status}` : `signal: ${child.signalCode}`;
  throw new CtrError("invalid", `${path}: ${how}${words === "" ? "" : `: ${words}`}`);
}

function readSome(fd: number): Uint8Array {
  try {
    return readFd(fd, MAX_OUTPUT_BYTES);
  } catch (error) {
    if (error instanceof RangeError) return new TextEncoder().encode("(its output is too long to be shown)");
    throw error;
  }
}

function environment(variables: readonly string[]): { readonly [name: string]: string } {
  return Object.fromEntries(
    variables.map((variable) => {
      const equals = variable.indexOf("=");
      return equals < 0 ? [variable, ""] : [variable.slice(0, equals), variable.slice(equals + 1)];
    }),
  );
}
