/** `ctr events`: what happened, and what happens. */
import { followEvents, parseEventFilters } from "../../../internal/container/events.ts";
import { openEngine } from "../../../internal/db/engine.ts";
import type { RecordedEvent } from "../../../internal/db/events.ts";
import { defineCommand, INSPECT_HELP } from "../command.ts";
import { harmless } from "../fail.ts";
import { safeJson } from "../format/safe.ts";
import { compileTemplate, MissingField } from "../format/template.ts";
import { printLine, STDOUT } from "../output.ts";

export const command = defineCommand({
  meta: { name: "events", description: "Get real time events from the engine" },
  usage: "[OPTIONS]",
  operands: [0, 0],
  flags: {
    filter: {
      type: "string",
      alias: "f",
      repeatable: true,
      valueHint: "filter",
      description: "Filter output based on conditions provided",
    },
    format: {
      type: "string",
      description: INSPECT_HELP,
    },
    since: { type: "string", description: "Show all events created since timestamp" },
    until: { type: "string", description: "Stream events until this timestamp" },
  },
  async run({ flags, directories }) {
    const accepts = parseEventFilters(flags.filter);
    const textOf = compile(flags.format?.trim() ?? "");
    const sinceNs = await moment("since", flags.since);
    const untilNs = await moment("until", flags.until);
    using engine = openEngine(directories);
    followEvents(engine, { sinceNs, untilNs, accepts, outputFd: STDOUT }, (event) => printLine(textOf(event)));
    return 0;
  },
});

async function moment(name: string, value: string | undefined): Promise<bigint | undefined> {
  if (value === undefined || value === "") return undefined;
  const { parseMoment } = await import("../../../internal/image/moment.ts");
  return parseMoment(name, value, Date.now());
}

function compile(format: string): (event: RecordedEvent) => string {
  if (format === "") return lineOf;
  if (format === "json" || /^\{\{\s*json\s+\.\s*\}\}$/.test(format)) return jsonOf;
  const render = compileTemplate(format, {
    missing: (parent, name) =>
      parent === "Attributes"
        ? undefined
        : new MissingField(`can't evaluate field ${name} in type *formatter.eventContext`),
  });
  return (event) => render(templateData(event));
}

const SCOPE = "local";

/** `2026-11-21T15:00:00.123456789Z container start 4f… (image=alpine, name=web)` */
function lineOf({ timeNs, type, action, id, attributes }: RecordedEvent): string {
  const words = `${localTime(timeNs)} ${type} ${action} ${id}`;
  const names = Object.keys(attributes).sort();
  const shown = names.map((name) => `${name}=${attributes[name]}`).join(", ");
  return harmless(names.length === 0 ? words : `${words} (${shown})`);
}

/** RFC 3339 with nine decimals, in the user's own time zone. */
function localTime(timeNs: bigint): string {
  const ms = Number(timeNs / 1_000_000n);
  const offset = -new Date(ms).getTimezoneOffset();
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60].map((part) =>
    String(part).padStart(2, "0"),
  );
  const zone = offset === 0 ? "Z" : `${offset < 0 ? "-" : "+"}${hours}:${minutes}`;
  const shown = new Date(ms + offset * 60_000).toISOString().slice(0, -1);
  return `${shown}${String(timeNs % 1_000_000n).padStart(6, "0")}${zone}`;
}

function jsonOf({ timeNs, type, action, id, attributes }: RecordedEvent): string {
  const time = Number(timeNs / 1_000_000_000n);
  const object = { Type: type, Action: action, Actor: { ID: id, Attributes: inOrder(attributes) }, scope: SCOPE, time };
  // The nanoseconds have more digits than a number here keeps.
  return `${safeJson(object).slice(0, -1)},"timeNano":${timeNs}}`;
}

/** As Go writes a map. */
function inOrder(attributes: RecordedEvent["attributes"]): RecordedEvent["attributes"] {
  return Object.fromEntries(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The fields of Docker's events.Message; the last three are its older names for the same. */
function templateData({ timeNs, type, action, id, attributes }: RecordedEvent): object {
  return {
    Type: type,
    Action: action,
    Actor: { ID: id, Attributes: inOrder(attributes) },
    Scope: SCOPE,
    Time: Number(timeNs / 1_000_000_000n),
    TimeNano: timeNs,
    Status: action,
    ID: id,
    From: type === "container" ? (attributes["image"] ?? "") : "",
  };
}
