/**
 * A client and a container's supervisor. The same conversation runs over the socketpair that a new supervisor is born
 * with (descriptor 3) and over `<state>/containers/<id>/supervisor.sock`, which a running one listens on.
 *
 *   client                          supervisor
 *     │ start {id, streams?, …} ─────▶ │   only on the socketpair, once
 *     │ ◀── started {pid} | failed      │
 *     │                                 │
 *     │ attach {streams} ─────────────▶ │   on a running container
 *     │ ◀── attached                    │
 *     │ exec {process, streams} ──────▶ │
 *     │ ◀── started {pid} | failed | not-meant
 *     │                                 │   after attach, start with attach, exec:
 *     │ stdin {data}… stdin-end ──────▶ │   (credit: the client keeps at most STDIN_WINDOW bytes unacknowledged)
 *     │ ◀── stdin-taken {bytes}         │
 *     │ resize, signal ───────────────▶ │
 *     │ ◀── output {stream, data}…      │
 *     │ ◀── exited {status, …}          │   then the supervisor ends the connection
 *     │                                 │
 *     │ stop | kill | pause | resume | restart | remove | reread
 *     │ ◀── done | failed               │
 *     │ wait ─────────────────────────▶ │   ◀── exited
 *     │ execs ────────────────────────▶ │   ◀── execs {ids}
 */
import { ProtocolError } from "../errors/error.ts";
import type { Conversation } from "./connection.ts";
import {
  asFields,
  boolean,
  bytes,
  type Fields,
  integer,
  oneOf,
  optionalInteger,
  optionalText,
  text,
  textList,
} from "./fields.ts";

export const SUPERVISOR_VERSION = 1;
/** How much standard input may be under way, in bytes, before the supervisor has said it took some. */
export const STDIN_WINDOW = 1 << 20;

/** Which streams of the program the client wants. */
export interface Streams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** What `ctr exec` asks for; what is absent is the container's own. */
export interface ExecProcess {
  readonly args: readonly string[];
  /** Added to (and replacing in) the container's environment. */
  readonly env: readonly string[];
  readonly cwd?: string;
  /** `name|uid[:group|gid]`, resolved in the container. */
  readonly user?: string;
  readonly terminal: boolean;
  readonly privileged: boolean;
}

/** What a client tells a supervisor. */
export type ToSupervisor =
  /** `hasSpec`: the init that the supervisor was born with was given its spec by who recorded the container. */
  | {
      readonly type: "start";
      readonly id: string;
      readonly streams?: Streams;
      readonly size?: TerminalSize;
      readonly hasSpec: boolean;
    }
  | { readonly type: "attach"; readonly streams: Streams; readonly size?: TerminalSize }
  /** `meant`: what the user has called the container; the answer is `not-meant` if that is another one. */
  | {
      readonly type: "exec";
      readonly process: ExecProcess;
      readonly streams?: Streams;
      readonly size?: TerminalSize;
      readonly meant?: string;
    }
  | { readonly type: "stdin"; readonly data: Uint8Array }
  | { readonly type: "stdin-end" }
  | { readonly type: "resize"; readonly rows: number; readonly columns: number }
  /** To the attached program (sig-proxy). */
  | { readonly type: "signal"; readonly signal: number }
  /** Stop signal (the container's own unless given), wait `timeoutMs` (-1 for ever), then SIGKILL. */
  /** `isShutdown`: the machine goes down. It is no stop by hand, so that a restart policy still holds after the boot. */
  | { readonly type: "stop"; readonly signal?: number; readonly timeoutMs?: number; readonly isShutdown?: boolean }
  | { readonly type: "kill"; readonly signal: number }
  | { readonly type: "restart"; readonly signal?: number; readonly timeoutMs?: number }
  | { readonly type: "pause" }
  | { readonly type: "resume" }
  /** Kill, and let everything of the container go, its record too. */
  | { readonly type: "remove"; readonly volumes: boolean }
  /** What is recorded of the container was changed by another process (`rename`, `update`). */
  | { readonly type: "reread" }
  | { readonly type: "wait" }
  /** Which programs of `exec` and of health checks run. */
  | { readonly type: "execs" };

/** Why something could not be started: Docker's exit status travels with the words. */
export interface Failure {
  readonly message: string;
  /** 125, 126 or 127 for a start; 1 otherwise. */
  readonly exitStatus: number;
}

/** What a supervisor tells a client. */
export type FromSupervisor =
  | { readonly type: "started"; readonly pid: number; readonly warnings?: readonly string[] }
  | { readonly type: "attached"; readonly terminal: boolean }
  | ({ readonly type: "failed" } & Failure)
  | { readonly type: "not-meant" }
  | { readonly type: "stdin-taken"; readonly bytes: number }
  | { readonly type: "output"; readonly stream: "stdout" | "stderr"; readonly data: Uint8Array }
  | { readonly type: "exited"; readonly status: number; readonly error?: string }
  | { readonly type: "execs"; readonly ids: readonly string[] }
  | { readonly type: "done" };

