/** Attaching to a container that runs. */

import { connectRunning } from "../../internal/container/connect.ts";
import type { ContainerRecord } from "../../internal/container/record.ts";
import type { Engine } from "../../internal/db/engine.ts";
import { attachedSession, type Session } from "./stream.ts";
import { terminalSize } from "./terminal.ts";

/** Attaches until the program ends or the user detaches; the program's status, or 0. */
export async function attachToRunning(engine: Engine, record: ContainerRecord, session: Session): Promise<number> {
  const connection = await connectRunning(engine, record);
  const size = session.isTty ? terminalSize() : undefined;
  connection.send({ type: "attach", streams: session.streams });
  if (size !== undefined) {
    // Another size first, then the right one: a program that draws the whole screen draws it again.
    connection.send({ type: "resize", rows: size.rows + 1, columns: size.columns + 1 });
    connection.send({ type: "resize", ...size });
  }
  const ending = await attachedSession(connection, session);
  return ending.kind === "exited" ? ending.status : 0;
}
