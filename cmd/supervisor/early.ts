/**
 * The init that a new supervisor was born with: started by the client in the namespaces that it has read off the command
 * line, so that the two interpreters start side by side. `ctr supervisor ID CGROUP-PARENT [stdin]`, with descriptors as
 * `spawnWithInit` (internal/container/spawn-supervisor.ts) gives them. Init ends by itself when its socket closes.
 */
import { cgroupsPath } from "../../internal/cgroups/birth.ts";
import { openCgroup } from "../../internal/cgroups/cgroup.ts";
import { forgetStart } from "../../internal/container/starting.ts";
import { adoptInit, type WaitingInit } from "../../internal/runtime/waiting-init.ts";
import { Fd } from "../../internal/sys/fd.ts";
import { Input } from "./input.ts";
import { ProgramStreams } from "./streams.ts";

/** After 0 to 2, and 3 to the client. */
const PIDFD = 4;
const CONTROL = 5;
const STDOUT = 6;
const STDERR = 7;
const STDIN = 8;

/** An init that waits, with the streams it was born with. */
export interface EarlyStart {
  readonly init: WaitingInit;
  readonly streams: ProgramStreams;
  /** Ends it, as if it had never been. */
  abandon(): void;
}

/** The same, and whether init was given its spec already. */
export type HandedOver = EarlyStart & { readonly hasSpec: boolean };

/** The init that came with these arguments; undefined without them. */
export function adoptEarly(state: string, args: readonly string[]): EarlyStart | undefined {
  const [id, cgroupParent, stdin] = args;
  if (id === undefined || cgroupParent === undefined) return undefined;
  const init = adoptInit(new Fd(PIDFD), openCgroup(cgroupsPath(id, cgroupParent)), new Fd(CONTROL));
  const streams = new ProgramStreams(
    [
      { stream: "stdout", fd: new Fd(STDOUT) },
      { stream: "stderr", fd: new Fd(STDERR) },
    ],
    stdin === "stdin" ? new Input(new Fd(STDIN)) : undefined,
  );
  const abandon = () => {
    init.abandon();
    forgetStart(state, id);
  };
  return { init, streams, abandon };
}
