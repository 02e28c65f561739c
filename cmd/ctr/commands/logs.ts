/** `ctr logs`: what a container wrote, each stream on its own. */
import { currentContainer } from "../../../internal/container/control.ts";
import { printLog } from "../../../internal/container/log/print-log.ts";
import { LOG_STDERR } from "../../../internal/container/log/record.ts";
import { logSource } from "../../../internal/container/log/source.ts";
import { isLive } from "../../../internal/container/states.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import { defineCommand } from "../command.ts";
import { STDERR, STDOUT, writeOut } from "../output.ts";

export const command = defineCommand({
  meta: { name: "logs", description: "Fetch the logs of a container" },
  usage: "[OPTIONS] CONTAINER",
  operands: [1, 1],
  flags: {
    details: { type: "boolean", description: "Show extra details provided to logs" },
    follow: { type: "boolean", alias: "f", description: "Follow log output" },
    since: {
      type: "string",
      description: 'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
    },
    tail: {
      type: "string",
      alias: "n",
      default: "all",
      description: "Number of lines to show from the end of the logs",
    },
    timestamps: { type: "boolean", alias: "t", description: "Show timestamps" },
    until: {
      type: "string",
      description: 'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
    },
  },
  async run({ flags, operands, directories }) {
    const since = await timeFlag("since", flags.since);
    const until = await timeFlag("until", flags.until);
    using engine = openEngine(directories);
    const record = currentContainer(engine, operands[0] ?? "");
    const source = logSource(engine, record);
    const request = {
      ...(flags.details ? { details: source.details } : {}),
      timestamps: flags.timestamps,
      // Docker: a bad or negative number means all.
      ...(/^\d{1,15}$/.test(flags.tail) ? { tail: Number(flags.tail) } : {}),
      ...(since === undefined ? {} : { sinceNs: since }),
      ...(until === undefined ? {} : { untilNs: until }),
    };
    const write = (stream: number, bytes: Uint8Array) => writeOut(stream === LOG_STDERR ? STDERR : STDOUT, bytes);
    const following =
      flags.follow && isLive(record.state) ? { runtime: record.runtime, outputFds: [STDOUT] } : undefined;
    printLog(source, request, write, following);
    return 0;
  },
});

async function timeFlag(name: string, value: string | undefined): Promise<bigint | undefined> {
  // Docker: "0" is no time either.
  if (value === undefined || value === "" || value === "0") return undefined;
  const { parseMoment } = await import("../../../internal/image/moment.ts");
  return parseMoment(name, value, Date.now());
}
