/** `ctr create`: creates a container without starting it. */
import { openEngine } from "../../../internal/db/engine.ts";
import { checkLog } from "../check-log.ts";
import { openCidFile } from "../cid-file.ts";
import { defineCommand } from "../command.ts";
import { CONTAINER_FLAGS } from "../container-flags.ts";
import { checkPullFlag, createPulling } from "../create-pulling.ts";
import { printError, printLine } from "../output.ts";
import { readContainerFlags, readSecrets } from "../read-container-flags.ts";
import { checkUserConfig } from "../user-config.ts";

export const command = defineCommand({
  meta: { name: "create", description: "Create a new container" },
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  flags: CONTAINER_FLAGS,
  operands: [1, Number.POSITIVE_INFINITY],
  stopsAtOperand: true,
  async run({ flags, operands, directories }) {
    const [image = "", ...args] = operands;
    const spec = readContainerFlags(flags, "create", false);
    checkPullFlag(flags, "create");
    await checkLog(spec);
    const secrets = await readSecrets(flags.secret, "create");
    using cidFile = openCidFile(flags.cidfile);
    using engine = openEngine(directories);
    const { record, warnings } = await createPulling(engine, flags, { image, args, flags: spec, secrets });
    cidFile?.write(record.id);
    if (record.runtime.mounts.some(({ copiesUp }) => copiesUp === true)) {
      const { fillVolumes } = await import("../../../internal/container/fill-volumes.ts");
      await fillVolumes(engine, record);
    }
    checkUserConfig();
    for (const warning of warnings) printError(`WARNING: ${warning}`);
    printLine(record.id);
    return 0;
  },
});
