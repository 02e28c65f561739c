/** The flags that `create` and `run` share. */
import type { CreateOptions } from "../../internal/oci/create.ts";
import { type Call, warnIn } from "./command.ts";
import type { FlagTable } from "./flags.ts";
import { givenDescriptors } from "./given-descriptors.ts";

export const BUNDLE_FLAGS: FlagTable = {
  "bundle,b": "text",
  "console-socket": "text",
  "pid-file": "text",
  "pidfd-socket": "text",
  "no-pivot": "switch",
  // A container has a session keyring of its own in any case: its caller's is not for it.
  "no-new-keyring": "switch",
  "preserve-fds": "text",
};

/** What `create` and `run` are to make. */
export function createOptions(call: Call, id: string): CreateOptions {
  const { flags, globals } = call;
  const bundle = flags.text("bundle") ?? "";
  const consoleSocket = given(flags.text("console-socket"));
  const pidFile = given(flags.text("pid-file"));
  const pidfdSocket = given(flags.text("pidfd-socket"));
  return {
    root: globals.root,
    id,
    bundle: bundle === "" ? process.cwd() : absolute(bundle),
    usesSystemd: globals.usesSystemd,
    noPivot: flags.isSet("no-pivot"),
    warn: warnIn(call),
    stdio: [0, 1, 2],
    ...givenDescriptors(flags.integer("preserve-fds") ?? 0),
    ...(consoleSocket === undefined ? {} : { consoleSocket }),
    ...(pidFile === undefined ? {} : { pidFile }),
    ...(pidfdSocket === undefined ? {} : { pidfdSocket }),
    ...notifySocket(),
  };
}

/** A service manager's, which waits for the program's word (sd_notify(3)). */
export function notifySocket(): { readonly notifySocket?: string } {
  const path = given(process.env["NOTIFY_SOCKET"]);
  return path === undefined ? {} : { notifySocket: path };
}

function given(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

function absolute(path: string): string {
  const whole = path.startsWith("/") ? path : `${process.cwd()}/${path}`;
  return whole.length > 1 ? whole.replace(/\/+$/, "") : whole;
}
