/** The second half of `ctr run`, loaded while the container's interpreters start. */
import { whenStarted } from "../../internal/container/connect.ts";
import { tidyUp } from "../../internal/container/leftovers.ts";
import type { NewSupervisor } from "../../internal/container/spawn-supervisor.ts";
import { startSpec } from "../../internal/container/spec.ts";
import { sendStart } from "../../internal/container/start.ts";
import { openEngine } from "../../internal/db/engine.ts";
import { checkLog } from "./check-log.ts";
import { openCidFile } from "./cid-file.ts";
import type { Call } from "./command.ts";
import type { RUN_FLAGS } from "./container-flags.ts";
import { checkPullFlag, createPulling } from "./create-pulling.ts";
import { chooseDetachKeys } from "./detach-keys.ts";
import { printError, printLine } from "./output.ts";
import { readContainerFlags, readSecrets } from "./read-container-flags.ts";
import { attachedSession } from "./stream.ts";
import { checkInputTerminal, terminalSize } from "./terminal.ts";
import { checkUserConfig } from "./user-config.ts";

/** Records the container with the id that the supervisor knows, has the supervisor start it, and carries its streams; the exit status. */
export async function runContainer(
  call: Call<typeof RUN_FLAGS>,
  supervisor: NewSupervisor,
  id: string,
): Promise<number> {
  const { flags, operands } = call;
  const [image = "", ...args] = operands;
  const spec = readContainerFlags(flags, "run", flags.detach);
  const detachKeys = chooseDetachKeys(flags["detach-keys"], flags.tty && flags.interactive);
  const { streams, isTty, isStdinOpen } = spec.config;
  const attached = { ...streams, stdin: streams.stdin && isStdinOpen };
  if (isTty && attached.stdin) checkInputTerminal();
  checkPullFlag(flags, "run");
  await checkLog(spec);
  const secrets = await readSecrets(flags.secret, "run");
  using cidFile = openCidFile(flags.cidfile);
  using engine = openEngine(call.directories);
  const wanted = { image, args, flags: spec, secrets, keeper: supervisor.keeper, id };
  const { record, warnings } = await createPulling(engine, flags, wanted);
  cidFile?.write(record.id);
  for (const warning of warnings) printError(`WARNING: ${warning}`);
  const isAttached = attached.stdin || attached.stdout || attached.stderr;
  if (record.driver !== undefined) {
    const { makeFlatRoot } = await import("../../internal/container/flat-root.ts");
    makeFlatRoot(engine, record);
  }
  const connection = await sendStart(engine, supervisor, record.id, {
    ...(isAttached ? { streams: attached } : {}),
    ...(isTty ? { size: terminalSize() } : {}),
    ...(supervisor.init === undefined ? {} : { spec: await startSpec(engine, record) }),
  });
  // While it starts. For a terminal's keys the file was read already.
  if (!isTty) checkUserConfig();
  // Also where only its input is attached.
  const printed = attached.stdout || attached.stderr ? {} : printId(record.id);
  if (!isAttached) {
    for (const warning of await whenStarted(connection)) printError(`WARNING: ${warning}`);
    connection.end();
    await tidyUp(engine);
    if (printed.problem !== undefined) throw printed.problem;
    return 0;
  }
  let tidied: Promise<void> | undefined;
  const ending = await attachedSession(connection, {
    streams: attached,
    isTty,
    proxiesSignals: flags["sig-proxy"],
    detachKeys,
    onStarted(more) {
      for (const warning of more) printError(`WARNING: ${warning}`);
      // The container runs: now is the time to look after what others left behind.
      tidied = tidyUp(engine);
    },
  });
  await tidied;
  if (printed.problem !== undefined) throw printed.problem;
  return ending.kind === "exited" ? ending.status : 0;
}

/** Before the start is over, as Docker does; an id that cannot be written is told when it is. */
function printId(id: string): { readonly problem?: unknown } {
  try {
    printLine(id);
    return {};
  } catch (problem) {
    return { problem };
  }
}
