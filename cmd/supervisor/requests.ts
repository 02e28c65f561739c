/** What clients ask of a supervisor: one connection, one request, and what follows from it. */
import { CtrError } from "../../internal/errors/error.ts";
import type { Streams, ToSupervisor } from "../../internal/ipc/supervisor.ts";
import { pidfdSendSignal } from "../../internal/sys/process.ts";
import { setWindowSize } from "../../internal/sys/pty.ts";
import { startExec } from "./exec.ts";
import { failure } from "./failure.ts";
import type { Input } from "./input.ts";
import type { Client } from "./output.ts";
import type { Supervision } from "./supervision.ts";

/** What an attached client's stdin, resize and signal messages go to. */
export interface Program {
  readonly pidfd: number;
  readonly input: Input | undefined;
  /** The terminal's master. */
  readonly terminal: number | undefined;
  /** True if the end of the client's input is the end of the program's. */
  readonly closesInput: boolean;
}

/** Answers one client from its first request to the end of its connection; a client's fault ends only its connection. */
export async function serve(supervision: Supervision, client: Client, first?: ToSupervisor): Promise<void> {
  try {
    const request = first ?? (await client.receive());
    if (request !== undefined) await answer(supervision, client, request);
  } catch (error) {
    client.send(failure(error));
    client.end();
  }
}

async function answer(supervision: Supervision, client: Client, request: ToSupervisor): Promise<void> {
  switch (request.type) {
    case "start": {
      if (request.streams !== undefined) supervision.audience.add(client, request.streams);
      try {
        const pid = await supervision.start(request.size, client);
        if (request.streams === undefined) client.end();
        else await follow(client, supervision.program(), request.streams);
        return void pid;
      } catch (error) {
        supervision.audience.remove(client);
        throw error;
      }
    }
    case "attach": {
      const program = supervision.program();
      supervision.audience.add(client, request.streams);
      client.send({ type: "attached", terminal: program.terminal !== undefined });
      if (request.size !== undefined) resize(program, request.size.rows, request.size.columns);
      return await follow(client, program, request.streams);
    }
    case "exec":
      return await startExec(supervision, client, request);
    case "stop":
      await supervision.stop(request.signal, request.timeoutMs);
      return done(client);
    case "kill":
      supervision.kill(request.signal);
      return done(client);
    case "restart":
      await supervision.restart(request.signal, request.timeoutMs);
      return done(client);
    case "pause":
      supervision.pause();
      return done(client);
    case "resume":
      supervision.resume();
      return done(client);
    case "remove":
      await supervision.remove(request.volumes);
      return done(client);
    case "wait":
      supervision.audience.add(client, { stdin: false, stdout: false, stderr: false });
      return;
    case "stdin":
    case "stdin-end":
    case "resize":
    case "signal":
      throw new CtrError("invalid", `${request.type} before attach`);
    default:
      request satisfies never;
  }
}

function done(client: Client): void {
  client.send({ type: "done" });
  client.end();
}

/** Carries an attached client's input to the program until the client goes. */
export async function follow(client: Client, program: Program, streams: Streams): Promise<void> {
  for (;;) {
    const message = await client.receive();
    if (message === undefined || message.type === "stdin-end") {
      if (streams.stdin && program.closesInput && program.terminal === undefined) await program.input?.end();
      if (message === undefined) return;
      continue;
    }
    switch (message.type) {
      case "stdin":
        if (!streams.stdin) break;
        await program.input?.write(message.data);
        client.send({ type: "stdin-taken", bytes: message.data.length });
        break;
      case "resize":
        resize(program, message.rows, message.columns);
        break;
      case "signal":
        pidfdSendSignal(program.pidfd, message.signal);
        break;
      default:
        throw new CtrError("invalid", `${message.type} on an attached connection`);
    }
  }
}

function resize(program: Program, rows: number, columns: number): void {
  if (program.terminal !== undefined) setWindowSize(program.terminal, rows, columns);
}
