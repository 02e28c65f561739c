/** The flags before a command, and the engine they name. */
import type { Directories } from "./command.ts";

export const GLOBAL_FLAGS = {
  config: {
    type: "string",
    valueHint: "string",
    description: "Directory of the user's own configuration, with the registries' logins (default \"~/.docker\")",
  },
  root: {
    type: "string",
    valueHint: "string",
    description: 'Directory of the engine\'s persistent state (default "/var/lib/ctr")',
  },
  state: {
    type: "string",
    valueHint: "string",
    description: 'Directory of the engine\'s run-time state (default "/run/ctr")',
  },
  "storage-driver": {
    type: "string",
    alias: "s",
    valueHint: "string",
    description: 'How images and containers are kept: "overlay", "vfs" or "btrfs" (default: what works)',
  },
  debug: { type: "boolean", alias: "D", description: "Print the stack and the causes of a failure" },
  version: { type: "boolean", alias: "v", description: "Print version information and quit" },
} as const;

/** The engine's directories: the flags, else `CTR_ROOT` and `CTR_STATE`, else the machine's own. */
export function engineDirectories(globals: {
  readonly root: string | undefined;
  readonly state: string | undefined;
  readonly "storage-driver": string | undefined;
}): Directories {
  const driver = globals["storage-driver"] ?? process.env["CTR_STORAGE_DRIVER"] ?? "";
  return {
    ...(driver === "" ? {} : { storageDriver: driver }),
    config: process.env["CTR_CONFIG"],
    root: directory(globals.root ?? process.env["CTR_ROOT"], "/var/lib/ctr"),
    state: directory(globals.state ?? process.env["CTR_STATE"], "/run/ctr"),
  };
}

/** Absolute and without a slash at its end: the engine's processes do not share a current directory. */
function directory(given: string | undefined, preset: string): string {
  if (given === undefined || given === "") return preset;
  const absolute = given.startsWith("/") ? given : `${process.cwd()}/${given}`;
  return absolute.replace(/(?<=.)\/+$/, "");
}
