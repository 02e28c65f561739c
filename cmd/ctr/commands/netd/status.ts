/** `ctr netd status`: what netd is, has and did. */

import type { NetdDetails, NetdStatus, NetworkRecord } from "../../../../internal/ipc/netd.ts";
import { connectNetd } from "../../../../internal/ipc/netd-client.ts";
import { VERSION } from "../../../../internal/sys/build-stamp.ts";
import type { Directories } from "../../command.ts";
import { humanDuration } from "../../format/duration.ts";
import { printLine } from "../../output.ts";

/** As systemctl(1) has it. */
const NOT_RUNNING = 3;
/** Of the last reconcile; all of them are in JSON. */
const MAX_SHOWN = 20;

/** 0 if netd runs, 3 if not. */
export async function status(directories: Directories, format: string | undefined): Promise<number> {
  using netd = await connectNetd(directories);
  const found = netd === undefined ? undefined : await netd.status();
  if (format !== undefined && format !== "") {
    const { compileObjectFormat } = await import("../../format/object.ts");
    printLine(compileObjectFormat(format)(statusObject(found)));
  } else if (netd === undefined || found === undefined) printLine("netd: not running");
  else describe(found, await netd.networks());
  return found === undefined ? NOT_RUNNING : 0;
}

/** Nothing of it is Docker's: there is no such object. */
function statusObject(found: NetdStatus | undefined): object {
  if (found === undefined) return { Running: false };
  const { version, pid, socketActivated, endpoints, details } = found;
  return {
    Running: true,
    Version: version,
    Pid: pid,
    StartedBy: socketActivated ? "systemd" : "ctr",
    Endpoints: endpoints,
    ...(details === undefined ? {} : detailsObject(details)),
  };
}

function detailsObject({ startedAtMs, networks, leases, ports, dns, packetFilter, reconciled }: NetdDetails): object {
  return {
    StartedAt: new Date(startedAtMs).toISOString(),
    UptimeSeconds: Math.floor((Date.now() - startedAtMs) / 1000),
    Networks: networks,
    Leases: leases,
    Ports: ports,
    DNS: {
      Containers: dns.containers,
      Questions: dns.questions,
      Answered: dns.answered,
      Forwarded: dns.forwarded,
      Failed: dns.failed,
      Waiting: dns.waiting,
    },
    PacketFilter: packetFilter,
    Reconciled: {
      At: new Date(reconciled.atMs).toISOString(),
      Cause: reconciled.cause,
      Differences: reconciled.differences,
    },
  };
}

function describe(
  { version, pid, socketActivated, endpoints, details }: NetdStatus,
  networks: readonly NetworkRecord[],
) {
  const other = version === VERSION ? "" : ` (this command is ${VERSION}: restart netd)`;
  printLine(`netd: running, pid ${pid}, version ${version}${other}`);
  printLine(`started by: ${socketActivated ? "systemd" : "ctr"}`);
  if (details !== undefined) printLine(`up: ${ageOf(details.startedAtMs)}`);
  printLine(`networks: ${networks.length}`);
  for (const { name, driver, device, subnet } of networks)
    printLine(`network: ${name} (${driver})${device === undefined ? "" : ` ${device} ${subnet ?? ""}`}`);
  printLine(`endpoints: ${endpoints}`);
  if (details === undefined) return;
  const { leases, ports, dns, packetFilter, reconciled } = details;
  printLine(`leases: ${leases}`);
  printLine(`published ports: ${ports}`);
  printLine(
    `dns: ${dns.containers} containers, ${dns.questions} questions, ${dns.answered} answered, ` +
      `${dns.forwarded} forwarded, ${dns.failed} failed, ${dns.waiting} waiting`,
  );
  printLine(`packet filter: ${packetFilter === "" ? "iptables is not installed" : packetFilter}`);
  const { atMs, cause, differences } = reconciled;
  printLine(`reconciled: ${ageOf(atMs)} ago, at ${WHEN[cause]}, ${differences.length} put right`);
  for (const line of differences.slice(0, MAX_SHOWN)) printLine(`put right: ${line}`);
  if (differences.length > MAX_SHOWN) printLine(`put right: and ${differences.length - MAX_SHOWN} more`);
}

const WHEN = { start: "its start", reload: "a reload", request: "request" } as const;

function ageOf(sinceMs: number): string {
  return humanDuration(Math.max(0, Date.now() - sinceMs) / 1000);
}
