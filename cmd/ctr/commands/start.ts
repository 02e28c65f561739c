/** `ctr start`: starts containers that are at rest, and with `-a` or `-i` attaches to the one. */
import { refresh } from "../../../internal/container/collect.ts";
import { beginStart, ensureStarted } from "../../../internal/container/start.ts";
import { findContainer } from "../../../internal/container/store.ts";
import { type Engine, openEngine } from "../../../internal/db/engine.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { attachToRunning } from "../attach-running.ts";
import { defineCommand } from "../command.ts";
import { chooseDetachKeys } from "../detach-keys.ts";
import { printFailure } from "../fail.ts";
import { printLine } from "../output.ts";
import { attachedSession } from "../stream.ts";
import { checkInputTerminal, terminalSize } from "../terminal.ts";

export const command = defineCommand({
  meta: { name: "start", description: "Start one or more stopped containers" },
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  flags: {
    attach: { type: "boolean", alias: "a", description: "Attach STDOUT/STDERR and forward signals" },
    "detach-keys": { type: "string", description: "Override the key sequence for detaching a container" },
    interactive: { type: "boolean", alias: "i", description: "Attach container's STDIN" },
  },
  operands: [1, Number.POSITIVE_INFINITY],
  async run({ flags, operands, directories }) {
    using engine = openEngine(directories);
    if (flags.attach || flags.interactive) {
      const [name = "", another] = operands;
      if (another !== undefined)
        throw new CtrError("invalid", "you cannot start and attach multiple containers at once");
      const keys = chooseDetachKeys(flags["detach-keys"], flags.interactive);
      return await startAttached(engine, name, flags.interactive, keys);
    }
    let status = 0;
    for (const name of operands) {
      try {
        await startOne(engine, name);
        printLine(name);
      } catch (error) {
        printFailure(error);
        status = 1;
      }
    }
    return status;
  },
});

/** Starts one; one that runs already is what was wanted. */
async function startOne(engine: Engine, name: string): Promise<void> {
  const record = findAtRest(engine, name);
  await ensureStarted(engine, record);
}

async function startAttached(
  engine: Engine,
  name: string,
  isInteractive: boolean,
  detachKeys: Uint8Array,
): Promise<number> {
  const record = findAtRest(engine, name);
  const { Tty, OpenStdin } = record.config;
  const streams = { stdin: isInteractive && OpenStdin, stdout: true, stderr: true };
  if (Tty && streams.stdin) checkInputTerminal();
  const session = { streams, isTty: Tty, proxiesSignals: true, detachKeys };
  if (record.state === "running") return await attachToRunning(engine, record, session);
  let isStarted = false;
  try {
    const connection = await beginStart(engine, record, { streams, ...(Tty ? { size: terminalSize() } : {}) });
    const ending = await attachedSession(connection, {
      ...session,
      onStarted: () => {
        isStarted = true;
      },
    });
    return ending.kind === "exited" ? ending.status : 0;
  } catch (error) {
    // Only of `run` is what kept a program from starting told apart by the status.
    if (isStarted || !(error instanceof CtrError)) throw error;
    throw new CtrError(error.kind, error.message, { cause: error });
  }
}

function findAtRest(engine: Engine, name: string) {
  const record = refresh(engine, findContainer(engine, name));
  if (record === undefined) throw new CtrError("not-found", `No such container: ${name}`);
  if (record.state === "paused") {
    throw new CtrError("conflict", "cannot start a paused container, try unpause instead");
  }
  return record;
}
