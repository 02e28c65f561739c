/** The lines of a resctrl group's `schemata`: `L3:0=7f0;1=1f`, `MB:0=20;1=70` (kernel Documentation/filesystems/resctrl.rst). */
import { CtrError } from "../errors/error.ts";
import type { IntelRdt } from "../spec/runtime.ts";

/**
 * The lines to write, in their order (runtime-spec config-linux.md#intelrdt): the cache's, the memory bandwidth's, those of
 * `schemata`. A line for the bandwidth among the cache's gives way to the bandwidth's own, as 1.2 has it. Throws `invalid`.
 */
export function schemataLines({ l3CacheSchema = "", memBwSchema = "", schemata = [] }: IntelRdt): readonly string[] {
  if (memBwSchema !== "" && (!memBwSchema.startsWith("MB:") || memBwSchema.includes("\n")))
    throw new CtrError("invalid", "linux.intelRdt.memBwSchema: must be one line that begins with MB:");
  for (const [index, line] of schemata.entries()) {
    if (line.includes("\n")) throw new CtrError("invalid", `linux.intelRdt.schemata[${index}]: must be one line`);
  }
  const cache = l3CacheSchema.split("\n").filter((line) => memBwSchema === "" || !line.startsWith("MB:"));
  return [...cache, memBwSchema, ...schemata].map((line) => line.trim()).filter((line) => line !== "");
}

/** Which of these lines are not what the group has; the group may have more. */
export function unlike(lines: readonly string[], current: string): readonly string[] {
  const has = new Map(current.split("\n").map(parseLine));
  return lines.filter((line) => {
    const [resource, wanted] = parseLine(line);
    const domains = has.get(resource);
    return [...wanted].some(([domain, value]) => domains?.get(domain) !== value);
  });
}

type Line = readonly [resource: string, domains: ReadonlyMap<string, string>];

/** Masks are hexadecimal, and the kernel writes them without the zeros that somebody may have put in front. */
function parseLine(line: string): Line {
  const [resource = "", rest = ""] = line.trim().split(/:(.*)/s);
  const domains = rest.split(";").filter((part) => part !== "");
  return [
    resource,
    new Map(
      domains.map((part): [string, string] => {
        const [domain = "", value = ""] = part.split("=");
        return [number(domain), number(value).toLowerCase()];
      }),
    ),
  ];
}

function number(text: string): string {
  return text.trim().replace(/^(0x)?0*(?=.)/i, "");
}
