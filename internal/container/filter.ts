/** The filters of `ps`: the same key is "or", different keys are "and", labels are "and" (Engine API, ContainerList). */

import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { resolveImageId } from "../image/resolve.ts";
import { healthPlan } from "./health.ts";
import { endpointsOf, networkNames } from "./networks.ts";
import { portsOf } from "./port-list.ts";
import type { ContainerRecord } from "./record.ts";
import { isState } from "./states.ts";
import { findContainer } from "./store.ts";

type Accepts = (record: ContainerRecord) => boolean;

const KEYS = [
  "ancestor",
  "before",
  "since",
  "exited",
  "expose",
  "health",
  "id",
  "label",
  "name",
  "network",
  "publish",
  "status",
  "volume",
] as const;
type Key = (typeof KEYS)[number];

/** A checked set of filters. */
export interface ContainerFilter {
  readonly accepts: Accepts;
  /** A filter by state looks at all containers, not only at running ones. */
  readonly asksForState: boolean;
}

/** Reads `key=value` filters. Throws CtrError `invalid` for an unknown key or a value that cannot be. */
export function parseFilters(engine: Engine, texts: readonly string[]): ContainerFilter {
  const values = new Map<Key, string[]>();
  for (const text of texts) {
    const equals = text.indexOf("=");
    if (equals < 0) throw new CtrError("invalid", "invalid argument: bad format of filter (expected name=value)");
    const name = text.slice(0, equals).trim().toLowerCase();
    const key = KEYS.find((candidate) => candidate === name);
    if (key === undefined) throw new CtrError("invalid", `invalid filter '${name}'`);
    const list = values.get(key) ?? [];
    list.push(text.slice(equals + 1).trim());
    values.set(key, list);
  }
  const checks: Accepts[] = [];
  for (const [key, wanted] of values) {
    const each = wanted.map((value) => check(engine, key, value));
    checks.push(
      key === "label"
        ? (record) => each.every((accepts) => accepts(record))
        : (record) => each.some((accepts) => accepts(record)),
    );
  }
  return { accepts: (record) => checks.every((accepts) => accepts(record)), asksForState: values.has("status") };
}

function check(engine: Engine, key: Key, value: string): Accepts {
  switch (key) {
    case "id":
      return ({ id }) => id.startsWith(value);
    case "name": {
      const pattern = namePattern(value);
      return ({ name }) => name === value || pattern.test(name) || pattern.test(`/${name}`);
    }
    case "label": {
      const equals = value.indexOf("=");
      const name = equals < 0 ? value : value.slice(0, equals);
      return ({ config }) =>
        Object.hasOwn(config.Labels, name) && (equals < 0 || config.Labels[name] === value.slice(equals + 1));
    }
    case "status": {
      if (!isState(value)) throw new CtrError("invalid", `invalid filter 'status=${value}'`);
      return ({ state }) => state === value;
    }
    case "exited": {
      if (!/^-?\d{1,9}$/.test(value)) throw new CtrError("invalid", `invalid filter 'exited=${value}'`);
      return ({ state, runtime }) => state === "exited" && runtime.exitCode === Number(value);
    }
    case "health":
      if (!["starting", "healthy", "unhealthy", "none"].includes(value))
        throw new CtrError("invalid", `invalid filter 'health=${value}'`);
      return ({ config, runtime: { health } }) =>
        (healthPlan(config) === undefined || health === undefined ? "none" : health.Status) === value;
    case "before": {
      const than = findContainer(engine, value);
      return ({ createdAt }) => createdAt < than.createdAt;
    }
    case "since": {
      const than = findContainer(engine, value);
      return ({ createdAt }) => createdAt > than.createdAt;
    }
    case "ancestor":
      return ancestorCheck(engine, value);
    case "network":
      return (record) =>
        networkNames(record).includes(value) ||
        networkName(record.hostConfig.NetworkMode) === value ||
        endpointsOf(record).some(({ networkId }) => networkId === value);
    case "volume":
      return ({ runtime }) =>
        runtime.mounts.some((mount) => mount.Name === value || mount.Destination === value || mount.Source === value);
    case "publish": {
      const isIn = portRange(value, key);
      return ({ runtime }) => (runtime.endpoint?.ports ?? []).some((port) => isIn(port.hostPort, port.protocol));
    }
    case "expose": {
      const isIn = portRange(value, key);
      // As Docker: what the list shows, so of a running container.
      return (record) =>
        Object.keys(portsOf(record)).some((port) => isIn(Number(port.split("/")[0]), port.split("/")[1] ?? "tcp"));
    }
  }
}

/** Docker takes a regular expression here; what is none is looked for as it is. */
function namePattern(value: string): RegExp {
  try {
    return new RegExp(value);
  } catch {
    return new RegExp(value.replace(/[^\w]/g, "\\$&"));
  }
}

/** `bridge` for the default network. */
export function networkName(mode: string): string {
  return mode === "default" ? "bridge" : mode;
}

/** `80`, `80/udp`, `8000-8010/tcp`. */
function portRange(value: string, key: Key): (port: number, protocol: string) => boolean {
  const [, first, last = first, protocol = "tcp"] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(value) ?? [];
  if (first === undefined) throw new CtrError("invalid", `invalid filter '${key}=${value}'`);
  return (port, of) => of === protocol && port >= Number(first) && port <= Number(last);
}

/** Containers of the image, or of one made on top of it. */
function ancestorCheck(engine: Engine, value: string): Accepts {
  let id: string;
  try {
    ({ id } = resolveImageId(engine, value));
  } catch (error) {
    // An image that is not there is nobody's ancestor.
    if (error instanceof CtrError && error.kind === "not-found") return () => false;
    throw error;
  }
  const family = new Set(
    engine.db
      .query<{ id: string }, [string]>(
        `WITH RECURSIVE family(id) AS (VALUES (?) UNION SELECT image.id FROM image JOIN family ON image.parent = family.id)
         SELECT id FROM family`,
      )
      .all(id)
      .map((row) => row.id),
  );
  return ({ imageId }) => family.has(imageId);
}
