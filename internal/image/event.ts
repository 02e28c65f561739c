/** What happens to an image, as `ctr events` tells it. */
import type { Engine } from "../db/engine.ts";
import { recordEvent } from "../db/events.ts";

/** Docker's words for it. */
export type ImageAction = "delete" | "import" | "load" | "pull" | "push" | "save" | "tag" | "untag";

/**
 * Records an event of an image: `id` is its id (for `pull` and `push` the familiar reference, as Docker has it), `name`
 * what is shown as its name. Inside the transaction of the change, if there is one.
 */
export function recordImageEvent(engine: Engine, action: ImageAction, id: string, name: string): void {
  recordEvent(engine, { type: "image", action, id, attributes: { name } });
}
