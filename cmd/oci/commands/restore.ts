/** `restore`: refused, and told why. */
import { CtrError } from "../../../internal/errors/error.ts";
import type { OciCommand } from "../command.ts";

export const command: OciCommand = {
  flags: {
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
    "bundle,b": "text",
    "console-socket": "text",
    "pid-file": "text",
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
  },
  operands: [1, 1],
  usage: "[command options] <container-id>",
  summary: "not supported: restore a container from a previous checkpoint",
  run() {
    throw new CtrError("unsupported", "restore is not supported: containers are not written to images of their memory");
  },
};
