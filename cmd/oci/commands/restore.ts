/** `restore`: refused. */
import { refusedCommand } from "../criu.ts";

export const command = refusedCommand("restore", "restore a container from a previous checkpoint", {
  "bundle,b": "text",
  "console-socket": "text",
  "pid-file": "text",
});
