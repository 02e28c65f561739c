/** `checkpoint` and `restore`: refused, and told why. Their flags are runc's, so that it is that which is told. */
import { CtrError } from "../../internal/errors/error.ts";
import type { OciCommand } from "./command.ts";

/** What both have in common. */
const CRIU_FLAGS: OciCommand["flags"] = {
  "image-path": "text",
  "work-path": "text",
  "parent-path": "text",
  "manage-cgroups-mode": "text",
  "empty-ns": "text",
  "criu-opts": "text",
  "lsm-profile": "text",
  "lsm-mount-context": "text",
  "page-server": "text",
  "status-fd": "text",
  "leave-running": "switch",
  "tcp-established": "switch",
  "ext-unix-sk": "switch",
  "shell-job": "switch",
  "lazy-pages": "switch",
  "file-locks": "switch",
  "pre-dump": "switch",
  "auto-dedup": "switch",
  "no-subreaper": "switch",
  "no-pivot": "switch",
  "detach,d": "switch",
};

/** A command that needs what CRIU does; `more` are flags of its own. */
export function refusedCommand(name: string, does: string, more: OciCommand["flags"] = {}): OciCommand {
  return {
    flags: { ...CRIU_FLAGS, ...more },
    operands: [1, 1],
    usage: "[command options] <container-id>",
    summary: `not supported: ${does}`,
    run() {
      const message = `${name} is not supported: containers are not written to images of their memory`;
      throw new CtrError("unsupported", message);
    },
  };
}
