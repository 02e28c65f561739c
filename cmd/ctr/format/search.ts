/** What `ctr search` shows of an image. */
import type { FoundImage } from "../../../internal/registry/search.ts";
import { harmless } from "../fail.ts";
import { formatRows, type RowFields } from "./rows.ts";

const TABLE = "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}";
/** Of a description, with the ellipsis. */
const MAX_DESCRIPTION = 45;

export interface SearchListing {
  readonly format: string;
  readonly isTruncated: boolean;
}

/** The text of the results in the format asked for. */
export function formatSearch(images: readonly FoundImage[], { format, isTruncated }: SearchListing): string {
  return formatRows(format === "" ? "table" : format, fields(format.trim() === "json", isTruncated), images, TABLE);
}

function fields(isJson: boolean, isTruncated: boolean): RowFields<FoundImage> {
  return {
    Name: { header: "NAME", value: ({ name }) => harmless(name) },
    Description: { header: "DESCRIPTION", value: ({ description }) => describeShort(description, isTruncated) },
    StarCount: { header: "STARS", value: ({ stars }) => String(stars) },
    IsOfficial: {
      header: "OFFICIAL",
      value: ({ isOfficial }) => (isJson ? String(isOfficial) : isOfficial ? "[OK]" : ""),
    },
  };
}

/** In one line, whatever the registry sent; a tab would open a column of its own. */
function describeShort(description: string, isTruncated: boolean): string {
  const line = harmless(description.replace(/[\r\n\t]/g, " "));
  const characters = [...line];
  if (!isTruncated || characters.length <= MAX_DESCRIPTION) return line;
  return `${characters.slice(0, MAX_DESCRIPTION - 1).join("")}…`;
}
