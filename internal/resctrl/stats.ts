/** What resctrl tells of a container, in the form of `runc events` (runc's types/events.go). */
import { AT_FDCWD, O_DIRECTORY, O_RDONLY, open } from "../sys/fd.ts";
import { exists, getdents64 } from "../sys/file.ts";
import { optionalText, type ResctrlPlace } from "./resctrl.ts";

type Fields = { readonly [name: string]: unknown };

/** The `intel_rdt` of a stats event. */
export function resctrlStats({ root, group, monitor }: ResctrlPlace): Fields {
  const [all, own] = [optionalText(`${root}/schemata`), optionalText(`${group}/schemata`)];
  const data = domains(`${monitor ?? group}/mon_data`);
  return withoutEmpty({
    l3_cache_info: files(`${root}/info/L3`, ["cbm_mask", "min_cbm_bits", "num_closids"]),
    l3_cache_schema_root: line(all, "L3"),
    l3_cache_schema: line(own, "L3"),
    mem_bw_info: files(`${root}/info/MB`, ["bandwidth_gran", "delay_linear", "min_bandwidth", "num_closids"]),
    mem_bw_schema_root: line(all, "MB"),
    mem_bw_schema: line(own, "MB"),
    mbm_stats: data.flatMap((directory) => files(directory, ["mbm_total_bytes", "mbm_local_bytes"]) ?? []),
    cmt_stats: data.flatMap((directory) => files(directory, ["llc_occupancy"]) ?? []),
  });
}

function line(schemata: string, resource: string): string {
  return (
    schemata
      .split("\n")
      .map((text) => text.trim())
      .find((text) => text.startsWith(`${resource}:`)) ?? ""
  );
}

/** Files of one number each; a mask is text. Those that the machine has not, or that count nothing now, are left out. */
function files(directory: string, names: readonly string[]): Fields | undefined {
  const found: { [name: string]: number | string } = {};
  for (const name of names) {
    const text = optionalText(`${directory}/${name}`);
    if (name === "cbm_mask" && text !== "") found[name] = text;
    else if (/^\d+$/.test(text)) found[name] = Number(text);
  }
  return Object.keys(found).length === 0 ? undefined : found;
}

/** `mon_L3_00` and the like: one directory for each cache. */
function domains(directory: string): readonly string[] {
  if (!exists(AT_FDCWD, directory)) return [];
  using opened = open(directory, O_RDONLY | O_DIRECTORY);
  const decoder = new TextDecoder();
  const names = getdents64(opened.number).map(({ name }) => decoder.decode(name));
  return names
    .filter((name) => name.startsWith("mon_L3_"))
    .sort()
    .map((name) => `${directory}/${name}`);
}

function withoutEmpty(fields: Fields): Fields {
  const isThere = ([, value]: readonly [string, unknown]) =>
    value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0);
  return Object.fromEntries(Object.entries(fields).filter(isThere));
}
