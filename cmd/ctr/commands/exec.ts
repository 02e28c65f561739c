/** `ctr exec`: another program in a running container. */
import { connectByName, NotMeant, type ToContainer, whenStarted } from "../../../internal/container/connect.ts";
import { environmentFromFlags } from "../../../internal/container/env-flags.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { defineCommand } from "../command.ts";
import { chooseDetachKeys } from "../detach-keys.ts";
import { asUsageError } from "../option-errors.ts";
import { attachedSession, type Session } from "../stream.ts";
import { checkInputTerminal, terminalSize } from "../terminal.ts";
import { checkUserConfig } from "../user-config.ts";

const FLAGS = {
  detach: { type: "boolean", alias: "d", description: "Detached mode: run command in the background" },
  "detach-keys": { type: "string", description: "Override the key sequence for detaching a container" },
  env: { type: "string", alias: "e", valueHint: "list", repeatable: true, description: "Set environment variables" },
  "env-file": {
    type: "string",
    valueHint: "list",
    repeatable: true,
    description: "Read in a file of environment variables",
  },
  interactive: { type: "boolean", alias: "i", description: "Keep STDIN open even if not attached" },
  privileged: { type: "boolean", description: "Give extended privileges to the command" },
  tty: { type: "boolean", alias: "t", description: "Allocate a pseudo-TTY" },
  user: { type: "string", alias: "u", description: "Username or UID (format: <name|uid>[:<group|gid>])" },
  workdir: { type: "string", alias: "w", description: "Working directory inside the container" },
} as const;

export const command = defineCommand({
  meta: { name: "exec", description: "Execute a command in a running container" },
  usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
  flags: FLAGS,
  operands: [2, Number.POSITIVE_INFINITY],
  stopsAtOperand: true,
  async run({ flags, operands, directories }) {
    const [name = "", ...args] = operands;
    const env = asUsageError("exec", FLAGS, () => environmentFromFlags(flags, process.env));
    const detachKeys = chooseDetachKeys(flags["detach-keys"], flags.tty && flags.interactive);
    const { tty, detach, user, workdir } = flags;
    if (tty && flags.interactive && !detach) checkInputTerminal();
    if (workdir !== undefined && workdir !== "" && !workdir.startsWith("/")) {
      throw new CtrError("invalid", `the working directory '${workdir}' is invalid, it needs to be an absolute path`);
    }
    const streams = { stdin: flags.interactive, stdout: true, stderr: true };
    const size = tty ? terminalSize() : undefined;
    const request = {
      type: "exec" as const,
      process: {
        args,
        env,
        ...(workdir === undefined || workdir === "" ? {} : { cwd: workdir }),
        ...(user === undefined || user === "" ? {} : { user }),
        terminal: tty,
        privileged: flags.privileged,
      },
      ...(detach ? {} : { streams }),
      ...(size === undefined ? {} : { size }),
    };
    const session = { streams, isTty: tty, proxiesSignals: false, detachKeys };
    const carry = (connection: ToContainer) => (detach ? startDetached(connection) : attached(connection, session));
    const quick = await connectByName(directories.state, name);
    if (quick !== undefined) {
      quick.send({ ...request, meant: name });
      if (!tty) checkUserConfig();
      try {
        return await carry(quick);
      } catch (error) {
        if (!(error instanceof NotMeant)) throw error;
      }
    }
    const { connectToRunning } = await import("../../../internal/container/running.ts");
    const connection = await connectToRunning(directories, name);
    connection.send(request);
    return await carry(connection);
  },
});

async function attached(connection: ToContainer, session: Session): Promise<number> {
  const ending = await attachedSession(connection, session);
  return ending.kind === "exited" ? ending.status : 0;
}

/** Detached, whatever goes wrong is status 1: nobody waits for the program's own. */
async function startDetached(connection: ToContainer): Promise<number> {
  try {
    await whenStarted(connection);
    return 0;
  } catch (error) {
    if (!(error instanceof CtrError) || error instanceof NotMeant) throw error;
    throw new CtrError(error.kind, error.message, { cause: error });
  }
}
