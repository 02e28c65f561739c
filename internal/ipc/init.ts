/**
 * A supervisor and its init, over the socketpair that init is born with (descriptor 3). Init is single-minded: it reads
 * and writes with blocking calls, in this order.
 *
 *   supervisor                         init
 *     │ create {config, secrets?} ──────▶ │   by whoever has the spec: the client of a new container, or the supervisor
 *     │                                   │   mounts, devices, terminal …
 *     │ ◀── prepared                      │   only if the spec has hooks of the runtime's: all mounts are there
 *     │ proceed ────────────────────────▶ │   the hooks have run
 *     │ network {interface?, others?} ──▶ │   eth0 up (or only lo), and those of further networks
 *     │ ◀── ready {terminalFd?}           │   the supervisor takes the terminal with pidfd_getfd(2)
 *     │ start ──────────────────────────▶ │   pivot_root, credentials, seccomp, execve
 *     │ ◀── end of stream                 │   the descriptor is close-on-exec: the program runs
 *     │ ◀── failed {step, syscall, …}     │   instead of any of the above
 *
 * Where nobody stays to say start (an OCI runtime's `create`), init is told to hold instead, and hears the word on the
 * listening socket it was born with (descriptor 4):
 *
 *   create                             init                              start
 *     │ hold ───────────────────────────▶ │
 *     │ ◀── end of stream                 │   it waits
 *                                         │ ◀──────────────── connects, GO │
 *                                         │   credentials, seccomp, execve │
 *                                         │ end of stream, or failed … ──▶ │
 */
import { CtrError, ProtocolError } from "../errors/error.ts";
import { parseJson, stringifyJson } from "../spec/json.ts";
import { parseSpec } from "../spec/parse-spec.ts";
import type { SecretFile, Spec } from "../spec/runtime.ts";
import { asFields, bytes, type Fields, integer, list, optionalInteger, text } from "./fields.ts";
import { decodeInterfaceSetup, type InterfaceSetup } from "./interface-setup.ts";

export const INIT_CONVERSATION = { name: "init", version: 1 } as const;

/** The descriptor of the socketpair in init. */
export const INIT_CONTROL_FD = 3;

/** Init's argument when its spec comes at once: it need not pass the time with what most containers have. */
export const SPEC_COMES = "spec-comes";

/** Init's argument where pivot_root(2) cannot be: the machine's own root is an initramfs. */
export const NO_PIVOT = "no-pivot";

/** The listening socket of an init that may be told to hold. */
export const INIT_LISTENER_FD = 4;

/** Init's argument when the network namespace is its own: loopback is brought up at once. */
export const OWN_NETWORK = "own-network";

/**
 * What a supervisor tells its init. The spec crosses as the text of a bundle's config.json: to write and to read it is
 * the runtime's native code then, ten times as fast in a process that has just begun.
 */
export type ToInit =
  /** `container` is told to hooks. */
  | {
      readonly type: "create";
      readonly config: string;
      readonly secrets?: readonly SecretFile[];
      readonly container?: ContainerName;
    }
  | { readonly type: "proceed" }
  | { readonly type: "network"; readonly interface?: InterfaceSetup; readonly others?: readonly InterfaceSetup[] }
  /** The first `preserved` of the descriptors after the listener are the program's, from 3 on. */
  | { readonly type: "start"; readonly preserved?: number }
  | { readonly type: "hold"; readonly preserved?: number };

/** The same as init acts on it, the spec checked. */
export type ToldInit =
  | Exclude<ToInit, { type: "create" }>
  | { readonly type: "create"; readonly spec: Spec; readonly container?: ContainerName };

/** Who a container is to those outside. */
export interface ContainerName {
  readonly id: string;
  readonly bundle: string;
}

