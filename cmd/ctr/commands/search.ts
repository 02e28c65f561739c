/** `ctr search`: images of Docker Hub, or of another registry with its search. */
import { CtrError } from "../../../internal/errors/error.ts";
import { DEFAULT_LIMIT, type FoundImage, searchImages } from "../../../internal/registry/search.ts";
import { loadRegistrySettings } from "../../../internal/registry/settings.ts";
import { defineCommand } from "../command.ts";
import { formatSearch } from "../format/search.ts";
import { print, printError } from "../output.ts";

const MAX_LIMIT = 100;

export const command = defineCommand({
  meta: { name: "search", description: "Search Docker Hub for images" },
  usage: "[OPTIONS] TERM",
  operands: [1, 1],
  flags: {
    filter: {
      type: "string",
      alias: "f",
      repeatable: true,
      valueHint: "filter",
      description: "Filter output based on conditions provided",
    },
    format: { type: "string", valueHint: "string", description: "Pretty-print search using a Go template" },
    limit: { type: "string", valueHint: "int", description: "Max number of search results" },
    "no-trunc": { type: "boolean", description: "Don't truncate output" },
  },
  async run({ flags, operands }) {
    const [term = ""] = operands;
    const matches = parseFilters(flags.filter);
    const limit = parseLimit(flags.limit);
    const found = await searchImages(loadRegistrySettings(process.env), term, limit);
    const images = found.slice(0, limit).filter(matches);
    print(formatSearch(images, { format: flags.format ?? "table", isTruncated: !flags["no-trunc"] }));
    return 0;
  },
});

function parseLimit(text: string | undefined): number {
  if (text === undefined) return DEFAULT_LIMIT;
  if (!/^[+-]?\d+$/.test(text)) {
    throw new CtrError(
      "invalid",
      `invalid argument "${text}" for "--limit" flag: strconv.ParseInt: parsing "${text}": invalid syntax`,
      {
        exitStatus: 125,
      },
    );
  }
  const limit = Number(text);
  if (limit > MAX_LIMIT) throw new CtrError("invalid", `Limit ${limit} is outside the range of [1, ${MAX_LIMIT}]`);
  return limit < 1 ? DEFAULT_LIMIT : limit;
}

/** Conditions of different names must all hold, of the same name one of them. */
function parseFilters(filters: readonly string[]): (image: FoundImage) => boolean {
  let leastStars = 0;
  const wanted: { [name in "is-official" | "is-automated"]?: boolean } = {};
  for (const filter of filters) {
    const equals = filter.indexOf("=");
    if (equals < 0)
      throw new CtrError(
        "invalid",
        `invalid argument "${filter}" for "-f, --filter" flag: invalid filter '${filter}'`,
        { exitStatus: 125 },
      );
    const name = filter.slice(0, equals).trim().toLowerCase();
    const value = filter.slice(equals + 1).trim();
    switch (name) {
      case "stars":
        if (!/^\d{1,9}$/.test(value)) throw new CtrError("invalid", `Invalid filter 'stars=${value}'`);
        leastStars = Math.max(leastStars, Number(value));
        break;
      case "is-official":
      case "is-automated": {
        const isWanted = BOOLEANS[value];
        if (isWanted === undefined) throw new CtrError("invalid", `Invalid filter '${name}=[${value}]'`);
        wanted[name] = isWanted;
        if (name === "is-automated") {
          printError(
            'WARNING: the "is-automated" filter is deprecated, and searching for "is-automated=true" will not yield any results in future.',
          );
        }
        break;
      }
      default:
        throw new CtrError("invalid", `Invalid filter '${name}'`);
    }
  }
  const { "is-official": isOfficial, "is-automated": isAutomated } = wanted;
  return (image) =>
    image.stars >= leastStars &&
    (isOfficial === undefined || image.isOfficial === isOfficial) &&
    (isAutomated === undefined || image.isAutomated === isAutomated);
}

const BOOLEANS: { readonly [text: string]: boolean | undefined } = { true: true, "1": true, false: false, "0": false };
