/** What `--log-opt labels`, `env` and `tag` add to each line of a log. */
import type { ContainerRecord } from "../record.ts";
import { expandTag } from "./tag.ts";

type Attributes = { readonly [name: string]: string };

/**
 * The labels and variables that were asked for, by `labels`, `labels-regex`, `env` and `env-regex` (moby
 * daemon/logger/loginfo.go ExtraAttributes). `keyName` makes a driver's name of theirs.
 */
export function extraAttributes(record: ContainerRecord, keyName = (name: string) => name): Attributes {
  const { Config } = record.hostConfig.LogConfig;
  const found: { [name: string]: string } = {};
  const take = (values: ReadonlyMap<string, string>, names: string | undefined, pattern: string | undefined) => {
    for (const name of names?.split(",") ?? []) {
      const value = values.get(name);
      if (value !== undefined) found[keyName(name)] = value;
    }
    if (pattern === undefined || pattern === "") return;
    const wanted = new RegExp(pattern);
    for (const [name, value] of values) if (wanted.test(name)) found[keyName(name)] = value;
  };
  take(new Map(Object.entries(record.config.Labels)), Config["labels"], Config["labels-regex"]);
  const variables = record.config.Env.filter((entry) => entry.includes("=")).map((entry) => {
    const equals = entry.indexOf("=");
    return [entry.slice(0, equals), entry.slice(equals + 1)] as const;
  });
  take(new Map(variables), Config["env"], Config["env-regex"]);
  return found;
}

/** The same and the tag, if one was asked for; undefined when nothing was. */
export function lineAttributes(record: ContainerRecord): Attributes | undefined {
  const extra = extraAttributes(record);
  const tag = record.hostConfig.LogConfig.Config["tag"] ?? "";
  const all = tag === "" ? extra : { ...extra, tag: expandTag(tag, record) };
  return Object.keys(all).length === 0 ? undefined : all;
}

/** `k=v,k2=v2` in the order of the names, escaped as in a URL's query: what `logs --details` shows. */
export function formatDetails(attributes: { readonly [name: string]: unknown }): string {
  const text = (value: unknown) => queryEscape(typeof value === "string" ? value : JSON.stringify(value));
  return Object.keys(attributes)
    .map((name) => `${text(name)}=${text(attributes[name])}`)
    .sort()
    .join(",");
}

/** Go's url.QueryEscape: as a form has it, but for two characters. */
function queryEscape(text: string): string {
  return new URLSearchParams([["", text]]).toString().slice(1).replaceAll("%7E", "~").replaceAll("*", "%2A");
}
