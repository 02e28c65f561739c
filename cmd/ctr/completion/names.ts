/** Names of what there is, for completion. It only looks: nothing is made, and what cannot be read has no names. */
import { type Engine, openEngine } from "../../../internal/db/engine.ts";
import { familiar } from "../../../internal/image/reference.ts";
import { AT_FDCWD } from "../../../internal/sys/fd.ts";
import { exists } from "../../../internal/sys/file.ts";
import type { Directories } from "../command.ts";
import type { Names } from "./operands.ts";

const NO_NAMES: Names = { containers: () => [], images: () => [], volumes: () => [], networks: () => [] };

/** The names in this engine; none where it was never used, or is not the caller's. */
export function namesIn(directories: Directories): Names {
  if (process.geteuid?.() !== 0 || !exists(AT_FDCWD, `${directories.root}/ctr.db`)) return NO_NAMES;
  const engine = openEngine(directories);
  return {
    containers: (...states) => containers(engine, states),
    images: () => list(engine, "SELECT reference AS name FROM tag ORDER BY reference").map(familiar),
    volumes: () => list(engine, "SELECT name FROM volume WHERE anonymous = 0 ORDER BY name"),
    networks: () => networks(engine),
  };
}

function list(engine: Engine, sql: string): readonly string[] {
  return engine.db
    .query<{ name: string }, []>(sql)
    .all()
    .map((row) => row.name);
}

function containers(engine: Engine, states: readonly string[]): readonly string[] {
  return engine.db
    .query<{ name: string; state: string }, []>("SELECT name, state FROM container ORDER BY name")
    .all()
    .filter(({ state }) => states.length === 0 || states.includes(state))
    .map(({ name }) => name);
}

/** They are in netd's own database; a machine on which netd never ran has the usual ones. */
function networks(engine: Engine): readonly string[] {
  const path = `${engine.root}/netd.db`;
  const known = ["bridge", "host", "none"];
  if (!exists(AT_FDCWD, path)) return known;
  engine.db.query("ATTACH DATABASE ? AS netd").run(path);
  const hasTable = list(engine, "SELECT name FROM netd.sqlite_master WHERE type = 'table' AND name = 'network'");
  const made = hasTable.length === 0 ? [] : list(engine, "SELECT name FROM netd.network ORDER BY name");
  engine.db.run("DETACH DATABASE netd");
  return [...new Set([...known, ...made])];
}
