/** `ctr history`: fields by name. */
import type { HistoryStep } from "../../../internal/image/history.ts";
import { humanSize } from "../../../internal/image/human-size.ts";
import { harmless } from "../fail.ts";
import { ellipsis, shortId } from "./container-text.ts";
import { humanAgo } from "./duration.ts";
import { rfc3339 } from "./local-time.ts";
import { formatRows, type RowFields } from "./rows.ts";

export interface HistoryListing {
  /** Undefined: the usual table. */
  readonly format: string | undefined;
  readonly isShort: boolean;
  readonly isHuman: boolean;
  readonly isQuiet: boolean;
}

const TABLE = "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const LONGEST_COMMAND = 45;
/** Go's zero time, for a step that does not say when. */
const NEVER = "0001-01-01T00:00:00Z";

/** The text of the steps in the format asked for. */
export function formatHistory(steps: readonly HistoryStep[], listing: HistoryListing): string {
  const format = listing.format ?? "table";
  const isTable = format.trim() === "table" || format.trim() === "";
  const wanted = isTable ? (listing.isQuiet ? "{{.ID}}" : TABLE) : format;
  return formatRows(wanted, fields(listing, Date.now()), steps, TABLE, { type: "*formatter.historyContext" });
}

function fields({ isShort, isHuman }: HistoryListing, nowMs: number): RowFields<HistoryStep> {
  const createdAt = ({ createdMs }: HistoryStep) => (createdMs === undefined ? NEVER : rfc3339(createdMs));
  return {
    ID: { header: "IMAGE", value: ({ id = "<missing>" }) => (isShort && id !== "<missing>" ? shortId(id) : id) },
    CreatedAt: { header: "CREATED AT", value: createdAt },
    CreatedSince: {
      header: isHuman ? "CREATED" : "CREATED AT",
      value: (step) => {
        if (!isHuman) return createdAt(step);
        return step.createdMs === undefined ? "N/A" : humanAgo(step.createdMs, nowMs);
      },
    },
    CreatedBy: {
      header: "CREATED BY",
      value: ({ createdBy }) => {
        // What an image says of itself goes to the terminal: it must not steer it.
        const text = harmless(createdBy.replaceAll("\t", " "), true);
        return isShort ? ellipsis(text, LONGEST_COMMAND) : text;
      },
    },
    Size: { header: "SIZE", value: ({ size }) => (isHuman ? humanSize(size) : String(size)) },
    Comment: { header: "COMMENT", value: ({ comment }) => harmless(comment, true) },
  };
}
