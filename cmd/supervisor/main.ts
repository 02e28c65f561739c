/**
 * `ctr supervisor`: looks after one container as long as it may run. Born by `ctr run` or `ctr start` with a socketpair
 * as descriptor 0…3, it waits there for the one `start`; later clients come through its socket.
 */
import { CtrError } from "../../internal/errors/error.ts";
import { connectFd } from "../../internal/ipc/connection.ts";
import { type FromSupervisor, SUPERVISOR_SERVER, type ToSupervisor } from "../../internal/ipc/supervisor.ts";
import { chdir, PR_SET_DUMPABLE, prctl, umask } from "../../internal/sys/process.ts";
import { serve } from "./requests.ts";
import { Supervision } from "./supervision.ts";

/** The descriptor of the socketpair to the client that wanted this container started. */
const CLIENT_FD = 3;

async function main(): Promise<void> {
  // exec's child shares this process's memory for a moment: nobody inside the container may look into it.
  prctl(PR_SET_DUMPABLE, 0);
  chdir("/");
  umask(0o022);
  const client = await connectFd<ToSupervisor, FromSupervisor>(CLIENT_FD, SUPERVISOR_SERVER);
  const request = await client.receive();
  // The client changed its mind (a bad flag, an unknown image): nothing has been done yet.
  if (request === undefined) return;
  if (request.type !== "start") throw new CtrError("invalid", `${request.type} before start`);
  const supervision = Supervision.open(request.id, { root: setting("CTR_ROOT"), state: setting("CTR_STATE") });
  void serve(supervision, client, request);
  await supervision.ended;
}

function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new CtrError("invalid", `${name} is not set: the supervisor is started by ctr`);
  return value;
}

await main();
process.exit(0);
