/** `ctr version`: one program is the client and the engine. */
import { readText } from "../../../internal/sys/file.ts";
import { COMMIT, VERSION } from "../build-stamp.ts";
import { defineCommand } from "../command.ts";
import { INSPECT_HELP } from "../format/help-text.ts";
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

interface Part {
  readonly Version: string;
  readonly GitCommit: string;
  readonly BunVersion: string;
  readonly Os: string;
  readonly Arch: string;
  readonly KernelVersion: string;
}

function versions(): { readonly Client: Part; readonly Server: Part } {
  const part = {
    Version: VERSION,
    GitCommit: COMMIT.slice(0, 7),
    BunVersion: Bun.version,
    Os: "linux",
    Arch: process.arch === "x64" ? "amd64" : process.arch,
    KernelVersion: kernelVersion(),
  };
  return { Client: part, Server: part };
}

/** uname(2)'s release. */
export function kernelVersion(): string {
  return readText("/proc/sys/kernel/osrelease").trim();
}

function describe({ Client, Server }: { readonly Client: Part; readonly Server: Part }): string {
  const lines = (part: Part) =>
    ` Version:           ${part.Version}\n Git commit:        ${part.GitCommit}\n Bun version:       ${part.BunVersion}\n` +
    ` OS/Arch:           ${part.Os}/${part.Arch}\n`;
  return `Client:\n${lines(Client)}\nServer:\n${lines(Server)} Kernel version:    ${Server.KernelVersion}\n`;
}