/** The message that hands over a spec. */
export function createMessage({ secrets = [], ...spec }: Spec, container?: ContainerName): ToInit {
  const config = spec.linux?.seccomp === undefined ? JSON.stringify(spec) : stringifyJson(spec);
  return {
    type: "create",
    config,
    ...(secrets.length === 0 ? {} : { secrets }),
    ...(container === undefined ? {} : { container }),
  };
}

/** True if init stops for hooks that run outside, when all but the root's change is done. */
export function hasRuntimeHooks({ hooks = {} }: Pick<Spec, "hooks">): boolean {
  return (hooks.prestart ?? []).length + (hooks.createRuntime ?? []).length > 0;
}

/** What init tells its supervisor. `kind` is for failures that are no system call's. */
export type FromInit =
  | { readonly type: "prepared" }
  | { readonly type: "ready"; readonly terminalFd?: number }
  | {
      readonly type: "failed";
      readonly step: string;
      readonly message: string;
      readonly errno?: number;
      /** 126 or 127 when it was the program, and only then. */
      readonly exitStatus?: number;
    };

/** Checks a message of the supervisor. Throws ProtocolError, or CtrError for a spec that is none. */
export function decodeToInit(value: unknown): ToldInit {
  const fields = asFields(value);
  const type = text(fields, "type");
  switch (type) {
    case "create": {
      const spec = { ...parseSpec(parseConfig(text(fields, "config"))), ...secretsOf(fields) };
      const name = fields["container"];
      return name === undefined ? { type, spec } : { type, spec, container: containerName(asFields(name)) };
    }
    case "proceed":
      return { type };
    case "network":
      return fields["interface"] === undefined
        ? { type }
        : {
            type,
            interface: decodeInterfaceSetup(fields["interface"]),
            ...(fields["others"] === undefined ? {} : { others: list(fields, "others", decodeInterfaceSetup) }),
          };
    case "start":
    case "hold": {
      const preserved = optionalInteger(fields, "preserved", 0, 1024);
      return preserved === undefined ? { type } : { type, preserved };
    }
    default:
      throw new ProtocolError(`unknown message ${type}`);
  }
}

const MAX_ID = 2 ** 32 - 2;

function secretsOf(fields: Fields): { readonly secrets?: readonly SecretFile[] } {
  if (fields["secrets"] === undefined) return {};
  const secrets = list(fields, "secrets", (value): SecretFile => {
    const secret = asFields(value);
    return {
      path: text(secret, "path"),
      uid: integer(secret, "uid", 0, MAX_ID),
      gid: integer(secret, "gid", 0, MAX_ID),
      mode: integer(secret, "mode", 0, 0o777),
      content: bytes(secret, "content"),
    };
  });
  return { secrets };
}

function containerName(fields: Fields): ContainerName {
  return { id: text(fields, "id"), bundle: text(fields, "bundle") };
}

function parseConfig(config: string): unknown {
  try {
    return parseJson(config);
  } catch (error) {
    throw new CtrError("invalid", "the runtime-spec is not JSON", { cause: error });
  }
}

/** Checks a message of init. Throws ProtocolError. */
export function decodeFromInit(value: unknown): FromInit {
  const fields = asFields(value);
  const type = text(fields, "type");
  switch (type) {
    case "prepared":
      return { type };
    case "ready": {
      const terminalFd = optionalInteger(fields, "terminalFd", 0);
      return { type, ...(terminalFd === undefined ? {} : { terminalFd }) };
    }
    case "failed":
      return { type, step: text(fields, "step"), message: text(fields, "message"), ...failureDetails(fields) };
    default:
      throw new ProtocolError(`unknown message ${type}`);
  }
}

function failureDetails(fields: Fields): { errno?: number; exitStatus?: number } {
  const errno = optionalInteger(fields, "errno", 0);
  const exitStatus = optionalInteger(fields, "exitStatus", 126, 127);
  return { ...(errno === undefined ? {} : { errno }), ...(exitStatus === undefined ? {} : { exitStatus }) };
}
