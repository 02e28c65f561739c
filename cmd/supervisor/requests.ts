/** What clients ask of a supervisor: one connection, one request, and what follows from it. */
import { CtrError, ESRCH, isErrno } from "../../internal/errors/error.ts";
import { STDIN_WINDOW, type Streams, type ToSupervisor } from "../../internal/ipc/supervisor.ts";
import type { Fd } from "../../internal/sys/fd.ts";
import { pidfdSendSignal } from "../../internal/sys/process.ts";
import { setWindowSize } from "../../internal/sys/pty.ts";
import { failure } from "./failure.ts";
import type { Input } from "./input.ts";
import type { Client } from "./output.ts";
import type { Supervision } from "./supervision.ts";

/** What an attached client's stdin, resize and signal messages go to. */
export interface Program {
  readonly pidfd: Fd;
  readonly input: Input | undefined;
  /** The terminal's master. */
  readonly terminal: Fd | undefined;
  /** Records what its clients do to it, if that is an event: of the container's own program it is. */
  readonly tell?: (action: string, attributes: { readonly [name: string]: string }) => void;
  /** True if the end of the client's input is the end of the program's. */
  readonly closesInput: boolean;
}

/** Answers one client from its first request to the end of its connection; a client's fault ends only its connection. */
export async function serve(supervision: Supervision, client: Client, first?: ToSupervisor): Promise<void> {
  try {
    const request = first ?? (await client.receive());
    if (request === undefined) return;
    supervision.admit(client);
    await answer(supervision, client, request);
  } catch (error) {
    client.send(failure(error));
    client.end();
  }
}

async function answer(supervision: Supervision, client: Client, request: ToSupervisor): Promise<void> {
  switch (request.type) {
    case "start": {
      if (request.streams !== undefined) {
        supervision.audience.add(client, request.streams);
        supervision.tell("attach");
      }
      try {
        await supervision.start(request.size, client);
        if (request.streams === undefined) client.end();
        else await follow(client, () => supervision.program(), request.streams);
        return;
      } catch (error) {
        supervision.audience.remove(client);
        throw error;
      }
    }
    case "attach": {
      const program = supervision.program();
      if (program === undefined) throw supervision.notRunning("attach to");
      supervision.audience.add(client, request.streams);
      client.send({ type: "attached", terminal: program.terminal !== undefined });
      supervision.tell("attach");
      if (request.size !== undefined) resize(program, request.size.rows, request.size.columns);
      return await follow(client, () => supervision.program(), request.streams);
    }
    case "exec": {
      if (request.meant !== undefined && !supervision.isMeant(request.meant)) {
        client.send({ type: "not-meant" });
        client.end();
        return;
      }
      // Most containers never see one.
      const { startExec } = await import("./exec.ts");
      return await startExec(supervision, client, request);
    }
    case "stop":
      await supervision.stop(request.signal, request.timeoutMs, request.isShutdown);
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
    case "reread":
      supervision.reread();
      return done(client);
    case "remove":
      await supervision.remove(request.volumes);
      return done(client);
    case "wait":
      supervision.audience.add(client, { stdin: false, stdout: false, stderr: false });
      return;
    case "execs":
      client.send({ type: "execs", ids: [...supervision.execs] });
      client.end();
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

/**
 * Carries an attached client's input to the program until the client goes. `current` is asked for each message: a restart
 * gives the container another program, and what comes when none runs is dropped.
 */
export async function follow(client: Client, current: () => Program | undefined, streams: Streams): Promise<void> {
  let underWay = 0;
  // Not waited for: a signal must get past input that nobody reads.
  const later = (work: Promise<void>, then: () => void = () => {}) => {
    work.then(then, (error: unknown) => {
      client.send(failure(error));
      client.end();
    });
  };
  try {
    for (let message = await client.receive(); message !== undefined; message = await client.receive()) {
      const program = current();
      switch (message.type) {
        case "stdin": {
          if (!streams.stdin) break;
          const { length } = message.data;
          underWay += length;
          if (underWay > 2 * STDIN_WINDOW) throw new CtrError("invalid", "more input than its window allows");
          later(program?.input?.write(message.data) ?? Promise.resolve(), () => {
            underWay -= length;
            client.send({ type: "stdin-taken", bytes: length });
          });
          break;
        }
        case "stdin-end":
          later(endInput(program, streams));
          break;
        case "resize":
          if (program !== undefined) resize(program, message.rows, message.columns);
          break;
        case "signal":
          if (program !== undefined) signal(program, message.signal);
          break;
        default:
          throw new CtrError("invalid", `${message.type} on an attached connection`);
      }
    }
  } finally {
    // A client that was killed inside a message is gone too.
    await endInput(current(), streams);
  }
}

async function endInput(program: Program | undefined, streams: Streams): Promise<void> {
  if (program === undefined || !streams.stdin || !program.closesInput || program.terminal !== undefined) return;
  await program.input?.end();
}

/** A program that has just ended needs no signal; its end is on its way to the client. */
function signal(program: Program, number: number): void {
  try {
    pidfdSendSignal(program.pidfd.number, number);
    program.tell?.("kill", { signal: String(number) });
  } catch (error) {
    if (!isErrno(error, ESRCH)) throw error;
  }
}

function resize(program: Program, rows: number, columns: number): void {
  if (program.terminal === undefined) return;
  setWindowSize(program.terminal.number, rows, columns);
  program.tell?.("resize", { height: String(rows), width: String(columns) });
}
