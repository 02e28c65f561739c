/**
 * The commands by name. No prototype: `ctr constructor` is an unknown command. Each entry imports its one file when it
 * is called; two names of the same `load` are aliases of each other.
 */
import type { CommandMeta } from "citty";
import type { FlagDefinitions } from "./command.ts";

/** A command whose flags' types are not known here; `cli.ts` hands its action what the parser made of its own flags. */
export interface AnyCommand {
  readonly meta: CommandMeta & { readonly name: string; readonly description: string };
  readonly usage: string;
  readonly flags: FlagDefinitions;
  readonly operands: readonly [least: number, most: number];
  readonly stopsAtOperand?: boolean;
  readonly failureStatus?: number;
  run(call: never): Promise<number>;
}

export interface Entry {
  readonly load: () => Promise<{ readonly command: AnyCommand }>;
  /** Words put before the user's: `container inspect` is `inspect --type=container`. */
  readonly preset?: readonly string[];
  /** True if it does not touch the engine, which is root's. */
  readonly isForEverybody?: true;
  /** True for what no help shows: the shells ask for it, not people. */
  readonly isHidden?: true;
  /** True if it may go through much data: what it calls often is compiled as soon as is usual. */
  readonly isLong?: true;
  /** True if it computes for long all by itself, see start-busy.ts. */
  readonly isBusy?: true;
}

export interface Group {
  readonly description: string;
  readonly commands: Table;
}

export type Table = { readonly [name: string]: Entry | Group };

/** The names that are shown to people. */
export function visibleNames(commands: Table): readonly string[] {
  return Object.keys(commands).filter((name) => {
    const entry = commands[name];
    return entry !== undefined && !("load" in entry && entry.isHidden === true);
  });
}

function table(entries: Table): Table {
  return Object.assign(Object.create(null), entries);
}

const attach: Entry = { load: () => import("./commands/attach.ts") };
const commit: Entry = { load: () => import("./commands/commit.ts"), isBusy: true };
const complete: Entry = { load: () => import("./commands/complete.ts"), isForEverybody: true, isHidden: true };
const completion: Entry = { load: () => import("./commands/completion.ts"), isForEverybody: true };
const cp: Entry = { load: () => import("./commands/cp.ts"), isLong: true };
const create: Entry = { load: () => import("./commands/create.ts") };
const events: Entry = { load: () => import("./commands/events.ts"), isLong: true };
const diff: Entry = { load: () => import("./commands/diff.ts"), isLong: true };
const exec: Entry = { load: () => import("./commands/exec.ts") };
const exportContainer: Entry = { load: () => import("./commands/export.ts"), isLong: true };
const history: Entry = { load: () => import("./commands/history.ts") };
const images: Entry = { load: () => import("./commands/images.ts") };
const importImage: Entry = { load: () => import("./commands/import.ts"), isBusy: true };
const info: Entry = { load: () => import("./commands/info.ts") };
const inspect: Entry = { load: () => import("./commands/inspect.ts") };
const kill: Entry = { load: () => import("./commands/kill.ts") };
const load: Entry = { load: () => import("./commands/load.ts"), isBusy: true };
const login: Entry = { load: () => import("./commands/login.ts"), isForEverybody: true };
const logout: Entry = { load: () => import("./commands/logout.ts"), isForEverybody: true };
const logs: Entry = { load: () => import("./commands/logs.ts"), isLong: true };
const netd: Entry = { load: () => import("./commands/netd.ts") };
const networkLs: Entry = { load: () => import("./commands/network/ls.ts") };
const networkRm: Entry = { load: () => import("./commands/network/rm.ts") };
const pause: Entry = { load: () => import("./commands/pause.ts") };
const port: Entry = { load: () => import("./commands/port.ts") };
const ps: Entry = { load: () => import("./commands/ps.ts") };
const rename: Entry = { load: () => import("./commands/rename.ts") };
const pull: Entry = { load: () => import("./commands/pull.ts"), isBusy: true };
const push: Entry = { load: () => import("./commands/push.ts"), isLong: true };
const restart: Entry = { load: () => import("./commands/restart.ts") };
const rm: Entry = { load: () => import("./commands/rm.ts") };
const rmi: Entry = { load: () => import("./commands/rmi.ts") };
const run: Entry = { load: () => import("./commands/run.ts") };
const save: Entry = { load: () => import("./commands/save.ts"), isLong: true };
const search: Entry = { load: () => import("./commands/search.ts"), isForEverybody: true };
const start: Entry = { load: () => import("./commands/start.ts") };
const stats: Entry = { load: () => import("./commands/stats.ts"), isLong: true };
const stop: Entry = { load: () => import("./commands/stop.ts") };
const tag: Entry = { load: () => import("./commands/tag.ts") };
const top: Entry = { load: () => import("./commands/top.ts") };
const unpause: Entry = { load: () => import("./commands/unpause.ts") };
const update: Entry = { load: () => import("./commands/update.ts") };
const version: Entry = { load: () => import("./commands/version.ts"), isForEverybody: true };
const volumeLs: Entry = { load: () => import("./commands/volume/ls.ts") };
const volumeRm: Entry = { load: () => import("./commands/volume/rm.ts") };
const wait: Entry = { load: () => import("./commands/wait.ts") };

