/** How lists show a container: id, command, status. */
import { commandOf } from "../../../internal/container/command.ts";
import type { ContainerRecord, RuntimeRecord } from "../../../internal/container/record.ts";
import { harmless } from "../fail.ts";
import { humanDuration } from "./duration.ts";

const SHORT_ID = 12;
const SHORT_COMMAND = 20;

/** The first 12 digits, without `sha256:`. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, SHORT_ID);
}

/** Cut to `length` characters, the last of which is then `…`. */
export function ellipsis(text: string, length: number): string {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join("")}…`;
}

/** The image as `imageNames` has it; an id is shortened. */
export function imageText(image: string, imageId: string, isShort: boolean): string {
  if (image === "") return "<no image>";
  return isShort &&
    (image === imageId || (image.length >= SHORT_ID && imageId.slice("sha256:".length).startsWith(image)))
    ? shortId(imageId)
    : image;
}

/** The command in quotes, arguments with blanks in single ones: `"sh -c 'echo hi'"`. */
export function commandText(record: ContainerRecord, isShort: boolean): string {
  const [path = "", ...args] = commandOf(record.config);
  const whole = [path, ...args.map((argument) => (argument.includes(" ") ? `'${argument}'` : argument))].join(" ");
  return harmless(JSON.stringify(isShort ? ellipsis(whole, SHORT_COMMAND) : whole));
}

function healthText({ health }: RuntimeRecord): string {
  if (health === undefined) return "";
  return health.Status === "starting" ? " (health: starting)" : ` (${health.Status})`;
}

/** The STATUS column: `Up 5 minutes (Paused)`, `Exited (137) 2 hours ago`. */
export function statusText({ state, runtime }: ContainerRecord, nowMs: number): string {
  const since = (time: string | undefined) =>
    humanDuration((nowMs - Date.parse(time ?? "1970-01-01T00:00:00Z")) / 1000);
  switch (state) {
    case "created":
      return "Created";
    case "running":
      return `Up ${since(runtime.startedAt)}${healthText(runtime)}`;
    case "paused":
      return `Up ${since(runtime.startedAt)} (Paused)`;
    case "restarting":
      return `Restarting (${runtime.exitCode}) ${since(runtime.finishedAt)} ago`;
    case "exited":
      return `Exited (${runtime.exitCode}) ${since(runtime.finishedAt)} ago`;
    case "removing":
      return "Removal In Progress";
    case "dead":
      return "Dead";
    default:
      return state satisfies never;
  }
}
