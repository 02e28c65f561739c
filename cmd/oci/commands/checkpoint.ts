/** `checkpoint`: refused. */
import { refusedCommand } from "../criu.ts";

export const command = refusedCommand("checkpoint", "checkpoint a running container");
