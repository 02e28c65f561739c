/**
 * The service manager that started us, systemd: what it hands over (sd_listen_fds(3)), and what it is told (sd_notify(3)).
 * Datagrams of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names; without one nobody is told anything.
 *
 *   systemd                               service
 *     │ LISTEN_FDS: socket, kept ones ─────▶ │   at its start
 *     │ ◀──────────────── READY=1, STATUS=…  │
 *     │ ◀──────────────────────  WATCHDOG=1  │   within WATCHDOG_USEC, again and again
 *     │ ◀──── FDSTORE=1, FDNAME=… and a fd   │   comes back among LISTEN_FDS, if we end and are started again
 *     │ ◀──────── FDSTOREREMOVE=1, FDNAME=…  │
 *     │ SIGHUP ────────────────────────────▶ │
 *     │ ◀──────────────── RELOADING=1, READY │
 *     │ SIGTERM ───────────────────────────▶ │
 *     │ ◀────────────────────── STOPPING=1   │
 */
import { CtrError, withContext } from "../errors/error.ts";
import { dup, Fd } from "../sys/fd.ts";
import { AF_UNIX, connect, SOCK_DGRAM, send, sendFd, socket, unixAddress } from "../sys/socket.ts";

/** sd_listen_fds(3): the first descriptor handed over. */
const SD_LISTEN_FDS_START = 3;
/** One that does so hands over fewer. */
const MAX_HANDED_OVER = 65_536;
/** `sun_path` of unix(7), with its NUL. */
const MAX_SOCKET_NAME = 108;

export interface ServiceManager extends Disposable {
  /** True if somebody is told. */
  readonly isThere: boolean;
  /** How often `WATCHDOG=1` is wanted at least; undefined when it is not wanted. */
  readonly watchdogMs: number | undefined;
  /** Lines such as `READY=1`. One that has gone away is no reason to fail. */
  notify(...lines: readonly string[]): void;
  /** Keeps a descriptor beyond our end, for the next of us; where it cannot be kept, it is not. */
  keep(name: string, fd: number): void;
  /** Lets go of what is kept under a name. */
  forget(name: string): void;
}

export type Environment = { readonly [name: string]: string | undefined };

/** The manager of this process. Throws CtrError for a `NOTIFY_SOCKET` that cannot be one. */
export function openServiceManager(environment: Environment, onFailure: (error: unknown) => void): ServiceManager {
  const { NOTIFY_SOCKET: name = "" } = environment;
  if (name === "") return NOBODY;
  const fd = socket(AF_UNIX, SOCK_DGRAM);
  try {
    connect(fd.number, notifyAddress(name), name);
  } catch (error) {
    fd.close();
    throw error;
  }
  const tell = (action: (number: number) => void): void => {
    try {
      action(fd.number);
    } catch (error) {
      onFailure(withContext("tell the service manager", error));
    }
  };
  return {
    isThere: true,
    watchdogMs: watchdogOf(environment),
    notify: (...lines) => tell((number) => send(number, encode(lines))),
    // FDPOLL=0: a datagram's late error would make systemd drop the socket (systemd 246).
    keep: (called, kept) =>
      tell((number) => sendFd(number, kept, encode(["FDSTORE=1", `FDNAME=${called}`, "FDPOLL=0"]))),
    forget: (called) => tell((number) => send(number, encode(["FDSTOREREMOVE=1", `FDNAME=${called}`]))),
    [Symbol.dispose]: () => fd.close(),
  };
}

const NOBODY: ServiceManager = {
  isThere: false,
  watchdogMs: undefined,
  notify: () => {},
  keep: () => {},
  forget: () => {},
  [Symbol.dispose]: () => {},
};

function encode(lines: readonly string[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(lines.map((line) => line.replaceAll("\n", " ")).join("\n"));
}

/** A path, or with `@` a name in the abstract space, whose bytes are all of the address. */
function notifyAddress(name: string): Uint8Array {
  if ((!name.startsWith("/") && !name.startsWith("@")) || name.length < 2)
    throw new CtrError("invalid", `NOTIFY_SOCKET must be a path or an abstract name: ${name}`);
  const address = unixAddress(name);
  if (address.length > 2 + MAX_SOCKET_NAME) throw new CtrError("invalid", `NOTIFY_SOCKET is too long: ${name}`);
  if (!name.startsWith("@")) return address;
  address[2] = 0;
  return address.slice(0, -1);
}

/** sd_watchdog_enabled(3) */
function watchdogOf({ WATCHDOG_USEC, WATCHDOG_PID }: Environment): number | undefined {
  if (WATCHDOG_USEC === undefined || !/^[0-9]{1,15}$/.test(WATCHDOG_USEC)) return undefined;
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== String(process.pid)) return undefined;
  const microseconds = Number(WATCHDOG_USEC);
  return microseconds === 0 ? undefined : microseconds / 1000;
}

/** A descriptor that was handed over, and what it is called: the name of its socket unit, or one given to `keep`. */
export interface HandedOver {
  readonly name: string;
  readonly fd: Fd;
}

/**
 * What the manager handed over; nothing for a process that it is not meant for. Each is moved to a number that the kernel
 * chooses, and is close-on-exec. To be called once.
 */
export function takeHandedOver({ LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = "" }: Environment): HandedOver[] {
  if (LISTEN_PID !== String(process.pid) || LISTEN_FDS === undefined || !/^[0-9]+$/.test(LISTEN_FDS)) return [];
  const count = Number(LISTEN_FDS);
  if (count > MAX_HANDED_OVER) throw new CtrError("invalid", `LISTEN_FDS is ${LISTEN_FDS}`);
  const names = LISTEN_FDNAMES.split(":");
  return Array.from({ length: count }, (_, index) => {
    using original = new Fd(SD_LISTEN_FDS_START + index);
    return { name: names[index] ?? "unknown", fd: dup(original.number) };
  });
}
