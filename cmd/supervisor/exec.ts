/** `ctr exec`: another program in the container, with streams of its own. */
import type { ToSupervisor } from "../../internal/ipc/supervisor.ts";
import { failure } from "./failure.ts";
import { startInside } from "./inside.ts";
import { Audience, type Client } from "./output.ts";
import { follow } from "./requests.ts";
import type { Supervision } from "./supervision.ts";

type ExecRequest = Extract<ToSupervisor, { type: "exec" }>;

/** Starts the program, answers `started`, carries its streams, and answers `exited` when it has ended. */
export async function startExec(supervision: Supervision, client: Client, request: ExecRequest): Promise<void> {
  const hasInput = request.streams?.stdin ?? false;
  const started = await startInside(supervision, request.process, { hasInput, size: request.size });
  const { pid, pidfd, streams } = started;
  const audience = new Audience();
  let isOver = false;
  client.send({ type: "started", pid });
  if (request.streams === undefined) client.end();
  else {
    audience.add(client, request.streams);
    const program = { pidfd, input: streams.input, terminal: streams.terminal, closesInput: true };
    void follow(client, () => (isOver ? undefined : program), request.streams).catch((error: unknown) => {
      client.send(failure(error));
      client.end();
    });
  }
  const status = await started.finished((stream, data) => audience.tell(stream, data));
  isOver = true;
  audience.dismiss({ type: "exited", status });
}
