/** Which ids of the host a recorded container has. On the path of every start and every exec: it loads nothing. */
import type { IdRun, IdRuns } from "../sys/user-namespace.ts";
import type { HostConfig } from "./record.ts";

/** The maps of its user namespace, undefined for one with the host's ids. */
export function idMapsOf({ IDMappings }: Pick<HostConfig, "IDMappings">): IdRuns | undefined {
  if (IDMappings === undefined) return undefined;
  const run = (line: string): IdRun => {
    const [containerID = 0, hostID = 0, size = 0] = line.split(":").map(Number);
    return { containerID, hostID, size };
  };
  return { uids: IDMappings.UidMap.map(run), gids: IDMappings.GidMap.map(run) };
}
