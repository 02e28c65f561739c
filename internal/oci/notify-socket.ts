/**
 * A service manager that waits for a container's word (sd_notify(3)): the program gets a socket of its own, and what it says
 * there of being ready is told to the manager, with the pid that is to count as the service's. As runc does it.
 */
import { CtrError } from "../errors/error.ts";
import type { Spec } from "../spec/runtime.ts";
import {
  AT_FDCWD,
  F_GETFL,
  F_SETFL,
  type Fd,
  fcntl,
  O_NONBLOCK,
  POLLHUP,
  POLLIN,
  pipe2,
  poll,
  pollAny,
} from "../sys/fd.ts";
import { exists, fchmodat, mkdirat } from "../sys/file.ts";
import { AF_UNIX, bind, connect, recv, SOCK_DGRAM, send, sendFd, socket, unixAddress } from "../sys/socket.ts";
import type { ContainerDirectory } from "./container.ts";

const DIRECTORY = "notify";
const SOCKET = "notify.sock";
/** Where the container has it. */
const INSIDE = "/run/notify";
/** How long a manager may take to have read what it was told. */
const BARRIER_MS = 30_000;
const DATAGRAM_BYTES = 4096;

/** The spec with a place for the program's socket, which is in the container's directory. */
export function withNotifySocket(spec: Spec, directory: ContainerDirectory): Spec {
  const source = `${directory.path}/${DIRECTORY}`;
  mkdirat(AT_FDCWD, source, 0o755);
  const options = ["bind", "nosuid", "noexec", "nodev", "ro"];
  const { process: program } = spec;
  const env = [...(program.env ?? []), `NOTIFY_SOCKET=${INSIDE}/${SOCKET}`];
  return {
    ...spec,
    process: { ...program, env },
    mounts: [...(spec.mounts ?? []), { destination: INSIDE, type: "bind", source, options }],
  };
}

/** The program's socket, bound by whoever starts it; undefined for a container that was made without one. */
export function bindNotifySocket(directory: ContainerDirectory): Fd | undefined {
  const place = directory.within(DIRECTORY);
  if (!exists(AT_FDCWD, place)) return undefined;
  const path = `${place}/${SOCKET}`;
  const listener = socket(AF_UNIX, SOCK_DGRAM);
  try {
    bind(listener.number, unixAddress(path), path);
    // Whoever the program runs as.
    fchmodat(AT_FDCWD, path, 0o777);
    return listener;
  } catch (error) {
    listener.close();
    throw error;
  }
}

/** Waits until the program says that it is ready, and tells the manager behind `manager`; or until the program has ended. */
export function passOnReadiness(listener: Fd, program: Fd, manager: string, mainPid: number): void {
  const buffer = new Uint8Array(DATAGRAM_BYTES);
  for (;;) {
    const [isSaid = false, hasEnded = false] = pollAny([listener.number, program.number], POLLIN);
    if (isSaid && isReady(buffer.subarray(0, recv(listener.number, buffer)))) {
      tell(manager, mainPid);
      return;
    }
    if (hasEnded && !isSaid) return;
  }
}

/** The same without standing in the way of anything else; the program's end is not for this to see. */
export async function passOnWhenReady(listener: Fd, manager: string, mainPid: number): Promise<void> {
  fcntl(listener.number, F_SETFL, fcntl(listener.number, F_GETFL) | O_NONBLOCK);
  for await (const datagram of Bun.file(listener.number).stream()) {
    if (!isReady(datagram)) continue;
    tell(manager, mainPid);
    return;
  }
}

function isReady(datagram: Uint8Array): boolean {
  return new TextDecoder().decode(datagram).split("\n").includes("READY=1");
}

function tell(manager: string, mainPid: number): void {
  using connection = socket(AF_UNIX, SOCK_DGRAM);
  connect(connection.number, managerAddress(manager), manager);
  send(connection.number, new TextEncoder().encode(`READY=1\nMAINPID=${mainPid}`));
  // sd_notify_barrier(3): who has sent it must be there still when it is read.
  const { read, write } = pipe2();
  using end = read;
  {
    using passed = write;
    sendFd(connection.number, passed.number, new TextEncoder().encode("BARRIER=1"));
  }
  if ((poll(end.number, POLLHUP, BARRIER_MS) & POLLHUP) === 0)
    throw new CtrError("unavailable", `${manager}: the service manager has not read that the program is ready`);
}

/** A name in the abstract space begins with @ (unix(7)). */
function managerAddress(manager: string): Uint8Array {
  if (!manager.startsWith("@")) return unixAddress(manager);
  const address = unixAddress(manager).slice(0, -1);
  address[2] = 0;
  return address;
}
