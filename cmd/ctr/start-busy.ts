/** Commands that compute for half a second: how the interpreter is set for them, which it reads only when it starts. */
import { SyscallError } from "../../internal/errors/error.ts";
import { execve } from "../../internal/sys/spawn.ts";

/** The last stage of compiling takes as long as such a command, on the core that unpacks meanwhile, and never pays. */
const SETTING = "BUN_JSC_useFTLJIT";

/**
 * Starts this command anew with the setting, in the same process and before it has done anything, which takes a few
 * milliseconds. Returns where it is set already, or cannot be: the command works without.
 */
export function startBusy(): void {
  const isCompiled = Bun.main.startsWith("/$bunfs/");
  if (!isCompiled || process.env[SETTING] !== undefined) return;
  const env = Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
  try {
    execve(process.execPath, ["ctr", ...process.argv.slice(2)], [...env, `${SETTING}=0`]);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error; // the file was replaced, or the environment is as large as can be
  }
}
