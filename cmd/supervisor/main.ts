/**
 * `ctr supervisor`: looks after one container as long as it may run. Born by `ctr run` or `ctr start` with one end of a
 * socketpair as descriptor 3, it waits there for the one `start`; later clients come through its socket.
 */
import { CtrError } from "../../internal/errors/error.ts";
import { chdir, exitGroup, PR_SET_DUMPABLE, prctl, umask } from "../../internal/sys/process.ts";
import { adoptEarly } from "./early.ts";

function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new CtrError("invalid", `${name} is not set: the supervisor is started by ctr`);
  return value;
}

// exec's child shares this process's memory for a moment: nobody inside the container may look into it.
prctl(PR_SET_DUMPABLE, 0);
chdir("/");
umask(0o022);
const directories = { root: setting("CTR_ROOT"), state: setting("CTR_STATE") };
const early = adoptEarly(directories.state, process.argv.slice(3));
const { supervise } = await import("./supervise.ts");
await supervise(directories, early);
exitGroup(0);
