/** `ctr version`: one program is the client and the engine. */

import { COMMIT, VERSION } from "../../../internal/sys/build-stamp.ts";
import { readText } from "../../../internal/sys/file.ts";
import { defineCommand, INSPECT_HELP } from "../command.ts";
import { print, printLine } from "../output.ts";

export const command = defineCommand({
  meta: { name: "version", description: "Show the ctr version information" },
  usage: "[OPTIONS]",
  operands: [0, 0],
  flags: {
    format: { type: "string", alias: "f", description: INSPECT_HELP },
  },
  async run({ flags }) {
    const version = versions();
    if (flags.format === undefined || flags.format === "") {
      print(describe(version));
      return 0;
    }
    const { compileObjectFormat } = await import("../format/object.ts");
    printLine(compileObjectFormat(flags.format, "system.versionInfo")(version));
    return 0;
  },
});

/** Docker's object; what there is but one of stands on both sides. */
function versions() {
  const GitCommit = COMMIT.slice(0, 7);
  const Arch = process.arch === "x64" ? "amd64" : process.arch;
  const rest = { GitCommit, BunVersion: Bun.version, Os: "linux", Arch };
  const KernelVersion = kernelVersion();
  return {
    Client: { Version: VERSION, ...rest, Context: "default" },
    Server: {
      Platform: { Name: "ctr" },
      Components: [
        {
          Name: "Engine",
          Version: VERSION,
          Details: { GitCommit, Os: "linux", Arch, KernelVersion },
        },
      ],
      Version: VERSION,
      ...rest,
      KernelVersion,
    },
  };
}

/** uname(2)'s release. */
export function kernelVersion(): string {
  return readText("/proc/sys/kernel/osrelease").trim();
}

function describe({ Client, Server }: ReturnType<typeof versions>): string {
  return (
    `Client:\n Version:           ${Client.Version}\n Git commit:        ${Client.GitCommit}\n` +
    ` Bun version:       ${Client.BunVersion}\n OS/Arch:           ${Client.Os}/${Client.Arch}\n Context:           ${Client.Context}\n\n` +
    `Server:\n Engine:\n  Version:          ${Server.Version}\n  Git commit:       ${Server.GitCommit}\n` +
    `  Bun version:      ${Server.BunVersion}\n  OS/Arch:          ${Server.Os}/${Server.Arch}\n  Kernel version:   ${Server.KernelVersion}\n` +
    "  Experimental:     false\n"
  );
}
