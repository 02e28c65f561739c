/**
 * Which ids of the host a new container has. Those of `auto` are taken from a pool, so that no two containers have one in
 * common; they are recorded with the container, in its transaction, and go with its row (a trigger in db/schema.ts).
 */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import type { IdMapping } from "../spec/runtime.ts";
import type { IdRuns } from "../sys/user-namespace.ts";
import type { WantedMount } from "../volume/mount-spec.ts";
import { idMapsOf } from "./id-maps.ts";
import type { ContainerRecord, HostConfig } from "./record.ts";
import { containerById, findContainer } from "./store.ts";
import type { IdRange } from "./subordinate-ids.ts";
import { inOrder, type UserNamespaceRequest } from "./userns-mode.ts";

type UserNamespace = Pick<HostConfig, "IDMappings" | "UsernsMode">;

/** What is recorded of it. Throws in Docker's words for what does not go together. Inside the transaction of `create`. */
export function reserveIds(
  engine: Engine,
  container: string,
  request: UserNamespaceRequest,
  hostConfig: HostConfig,
  mounts: readonly WantedMount[],
): UserNamespace {
  const donors = donorsOf(engine, request, hostConfig);
  const { mode, maps } = mapsOf(engine, request, donors);
  if (maps !== undefined) {
    refuseTogether(hostConfig);
    const shared = mounts.find(({ propagation }) => propagation === "shared" || propagation === "rshared");
    if (shared !== undefined) {
      const message = `mount ${shared.destination}: what a container with a user namespace mounts cannot reach the host: use rslave`;
      throw new CtrError("invalid", message);
    }
    note(engine, container, maps);
  }
  const mapped = mounts.find(({ extras }) => extras?.idmap === true);
  if (maps === undefined && mapped !== undefined)
    throw new CtrError("invalid", `mount ${mapped.destination}: idmap needs a user namespace (--userns)`);
  return {
    ...(mode === "" ? {} : { UsernsMode: mode }),
    ...(maps === undefined ? {} : { IDMappings: { UidMap: maps.uids.map(text), GidMap: maps.gids.map(text) } }),
  };
}

/** moby daemon_unix.go, verifyPlatformContainerSettings. */
function refuseTogether({ Privileged, NetworkMode, PidMode }: HostConfig): void {
  const why = Privileged
    ? "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode"
    : NetworkMode === "host"
      ? "cannot share the host's network namespace when user namespaces are enabled"
      : PidMode === "host"
        ? "cannot share the host PID namespace when user namespaces are enabled"
        : undefined;
  if (why !== undefined) throw new CtrError("invalid", why);
}

/** Podman's form: `inside:outside:size`. */
function text({ containerID, hostID, size }: IdMapping): string {
  return `${containerID}:${hostID}:${size}`;
}

/** The containers whose namespaces it joins, and so whose user namespace too: only its root has a say in those. */
function donorsOf(engine: Engine, request: UserNamespaceRequest, hostConfig: HostConfig): ContainerRecord[] {
  const joined = [hostConfig.NetworkMode, hostConfig.PidMode ?? "", hostConfig.IpcMode ?? ""].flatMap((mode) => {
    const donor = mode.startsWith("container:") ? containerById(engine, mode.slice("container:".length)) : undefined;
    return donor === undefined ? [] : [donor];
  });
  return request.kind === "container" ? [findContainer(engine, request.name), ...joined] : joined;
}

function mapsOf(
  engine: Engine,
  request: UserNamespaceRequest,
  donors: readonly ContainerRecord[],
): { readonly mode: string; readonly maps: IdRuns | undefined } {
  const [donor] = donors;
  const wanted = request.kind === "maps" ? request.maps : undefined;
  if (donor === undefined) {
    return { mode: request.mode, maps: request.kind === "auto" ? freeMaps(engine, request) : wanted };
  }
  const other = donors.find(({ hostConfig }) => shown(hostConfig) !== shown(donor.hostConfig));
  if (other !== undefined) {
    throw new CtrError(
      "invalid",
      `containers ${donor.name} and ${other.name} have different user namespaces: cannot join both`,
    );
  }
  const maps = idMapsOf(donor.hostConfig);
  const isSame =
    request.kind === "container" ||
    (request.kind === "host" && (maps === undefined || request.mode === "")) ||
    (request.kind === "maps" && (maps === undefined ? false : request.isDefault || isEqual(request.maps, maps)));
  if (!isSame) {
    const has = maps === undefined ? "the host's user namespace" : "a user namespace of its own";
    const hint = maps === undefined ? "--userns=host" : `--userns=container:${donor.name}`;
    throw new CtrError("invalid", `cannot join namespaces of container ${donor.name}: it has ${has} (use ${hint})`);
  }
  return { mode: request.kind === "container" ? `container:${donor.id}` : request.mode, maps };
}

function shown({ IDMappings }: HostConfig): string {
  return JSON.stringify(IDMappings ?? null);
}

function isEqual(a: IdRuns, b: IdRuns): boolean {
  return JSON.stringify([a.uids, a.gids]) === JSON.stringify([b.uids, b.gids]);
}

type Kind = "uid" | "gid";

function freeMaps(engine: Engine, { size, pool }: Extract<UserNamespaceRequest, { kind: "auto" }>): IdRuns {
  const take = (kind: Kind, ranges: readonly IdRange[]): IdMapping[] => {
    const start = firstFree(ranges, takenRanges(engine, kind), size);
    if (start !== undefined) return inOrder([{ start, size }]);
    const file = kind === "uid" ? "/etc/subuid" : "/etc/subgid";
    throw new CtrError(
      "unavailable",
      `--userns=auto: of ${pool.owner}'s ids in ${file} no ${size} in a row are free: ` +
        `give it more, or ask for fewer (--userns=auto:size=N)`,
    );
  };
  return { uids: take("uid", pool.uids), gids: take("gid", pool.gids) };
}

/** The lowest start of `size` ids in the ranges that nobody has; `taken` in ascending order. */
export function firstFree(ranges: readonly IdRange[], taken: readonly IdRange[], size: number): number | undefined {
  for (const range of ranges) {
    let start = range.start;
    for (const other of taken) {
      if (other.start >= start + size) break;
      start = Math.max(start, other.start + other.size);
    }
    if (start + size <= range.start + range.size) return start;
  }
  return undefined;
}

function takenRanges(engine: Engine, kind: Kind): IdRange[] {
  return engine.db
    .query<IdRange, [string]>("SELECT DISTINCT start, size FROM id_range WHERE kind = ? ORDER BY start")
    .all(kind);
}

function note(engine: Engine, container: string, { uids, gids }: IdRuns): void {
  const insert = engine.db.query("INSERT INTO id_range (container, kind, start, size) VALUES (?, ?, ?, ?)");
  for (const { hostID, size } of uids) insert.run(container, "uid", hostID, size);
  for (const { hostID, size } of gids) insert.run(container, "gid", hostID, size);
}
