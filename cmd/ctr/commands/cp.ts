/** `ctr cp`: files between a container and the host, or as an archive on standard input and output. */
import {
  archiveFromContainer,
  type Copied,
  copyFromContainer,
  copyToContainer,
  unpackToContainer,
} from "../../../internal/container/copy.ts";
import { splitOperand } from "../../../internal/container/copy-path.ts";
import { type Engine, openEngine } from "../../../internal/db/engine.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { humanSize } from "../../../internal/image/human-size.ts";
import { readStdin } from "../../../internal/image/source.ts";
import { isTerminal } from "../../../internal/sys/terminal.ts";
import { defineCommand } from "../command.ts";
import { printError, STDERR, STDOUT, writeOut } from "../output.ts";

export const command = defineCommand({
  meta: { name: "cp", description: "Copy files/folders between a container and the local filesystem" },
  usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n        ctr cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
  operands: [2, 2],
  flags: {
    archive: { type: "boolean", alias: "a", description: "Archive mode (copy all uid/gid information)" },
    "follow-link": { type: "boolean", alias: "L", description: "Always follow symbol link in SRC_PATH" },
    quiet: {
      type: "boolean",
      alias: "q",
      description:
        "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
    },
  },
  async run({ flags, operands, directories }) {
    const [source = "", destination = ""] = operands;
    if (source === "") throw new CtrError("invalid", "source can not be empty");
    if (destination === "") throw new CtrError("invalid", "destination can not be empty");
    using engine = openEngine(directories);
    const copied = await copy(engine, source, destination, flags);
    if (copied !== undefined && !flags.quiet && isTerminal(STDERR)) {
      printError(`Successfully copied ${humanSize(copied.bytes)} to ${copied.destination}`);
    }
    return 0;
  },
});

interface CopyFlags {
  readonly archive: boolean;
  readonly "follow-link": boolean;
}

async function copy(
  engine: Engine,
  source: string,
  destination: string,
  { archive, "follow-link": follow }: CopyFlags,
): Promise<Copied | undefined> {
  const from = splitOperand(source);
  const to = splitOperand(destination);
  const here = process.cwd();
  if (from.container !== undefined) {
    if (to.container !== undefined) throw new CtrError("invalid", "copying between containers is not supported");
    const options = { container: from.container, path: from.path, follow };
    if (to.path !== "-") return await copyFromContainer(engine, options, to.path, here);
    for await (const chunk of archiveFromContainer(engine, options)) writeOut(STDOUT, chunk);
    return undefined;
  }
  if (to.container === undefined) throw new CtrError("invalid", "must specify at least one container source");
  const options = { container: to.container, path: to.path, archive };
  const copied =
    from.path === "-"
      ? await unpackToContainer(engine, readStdin(), options)
      : await copyToContainer(engine, from.path, here, follow, options);
  return { ...copied, destination: `${to.container}:${copied.destination}` };
}