/** The client's end. */
export const SUPERVISOR_CLIENT: Conversation<FromSupervisor> = {
  name: "supervisor",
  version: SUPERVISOR_VERSION,
  decode: decodeFromSupervisor,
};

/** The supervisor's end. */
export const SUPERVISOR_SERVER: Conversation<ToSupervisor> = {
  name: "supervisor",
  version: SUPERVISOR_VERSION,
  decode: decodeToSupervisor,
};

/** Where a running supervisor listens. */
export function supervisorSocket(state: string, id: string): string {
  return `${state}/containers/${id}/supervisor.sock`;
}

const MAX_SIGNAL = 64;

/** Checks a message of a client. Throws ProtocolError. */
export function decodeToSupervisor(value: unknown): ToSupervisor {
  const fields = asFields(value);
  const type = text(fields, "type");
  switch (type) {
    case "start":
      return {
        type,
        id: text(fields, "id"),
        ...optionalStreams(fields),
        ...optionalSize(fields),
        hasSpec: boolean(fields, "hasSpec"),
      };
    case "attach":
      return { type, streams: streams(fields), ...optionalSize(fields) };
    case "exec":
      return {
        type,
        process: execProcess(asFields(fields["process"])),
        ...optionalStreams(fields),
        ...optionalSize(fields),
        ...(fields["meant"] === undefined ? {} : { meant: text(fields, "meant") }),
      };
    case "stdin":
      return { type, data: bytes(fields, "data") };
    case "stdin-end":
    case "pause":
    case "resume":
    case "reread":
    case "wait":
    case "execs":
      return { type };
    case "resize":
      return { type, ...size(fields) };
    case "signal":
    case "kill":
      return { type, signal: integer(fields, "signal", 0, MAX_SIGNAL) };
    case "stop":
    case "restart": {
      const signal = optionalInteger(fields, "signal", 1, MAX_SIGNAL);
      const timeoutMs = optionalInteger(fields, "timeoutMs", -1);
      return {
        type,
        ...(signal === undefined ? {} : { signal }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        ...(type === "stop" && fields["isShutdown"] !== undefined ? { isShutdown: boolean(fields, "isShutdown") } : {}),
      };
    }
    case "remove":
      return { type, volumes: boolean(fields, "volumes") };
    default:
      throw new ProtocolError(`unknown message ${type}`);
  }
}

/** Checks a message of a supervisor. Throws ProtocolError. */
export function decodeFromSupervisor(value: unknown): FromSupervisor {
  const fields = asFields(value);
  const type = text(fields, "type");
  switch (type) {
    case "started":
      return {
        type,
        pid: integer(fields, "pid", 1),
        ...(fields["warnings"] === undefined ? {} : { warnings: textList(fields, "warnings") }),
      };
    case "attached":
      return { type, terminal: boolean(fields, "terminal") };
    case "failed":
      return { type, message: text(fields, "message"), exitStatus: integer(fields, "exitStatus", 0, 255) };
    case "stdin-taken":
      return { type, bytes: integer(fields, "bytes", 0) };
    case "output":
      return { type, stream: oneOf(fields, "stream", ["stdout", "stderr"]), data: bytes(fields, "data") };
    case "exited": {
      const error = optionalText(fields, "error");
      return { type, status: integer(fields, "status", 0, 255), ...(error === undefined ? {} : { error }) };
    }
    case "execs":
      return { type, ids: textList(fields, "ids") };
    case "done":
    case "not-meant":
      return { type };
    default:
      throw new ProtocolError(`unknown message ${type}`);
  }
}

function streams(fields: Fields): Streams {
  const wanted = asFields(fields["streams"]);
  return { stdin: boolean(wanted, "stdin"), stdout: boolean(wanted, "stdout"), stderr: boolean(wanted, "stderr") };
}

function optionalStreams(fields: Fields): { readonly streams?: Streams } {
  return fields["streams"] === undefined ? {} : { streams: streams(fields) };
}

function size(fields: Fields): TerminalSize {
  return { rows: integer(fields, "rows", 0, 65535), columns: integer(fields, "columns", 0, 65535) };
}

function optionalSize(fields: Fields): { readonly size?: TerminalSize } {
  return fields["size"] === undefined ? {} : { size: size(asFields(fields["size"])) };
}

function execProcess(fields: Fields): ExecProcess {
  const cwd = optionalText(fields, "cwd");
  const user = optionalText(fields, "user");
  return {
    args: textList(fields, "args"),
    env: textList(fields, "env"),
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined ? {} : { user }),
    terminal: boolean(fields, "terminal"),
    privileged: boolean(fields, "privileged"),
  };
}
