/** From the first client's request to the container's rest. */
import { CtrError } from "../../internal/errors/error.ts";
import { connectFd } from "../../internal/ipc/connection.ts";
import { type FromSupervisor, SUPERVISOR_SERVER, type ToSupervisor } from "../../internal/ipc/supervisor.ts";
import type { EarlyStart } from "./early.ts";
import { failure } from "./failure.ts";
import { delivered } from "./output.ts";

/** The descriptor of the socketpair to the client that wanted this container started. */
const CLIENT_FD = 3;

/** Serves the client on the socketpair and whoever comes later; resolves when nothing is left to do. */
export async function supervise(
  directories: { readonly root: string; readonly state: string },
  early: EarlyStart | undefined,
): Promise<void> {
  const client = await connectFd<ToSupervisor, FromSupervisor>(CLIENT_FD, SUPERVISOR_SERVER);
  try {
    const request = await client.receive();
    if (request === undefined) {
      // The client changed its mind (a bad flag, an unknown image): nothing has been recorded yet.
      early?.abandon();
      return;
    }
    if (request.type !== "start") throw new CtrError("invalid", `${request.type} before start`);
    const { hasSpec } = request;
    const { openSupervision } = await import("./supervision.ts");
    const { serve } = await import("./requests.ts");
    const supervision = openSupervision(
      request.id,
      directories,
      early === undefined ? undefined : { ...early, hasSpec },
    );
    void serve(supervision, client, request);
    await supervision.ended;
    return;
  } catch (error) {
    early?.abandon();
    client.send(failure(error));
  }
  client.end();
  await delivered(client);
}
