/**
 * `ctr netd`: the only owner of bridges, veth pairs, addresses, routes, rules and published ports. Started by systemd
 * with its socket (sd_listen_fds(3)), by whoever needs it first (`CTR_LISTEN_FD`), or by hand in the foreground.
 * SIGTERM ends it and leaves everything as it is: the next netd takes over what it finds.
 */
import { CtrError, EAGAIN, EPERM, isErrno } from "../../internal/errors/error.ts";
import { type Connection, listenUnix } from "../../internal/ipc/connection.ts";
import { type FromNetd, NETD_SERVER, netdSocket, type ToNetd } from "../../internal/ipc/netd.ts";
import { listenAt } from "../../internal/ipc/netd-client.ts";
import { type Controller, openController } from "../../internal/network/controller.ts";
import type { NameServer } from "../../internal/network/dns/name-server.ts";
import { readBootId } from "../../internal/network/sandbox.ts";
import { filterOwnCalls } from "../../internal/security/own-filter.ts";
import { dup, Fd, flock, LOCK_EX, LOCK_NB, O_CREAT, O_RDWR, open, writeAll } from "../../internal/sys/fd.ts";
import { mkdirAll } from "../../internal/sys/file.ts";
import { dozeWhenIdle } from "../../internal/sys/idle.ts";
import { chdir, PR_SET_DUMPABLE, prctl, prlimit, umask } from "../../internal/sys/process.ts";

declare const CTR_VERSION: string | undefined;
const VERSION = typeof CTR_VERSION === "string" ? CTR_VERSION : "0.0.0-dev";
/** sd_listen_fds(3): the first descriptor passed on. */
const SD_LISTEN_FDS_START = 3;

const MAX_FILES = 524_288n;

/** One line for the journal, or for `<state>/netd.log`. */
function log(line: string): void {
  writeAll(2, new TextEncoder().encode(`netd: ${line}\n`));
}

async function main(): Promise<void> {
  const root = process.env["CTR_ROOT"] || "/var/lib/ctr";
  const state = process.env["CTR_STATE"] || "/run/ctr";
  prctl(PR_SET_DUMPABLE, 0);
  filterOwnCalls("netd");
  umask(0o077);
  raiseFileLimit();
  mkdirAll(root, 0o711);
  mkdirAll(state, 0o711);
  const locks = [lock(`${state}/netd.lock`), lock(`${root}/netd.lock`)];
  const bySystemd = process.env["LISTEN_PID"] === String(process.pid) && Number(process.env["LISTEN_FDS"]) >= 1;
  const listener = listenerHandedOver(bySystemd) ?? listenAt(netdSocket(state));
  const opened = Promise.withResolvers<Controller>();
  const names = createNames(opened.promise);
  const controller = await openController(root, log, names.changed);
  opened.resolve(controller);
  // Those of living containers answer again.
  if (controller.namesOnNetworks().length > 0) void names.changed();
  listenUnix<ToNetd, FromNetd>({ fd: listener.take() }, NETD_SERVER, (connection) => {
    serve(connection, controller, bySystemd).catch((error: unknown) => log(messageOf(error)));
  });
  const end = () => {
    controller[Symbol.dispose]();
    for (const held of locks) held.close();
    process.exit(0);
  };
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
  // Everything is open: keep no directory of the caller's busy.
  chdir("/");
  const { descriptors, untilNextTimer } = controller.watched;
  dozeWhenIdle({ descriptors, untilNextTimer: () => earlier(untilNextTimer(), names.untilNextTimer()) });
}

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.min(one, other);
}

/** The containers' name server: loaded when the first network has names. */
function createNames(controller: Promise<Controller>): Omit<NameServer, keyof Disposable> {
  let server: NameServer | undefined;
  const start = async (): Promise<NameServer> => {
    const { namesOnNetworks } = await controller;
    const { createNameServer } = await import("../../internal/network/dns/name-server.ts");
    server ??= createNameServer({ names: namesOnNetworks, bootId: readBootId(), log });
    return server;
  };
  return {
    changed: async () => await (server ?? (await start())).changed(),
    untilNextTimer: () => server?.untilNextTimer(),
  };
}

/** Each published port and each container is a descriptor here. */
function raiseFileLimit(): void {
  const RLIMIT_NOFILE = 7;
  const { hard } = prlimit(0, RLIMIT_NOFILE);
  const wanted = hard > MAX_FILES ? hard : MAX_FILES;
  try {
    prlimit(0, RLIMIT_NOFILE, { soft: wanted, hard: wanted });
  } catch (error) {
    if (!isErrno(error, EPERM)) throw error;
    prlimit(0, RLIMIT_NOFILE, { soft: hard, hard }); // no CAP_SYS_RESOURCE: as far as we may
  }
}

/** Held for life: the kernel drops it with its process. Throws CtrError `conflict` when another netd has it. */
function lock(path: string): Fd {
  const fd = open(path, O_RDWR | O_CREAT, 0o600);
  try {
    flock(fd.number, LOCK_EX | LOCK_NB);
    return fd;
  } catch (error) {
    fd.close();
    if (isErrno(error, EAGAIN)) throw new CtrError("conflict", `another netd holds ${path}`);
    throw error;
  }
}

/**
 * The socket we were started with. It is moved above the locks: a process that is killed closes its descriptors in order,
 * so whoever finds the socket dead finds the locks free.
 */
function listenerHandedOver(bySystemd: boolean): Fd | undefined {
  const { CTR_LISTEN_FD } = process.env;
  if (CTR_LISTEN_FD === undefined && !bySystemd) return undefined;
  using original = new Fd(bySystemd ? SD_LISTEN_FDS_START : Number(CTR_LISTEN_FD));
  return dup(original.number);
}

/** One client: each request is answered before the next is read. */
async function serve(
  connection: Connection<ToNetd, FromNetd>,
  controller: Controller,
  bySystemd: boolean,
): Promise<void> {
  for (let message = await connection.receive(); message !== undefined; message = await connection.receive()) {
    connection.send(await answer(message, controller, bySystemd));
  }
  connection.end();
}

async function answer(message: ToNetd, controller: Controller, bySystemd: boolean): Promise<FromNetd> {
  try {
    switch (message.type) {
      case "attach":
        return { type: "attached", endpoint: await controller.attach(message) };
      case "detach":
        await controller.detach(message.containerId, message);
        return { type: "detached" };
      case "rename":
        controller.rename(message.containerId, message.name);
        return { type: "renamed" };
      case "endpoints":
        return { type: "endpoints", endpoints: controller.endpoints(message.containerId) };
      case "networks":
        return { type: "networks", networks: controller.networks() };
      case "createNetwork":
        return { type: "networkCreated", network: await controller.createNetwork(message) };
      case "removeNetwork":
        return { type: "networkRemoved", network: await controller.removeNetwork(message.network) };
      case "check":
        return { type: "checked", differences: await controller.check(message.fix) };
      case "status": {
        const endpoints = controller.endpoints().length;
        return {
          type: "status",
          status: { version: VERSION, pid: process.pid, endpoints, socketActivated: bySystemd },
        };
      }
      default:
        return message satisfies never;
    }
  } catch (error) {
    return { type: "failed", kind: error instanceof CtrError ? error.kind : "internal", message: messageOf(error) };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

try {
  await main();
} catch (error) {
  log(messageOf(error));
  process.exit(1);
}
