/** `ctr run`: creates a container and starts it. */

import { collect } from "../../../internal/container/collect.ts";
import { createContainer } from "../../../internal/container/create.ts";
import { type NewSupervisor, spawnSupervisor } from "../../../internal/container/spawn-supervisor.ts";
import { sendStart, whenStarted } from "../../../internal/container/start.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { checkCidFile, writeCidFile } from "../cid-file.ts";
import { type Call, defineCommand } from "../command.ts";
import { CONTAINER_FLAGS, readContainerFlags } from "../container-flags.ts";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "../detach-keys.ts";
import { printError, printLine } from "../output.ts";
import { attachedSession } from "../stream.ts";
import { checkInputTerminal, terminalSize } from "../terminal.ts";

const FLAGS = {
  ...CONTAINER_FLAGS,
  detach: { type: "boolean", alias: "d", description: "Run container in background and print container ID" },
  "detach-keys": { type: "string", description: "Override the key sequence for detaching a container" },
  "sig-proxy": { type: "boolean", default: true, description: "Proxy received signals to the process" },
} as const;

export const command = defineCommand({
  meta: { name: "run", description: "Create and run a new container from an image" },
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  flags: FLAGS,
  operands: [1, Number.POSITIVE_INFINITY],
  stopsAtOperand: true,
  failureStatus: 125,
  async run(call) {
    // The supervisor's start-up is the longest part of a start, so it begins before anything is known; told nothing,
    // it goes away again.
    const supervisor = spawnSupervisor(call.directories);
    try {
      return await runContainer(call, supervisor);
    } finally {
      supervisor.socket.close();
    }
  },
});

async function runContainer(call: Call<typeof FLAGS>, supervisor: NewSupervisor): Promise<number> {
  const { flags, operands } = call;
  const [image = "", ...args] = operands;
  const spec = readContainerFlags(flags, "run", flags.detach);
  const detachKeys = parseDetachKeys(flags["detach-keys"] ?? DEFAULT_DETACH_KEYS);
  const { streams, isTty, isStdinOpen } = spec.config;
  const attached = { ...streams, stdin: streams.stdin && isStdinOpen };
  if (isTty && attached.stdin) checkInputTerminal();
  checkCidFile(flags.cidfile);
  using engine = openEngine(call.directories);
  const { record, warnings } = createContainer(engine, {
    image,
    args,
    flags: spec,
    keeper: supervisor.keeper,
    onImageMissing: (name) => printError(`Unable to find image '${name}' locally`),
  });
  writeCidFile(flags.cidfile, record.id);
  for (const warning of warnings) printError(`WARNING: ${warning}`);
  const isAttached = attached.stdin || attached.stdout || attached.stderr;
  const connection = await sendStart(supervisor, record.id, {
    ...(isAttached ? { streams: attached } : {}),
    ...(isTty ? { size: terminalSize() } : {}),
  });
  if (flags.detach || !(attached.stdout || attached.stderr)) printLine(record.id);
  if (!isAttached) {
    for (const warning of await whenStarted(connection)) printError(`WARNING: ${warning}`);
    connection.end();
    collect(engine);
    return 0;
  }
  const ending = await attachedSession(connection, {
    streams: attached,
    isTty,
    proxiesSignals: flags["sig-proxy"],
    detachKeys,
    onStarted(more) {
      for (const warning of more) printError(`WARNING: ${warning}`);
      // The container runs: now is the time to look after what others left behind.
      collect(engine);
    },
  });
  return ending.kind === "exited" ? ending.status : 0;
}
