/**
 * `ctr netd`: the only owner of bridges, veth pairs, addresses, routes, rules and published ports. Started by systemd
 * with its socket, by whoever needs it first (`CTR_LISTEN_FD`), or by hand in the foreground. SIGTERM ends it and leaves
 * everything as it is: the next netd takes over what it finds. SIGHUP: the configuration is read again, and whatever the
 * kernel has otherwise than recorded is put right.
 */
import { CtrError, EAGAIN, EPERM, isErrno, withContext } from "../../internal/errors/error.ts";
import { type Listener, listenUnix } from "../../internal/ipc/connection.ts";
import { type FromNetd, NETD_SERVER, type NetdStatus, netdSocket, type ToNetd } from "../../internal/ipc/netd.ts";
import { listenAt } from "../../internal/ipc/netd-client.ts";
import { openServiceManager, type ServiceManager } from "../../internal/ipc/service-manager.ts";
import { backEnd } from "../../internal/iptables/restore.ts";
import { type Controller, openController } from "../../internal/network/controller.ts";
import type { Log } from "../../internal/network/log.ts";
import { filterOwnCalls } from "../../internal/security/own-filter.ts";
import { VERSION } from "../../internal/sys/build-stamp.ts";
import { type Fd, flock, LOCK_EX, LOCK_NB, O_CREAT, O_RDWR, open } from "../../internal/sys/fd.ts";
import { mkdirAll } from "../../internal/sys/file.ts";
import { dozeWhenIdle } from "../../internal/sys/idle.ts";
import { chdir, PR_SET_DUMPABLE, prctl, prlimit } from "../../internal/sys/process.ts";
import { netdDirectories } from "./domain.ts";
import { takeInheritance } from "./handed-over.ts";
import { createLog } from "./log.ts";
import { createNames, type Names } from "./names.ts";
import { parseOptions } from "./options.ts";
import { createRequests, type Requests } from "./requests.ts";

const MAX_FILES = 524_288n;
/** How long an end waits for what is under way: rules of another program's making, name servers far away. */
const END_MS = 5000;
/** sysexits(3): a configuration that has to be changed before another start makes sense. */
const EX_CONFIG = 78;

async function main(log: Log): Promise<void> {
  const { root, state } = netdDirectories(process.env);
  // The executable starts with a policy for commands that are over soon (build.ts).
  Bun.unsafe.setJITPolicy(1);
  raiseFileLimit();
  mkdirAll(root, 0o710);
  mkdirAll(state, 0o711);
  prctl(PR_SET_DUMPABLE, 0);
  filterOwnCalls("netd");
  const locks = [lock(`${state}/netd.lock`), lock(`${root}/netd.lock`)];
  const manager = openServiceManager(process.env, (error) => log(messageOf(error)));
  const inheritance = takeInheritance(manager, process.env);
  const listener = inheritance.listener ?? listenAt(netdSocket(state));
  const opened = Promise.withResolvers<Controller>();
  const names = createNames(opened.promise, inheritance.kept, log);
  const controller = await openController(root, log, names);
  opened.resolve(controller);
  const startedAtMs = Date.now();
  const status = async (): Promise<NetdStatus> => ({
    version: VERSION,
    pid: process.pid,
    endpoints: controller.counts.endpoints,
    socketActivated: inheritance.isSystemds,
    details: {
      startedAtMs,
      ...controller.counts,
      dns: names.counters(),
      packetFilter: await backEnd(),
      reconciled: controller.reconciled,
    },
  });
  const reload = async (): Promise<readonly string[]> => {
    manager.notify("RELOADING=1");
    try {
      return await controller.reload();
    } finally {
      manager.notify("READY=1", `STATUS=${summary(controller)}`);
    }
  };
  const requests = createRequests({ controller, status, reload, log });
  const listening = listenUnix<ToNetd, FromNetd>({ fd: listener.take() }, NETD_SERVER, (connection) => {
    requests.serve(connection).catch((error: unknown) => log(messageOf(error)));
  });
  const end = createEnd({ log, manager, controller, names, requests, listening, locks });
  process.on("SIGTERM", end.begin);
  process.on("SIGINT", end.begin);
  process.on(
    "SIGHUP",
    () => void reload().catch((error: unknown) => log(withContext("reload", error).message, "error")),
  );
  // Everything is open: keep no directory of the caller's busy.
  chdir("/");
  const { descriptors, untilNextTimer } = controller.watched;
  dozeWhenIdle({
    descriptors,
    untilNextTimer: () => (end.isNear() ? 0 : earlier(untilNextTimer(), names.untilNextTimer())),
    heartbeat: heartbeatOf(manager, controller, log),
  });
  // The names of living containers are answered again.
  if (controller.namesOnNetworks().length > 0) await names.changed();
  inheritance.forgetRest();
  await controller.settled;
  log(`ready, version ${VERSION}: ${summary(controller)}`, "info");
  manager.notify("READY=1", `STATUS=${summary(controller)}`);
}

function summary({ counts: { networks, endpoints, ports } }: Controller): string {
  return `${networks} networks, ${endpoints} endpoints, ${ports} published ports`;
}

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.min(one, other);
}

/** Twice as often as systemd wants, and only while store and kernel answer: else systemd starts another netd. */
function heartbeatOf({ watchdogMs, notify }: ServiceManager, controller: Controller, log: Log) {
  if (watchdogMs === undefined) return undefined;
  const beat = (): void => {
    try {
      controller.probe();
      notify("WATCHDOG=1");
    } catch (error) {
      log(withContext("netd is not healthy", error).message, "error");
    }
  };
  return { everyMs: watchdogMs / 2, beat };
}

interface Running {
  readonly log: Log;
  readonly manager: ServiceManager;
  readonly controller: Controller;
  readonly names: Names;
  readonly requests: Requests;
  readonly listening: Listener;
  readonly locks: readonly Fd[];
}

/** What is under way is finished, then the process ends; without systemd the socket is there until the very end. */
function createEnd({ log, manager, controller, names, requests, listening, locks }: Running) {
  let isNear = false;
  const end = async (): Promise<void> => {
    manager.notify("STOPPING=1");
    // systemd goes on listening: who comes now is the next netd's.
    if (manager.isThere) listening.stop();
    await Promise.race([requests.finish().then(names.idle), Bun.sleep(END_MS)]);
    await Bun.sleep(0); // the last answers leave
    controller[Symbol.dispose]();
    log("ends", "info");
    for (const held of locks) held.close();
    process.exit(0);
  };
  return {
    begin: () => {
      if (isNear) return;
      isNear = true;
      void end();
    },
    isNear: () => isNear,
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

let log = createLog("info", process.env["JOURNAL_STREAM"]);
try {
  const { logLevel } = parseOptions(process.argv.slice(3));
  log = createLog(logLevel, process.env["JOURNAL_STREAM"]);
  await main(log);
} catch (error) {
  log(messageOf(error), "error");
  process.exit(error instanceof CtrError && error.kind === "invalid" ? EX_CONFIG : 1);
}
