/** `spec`: a configuration to begin with. */
import { CtrError, EEXIST, isErrno } from "../../../internal/errors/error.ts";
import { exampleSpec } from "../../../internal/oci/example-spec.ts";
import { AT_FDCWD, O_CREAT, O_EXCL, O_WRONLY, openat, writeAll } from "../../../internal/sys/fd.ts";
import type { OciCommand } from "../command.ts";

export const command: OciCommand = {
  flags: { "bundle,b": "text", rootless: "switch" },
  operands: [0, 0],
  usage: "[command options]",
  summary: "create a new specification file",
  run({ flags }) {
    const bundle = flags.text("bundle") ?? ".";
    const ids = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
    const spec = exampleSpec(flags.isSet("rootless") ? ids : undefined);
    const path = `${bundle}/config.json`;
    try {
      using file = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0o666);
      writeAll(file.number, new TextEncoder().encode(`${JSON.stringify(spec, undefined, "\t")}\n`), path);
    } catch (error) {
      if (!isErrno(error, EEXIST)) throw error;
      throw new CtrError("conflict", "File config.json exists. Remove it first", { cause: error });
    }
    return 0;
  },
};
