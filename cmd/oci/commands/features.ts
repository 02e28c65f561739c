/** `features`: what this runtime knows, as JSON (runtime-spec features.md). */
import { features } from "../../../internal/oci/features.ts";
import type { OciCommand } from "../command.ts";
import { print } from "../log.ts";

export const command: OciCommand = {
  flags: {},
  operands: [0, 0],
  usage: "",
  summary: "show the enabled features",
  run() {
    print(`${JSON.stringify(features(), undefined, 4)}\n`);
    return 0;
  },
};
