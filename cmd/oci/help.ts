/** Help, in the form that runc gives. */
import { CtrError } from "../../internal/errors/error.ts";
import { COMMANDS } from "./commands.ts";

const GLOBAL_OPTIONS = `GLOBAL OPTIONS:
   --debug             enable debug logging
   --log value         set the log file to write logs to (default is '/dev/stderr')
   --log-format value  set the log format ('text' (default), or 'json') (default: "text")
   --root value        root directory for storage of container state (default: "/run/ctr-oci")
   --criu value        accepted; checkpoints are not made
   --systemd-cgroup    expect cgroupsPath to be of form "slice:prefix:name", for e.g. "system.slice:ctr:434234"
   --rootless value    ignore cgroup permission errors ('true', 'false', or 'auto') (default: "auto")
   --help, -h          show help
   --version, -v       print the version
`;

/** The text about one subcommand, or about all of them. */
export async function helpText(name: string | undefined): Promise<string> {
  if (name !== undefined) return await commandHelp(name);
  const rows = await Promise.all(
    Object.entries(COMMANDS).map(
      async ([word, load]) => `   ${word.padEnd(11)} ${(await load?.())?.command.summary}\n`,
    ),
  );
  return `NAME:
   ctr oci - Open Container Initiative runtime

USAGE:
   ctr oci [global options] command [command options] [arguments...]

COMMANDS:
${rows.join("")}
${GLOBAL_OPTIONS}`;
}

async function commandHelp(name: string): Promise<string> {
  const loaded = await COMMANDS[name]?.();
  if (loaded === undefined) throw new CtrError("not-found", `No help topic for '${name}'`);
  const { command } = loaded;
  const flags = Object.entries(command.flags).map(([names, kind]) => {
    const words = names.split(",").map((word) => `${word.length === 1 ? "-" : "--"}${word}`);
    return `   ${words.join(", ")}${kind === "switch" ? "" : " value"}\n`;
  });
  const options = flags.length === 0 ? "" : `\nOPTIONS:\n${flags.join("")}`;
  return `NAME:
   ctr oci ${name} - ${command.summary}

USAGE:
   ctr oci ${name} ${command.usage}
${options}`;
}