const container: Group = {
  description: "Manage containers",
  commands: table({
    attach,
    commit,
    cp,
    create,
    diff,
    exec,
    export: exportContainer,
    inspect: { load: () => import("./commands/container-inspect.ts") },
    kill,
    list: ps,
    logs,
    ls: ps,
    pause,
    port,
    prune: { load: () => import("./commands/container/prune.ts") },
    ps,
    remove: rm,
    rename,
    restart,
    rm,
    run,
    start,
    stats,
    stop,
    top,
    unpause,
    update,
    wait,
  }),
};

const manifest: Group = {
  description: "Manage image manifests and manifest lists",
  commands: table({
    inspect: { load: () => import("./commands/manifest/inspect.ts"), isForEverybody: true },
  }),
};

const image: Group = {
  description: "Manage images",
  commands: table({
    history,
    import: importImage,
    inspect: { load: () => import("./commands/image-inspect.ts") },
    list: images,
    load,
    ls: images,
    prune: { load: () => import("./commands/image/prune.ts") },
    pull,
    push,
    remove: rmi,
    rm: rmi,
    save,
    tag,
  }),
};

const network: Group = {
  description: "Manage networks",
  commands: table({
    connect: { load: () => import("./commands/network/connect.ts") },
    create: { load: () => import("./commands/network/create.ts") },
    disconnect: { load: () => import("./commands/network/disconnect.ts") },
    inspect: { load: () => import("./commands/network/inspect.ts") },
    list: networkLs,
    ls: networkLs,
    prune: { load: () => import("./commands/network/prune.ts") },
    remove: networkRm,
    rm: networkRm,
  }),
};

const volume: Group = {
  description: "Manage volumes",
  commands: table({
    create: { load: () => import("./commands/volume/create.ts") },
    inspect: { load: () => import("./commands/volume/inspect.ts") },
    list: volumeLs,
    ls: volumeLs,
    prune: { load: () => import("./commands/volume/prune.ts") },
    remove: volumeRm,
    rm: volumeRm,
    update: { load: () => import("./commands/volume/update.ts") },
  }),
};

const seccomp: Group = {
  description: "Look into seccomp profiles",
  commands: table({
    explain: { load: () => import("./commands/seccomp/explain.ts"), isForEverybody: true },
  }),
};

const system: Group = {
  description: "Manage the engine",
  commands: table({
    df: { load: () => import("./commands/system/df.ts") },
    events,
    info,
    prune: { load: () => import("./commands/system/prune.ts") },
    restore: { load: () => import("./commands/system/restore.ts") },
    shutdown: { load: () => import("./commands/system/shutdown.ts") },
  }),
};

export const COMMANDS: Table = table({
  __complete: complete,
  attach,
  commit,
  completion,
  container,
  cp,
  create,
  diff,
  events,
  exec,
  export: exportContainer,
  history,
  image,
  images,
  import: importImage,
  info,
  inspect,
  kill,
  load,
  login,
  logout,
  logs,
  manifest,
  netd,
  network,
  pause,
  port,
  ps,
  pull,
  push,
  rename,
  restart,
  rm,
  rmi,
  run,
  save,
  search,
  seccomp,
  start,
  stats,
  stop,
  system,
  tag,
  top,
  unpause,
  update,
  version,
  volume,
  wait,
});
