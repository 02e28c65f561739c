/**
 * What a new supervisor does before it knows its container: it starts init in the namespaces that the client has read off
 * the command line already, so that the two interpreters start side by side. `ctr supervisor ID CGROUP-PARENT NETWORK [stdin]`.
 *
 * Such an init has a cgroup, but no row in the database yet: a note in the journal of starts says whose it is, should this
 * process die before there is one (internal/container/starting.ts). Init ends by itself when its socket closes.
 */
import { cgroupsPath } from "../../internal/cgroups/cgroup.ts";
import { cgroupLayout } from "../../internal/cgroups/layout.ts";
import { noteStart } from "../../internal/container/starting.ts";
import { startInit, type WaitingInit } from "../../internal/runtime/waiting-init.ts";
import type { NamespaceType } from "../../internal/spec/runtime.ts";
import { mkdirAll } from "../../internal/sys/file.ts";
import { processStartTime } from "../../internal/sys/process.ts";
import { makePipes, type ProgramStreams } from "./streams.ts";

/** An init that waits, with the streams it was born with. */
export interface EarlyStart {
  readonly init: WaitingInit;
  readonly streams: ProgramStreams;
}

/** The same, and whether init was given its spec already. */
export type HandedOver = EarlyStart & { readonly hasSpec: boolean };

/** Starts init if the arguments say how (internal/container/spawn-supervisor.ts); undefined without them. */
export function startEarly(state: string, args: readonly string[]): EarlyStart | undefined {
  const [id, cgroupParent, network, stdin] = args;
  if (id === undefined || cgroupParent === undefined) return undefined;
  const namespaces: NamespaceType[] = ["mount", "uts", "ipc", "pid"];
  if (network === "network") namespaces.push("network");
  if (cgroupLayout().mode === "v2") namespaces.push("cgroup");
  mkdirAll(state, 0o711);
  // The client does so too; if it was killed before it could, nobody would find the cgroup of a supervisor killed next.
  noteStart(state, { id, cgroupParent, keeper: { pid: process.pid, startTime: processStartTime(process.pid) ?? 0 } });
  const { streams, ends } = makePipes(stdin === "stdin");
  using given = ends;
  const kinds = namespaces.map((type) => ({ type }));
  const path = cgroupParent === "" ? cgroupsPath(id) : cgroupsPath(id, cgroupParent);
  return { init: startInit(path, kinds, given.fds), streams };
}
