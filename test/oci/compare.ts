/** What a process saw under several runtimes, made comparable: no numbers that differ from one container to the next. */
import { readlinkSync } from "node:fs";
import type { Bundle } from "./harness.ts";
import { mountLines, type World } from "./world.ts";

/** Every fact by its path: `dev.null.mode` → `438`. */
export type Facts = ReadonlyMap<string, string>;

/** The facts of a world, without what is a matter of this one container. */
export function factsOf(world: World, bundle: Bundle): Facts {
  const { mounts: _mounts, cgroups, namespaces, pid, ppid: _ppid, session, processGroup, fds, ...rest } = world;
  const { monotonic: _monotonic, boottime: _boottime, answers, ...plain } = rest;
  const own = (path: string) => path.replaceAll(bundle.path, "<bundle>").replaceAll(bundle.id, "<id>");
  const places = Object.fromEntries(
    mountLines(world).map(({ place, root, options, propagation, type, source, superOptions }) => [
      place,
      {
        root: own(root).replace(/^.*(?=<bundle>)/, ""),
        options: [...options].sort().join(","),
        propagation: [...propagation].sort().join(","),
        type,
        source: own(source),
        superOptions: [...superOptions].sort().join(","),
      },
    ]),
  );
  const facts = new Map<string, string>();
  flatten(facts, "", {
    ...plain,
    isFirst: pid === 1,
    leadsSession: session === pid,
    leadsGroup: processGroup === pid,
    fds: Object.keys(fds).join(","),
    namespaces: Object.fromEntries(
      Object.entries(namespaces).map(([kind, name]) => [
        kind,
        name === readlinkSync(`/proc/self/ns/${kind}`) ? "host" : "own",
      ]),
    ),
    cgroups: Object.fromEntries(
      cgroups.map((line) => [line.split(":")[1] ?? "", own(line.split(":").slice(2).join(":"))]),
    ),
    mount: places,
    answers: Object.fromEntries(answers.map((answer, at) => [world.args[at + 1] ?? "", JSON.stringify(answer)])),
  });
  return facts;
}

function flatten(facts: Map<string, string>, path: string, value: unknown): void {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flatten(facts, path === "" ? key : `${path}.${key}`, inner);
  } else facts.set(path, typeof value === "string" ? value : JSON.stringify(value));
}

/** One fact that is not the same everywhere: its values in the runtimes' order. */
export interface Difference {
  readonly path: string;
  readonly values: readonly string[];
}

export function differences(all: readonly Facts[]): readonly Difference[] {
  const paths = new Set(all.flatMap((facts) => [...facts.keys()]));
  return [...paths].sort().flatMap((path) => {
    const values = all.map((facts) => facts.get(path) ?? "(absent)");
    return new Set(values).size === 1 ? [] : [{ path, values }];
  });
}
