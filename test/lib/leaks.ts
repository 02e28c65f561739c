/** What an engine may not leave behind once all its containers are removed: compared before and after. */
import { Database } from "bun:sqlite";
import { cgroupParent, cgroupsBelow, filesBelow, links, mounts, processes, rules } from "./host.ts";

export interface Snapshot {
  readonly processes: ReadonlySet<number>;
  readonly mounts: readonly string[];
  readonly links: readonly string[];
  readonly rules: readonly string[];
  readonly cgroups: readonly string[];
}

export function snapshot(): Snapshot {
  return {
    processes: new Set(processes().map(({ pid }) => pid)),
    mounts: mounts(),
    links: links(),
    rules: rules(),
    cgroups: cgroupsBelow(cgroupParent()),
  };
}

/** True for what opens namespaces for netd: it lives as long as that. */
function isOpener(process: { readonly command: string }): boolean {
  return process.command === "ctr-opener";
}

/** True for netd: it stays for the next command, as the bridge does. */
export function isNetd(process: { readonly command: string }): boolean {
  return /\bnetd\b/.test(process.command);
}

/** Everything there is now that was not there before and belongs to a container; empty is what should be. */
export function leaksSince(
  before: Snapshot,
  directories: { readonly root: string; readonly state: string },
): readonly string[] {
  const known = {
    mounts: new Set(before.mounts),
    links: new Set(before.links),
    rules: new Set(before.rules),
    cgroups: new Set(before.cgroups),
  };
  return [
    ...processes()
      // The runner's own children (a shell of another engine's test, say) are not the engine's.
      .filter(
        (found) =>
          !before.processes.has(found.pid) &&
          found.parent !== process.pid &&
          found.pid !== process.pid &&
          !isNetd(found) &&
          !isOpener(found),
      )
      .filter((found) => found.state !== "Z") // ended; PID 1 of the pretend host has not reaped it yet
      .map((found) => `process ${found.pid} ${found.command}`),
    ...mounts()
      .filter((line) => !known.mounts.has(line))
      .map((line) => `mount ${line}`),
    ...links()
      .filter((name) => !known.links.has(name) && name.startsWith("veth"))
      .map((name) => `link ${name}`),
    // The rules of a bridge stay with it; those of a published port name one container's address.
    ...rules()
      .filter(
        (rule) =>
          !known.rules.has(rule) && /DNAT|-[ds] \d+\.\d+\.\d+\.\d+\/32/.test(rule) && !rule.includes("127.0.0."),
      )
      .map((rule) => `rule ${rule}`),
    ...cgroupsBelow(cgroupParent())
      .filter((path) => !known.cgroups.has(path))
      .map((path) => `cgroup ${path}`),
    ...leases(directories.root),
    ...leases(directories.state),
  ];
}

/** Rows of netd's tables that stand for a running container: leases, endpoints, ports. */
export function leases(directory: string): readonly string[] {
  return filesBelow(directory, 2)
    .filter((path) => /(netd|network)[^/]*\.db$/.test(path))
    .flatMap((path) => {
      using db = new Database(path, { readonly: true });
      return db
        .query<{ name: string }, []>("SELECT name FROM sqlite_master WHERE type = 'table'")
        .all()
        .filter((table) => /lease|endpoint|port|binding/.test(table.name))
        .flatMap((table) =>
          db
            .query(`SELECT * FROM "${table.name}"`)
            .all()
            .map((row) => `row of ${path} ${table.name} ${JSON.stringify(row)}`),
        );
    });
}
