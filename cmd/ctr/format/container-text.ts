/** How lists show a container: id, command, status. */
import { commandOf } from "../../../internal/container/command.ts";
import type { ContainerConfig, ContainerState, Health, RuntimeRecord } from "../../../internal/container/record.ts";
import { harmless } from "../fail.ts";
import { humanDuration } from "./duration.ts";

const SHORT_ID = 12;
const SHORT_COMMAND = 20;

/** The first 12 digits, without `sha256:`. */
export function shortId(id: string): string {
  const at = id.startsWith("sha256:") ? "sha256:".length : 0;
  return id.slice(at, at + SHORT_ID);
}

/** Cut to `length` columns of a terminal, the last of which is then `…`. */
export function ellipsis(text: string, length: number): string {
  if (ASCII.test(text)) return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
  let width = 0;
  let shown = "";
  for (const character of text) {
    width += Math.max(1, Bun.stringWidth(character));
    if (width < length) shown += character;
  }
  return width <= length ? text : `${shown}…`;
}

const ASCII = /^[\x00-\x7f]*$/;

/** The image as `imageNames` has it; an id is shortened. */
export function imageText(image: string, imageId: string, isShort: boolean): string {
  if (image === "") return "<no image>";
  return isShort &&
    (image === imageId || (image.length >= SHORT_ID && imageId.slice("sha256:".length).startsWith(image)))
    ? shortId(imageId)
    : image;
}

interface WithCommand {
  readonly config: Pick<ContainerConfig, "Entrypoint" | "Cmd">;
}

/** The command in quotes, arguments with blanks in single ones: `"sh -c 'echo hi'"`. */
export function commandText({ config }: WithCommand, isShort: boolean): string {
  const whole = commandOf(config)
    .map((word, at) => (at > 0 && word.includes(" ") ? `'${word}'` : word))
    .join(" ");
  const shown = isShort ? ellipsis(whole, SHORT_COMMAND) : whole;
  // Hardly any needs more than quotes, and a list may be long.
  return PLAIN.test(whole) ? `"${shown}"` : harmless(JSON.stringify(shown));
}

/** ASCII that neither JSON nor a terminal takes for anything else. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** What of a container its status is made of. */
export interface WithStatus {
  readonly state: ContainerState;
  readonly runtime: Pick<RuntimeRecord, "startedAt" | "finishedAt" | "exitCode"> & {
    readonly health?: Pick<Health, "Status">;
  };
}

function healthText({ health }: WithStatus["runtime"]): string {
  if (health === undefined) return "";
  return health.Status === "starting" ? " (health: starting)" : ` (${health.Status})`;
}

/** The STATUS column: `Up 5 minutes (Paused)`, `Exited (137) 2 hours ago`. */
export function statusText({ state, runtime }: WithStatus, nowMs: number): string {
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
