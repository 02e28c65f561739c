/** The programs `docker-credential-<name>` (docker-credential-helpers): one request on standard input, one answer. */
import { CtrError } from "../errors/error.ts";
import { asObject, shown } from "./registry-error.ts";
import type { Environment } from "./settings.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const MAX_ANSWER = 1 << 20;
const TIMEOUT_MS = 60_000;
/** What a helper says, with a status other than 0, of a server it does not know. */
const NOT_FOUND = "credentials not found in native keychain";

/**
 * Asks a helper. `get` gives its answer, undefined for a server it does not know; `store` and `erase` give undefined.
 * What it prints on standard error the user sees: some ask there for a touch or a PIN.
 */
export async function runHelper(
  name: string,
  action: "get" | "store" | "erase",
  environment: Environment,
  request: string | { readonly [key: string]: string },
): Promise<{ readonly [key: string]: unknown } | undefined> {
  const program = `docker-credential-${name}`;
  const context = `${program} ${action}`;
  if (!NAME.test(name))
    throw new CtrError("invalid", `credential helper ${JSON.stringify(shown(name, 60))}: no such name`);
  const path = Bun.which(program, { PATH: searchPath(environment), cwd: "/" });
  if (path === null) throw new CtrError("not-found", `error getting credentials: ${program} is not in PATH`);
  const child = Bun.spawn([path, action], {
    env: { ...environment },
    stdin: new Blob([typeof request === "string" ? request : JSON.stringify(request)]),
    stdout: "pipe",
    stderr: "inherit",
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_ANSWER) child.kill("SIGKILL");
  }
  const status = await child.exited;
  if (text.length > MAX_ANSWER) throw new CtrError("invalid", `${context}: the answer is too long`);
  if (status !== 0) {
    if (action !== "store" && text.trim() === NOT_FOUND) return undefined;
    if (child.signalCode !== null) throw new CtrError("unavailable", `${context}: ended by ${child.signalCode}`);
    throw new CtrError("unavailable", `${context}: status ${status}: ${shown(text)}`);
  }
  if (action !== "get") return undefined;
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    // Without the cause: the parser's message may repeat the secret.
    throw new CtrError("invalid", `${context}: the answer is not JSON`);
  }
  const object = asObject(answer);
  if (object === undefined) throw new CtrError("invalid", `${context}: the answer is no JSON object`);
  return object;
}

/** PATH without what depends on the current directory. */
function searchPath(environment: Environment): string {
  const path = environment["PATH"] ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  return path
    .split(":")
    .filter((directory) => directory.startsWith("/"))
    .join(":");
}
