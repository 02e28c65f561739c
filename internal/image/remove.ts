/** `rmi`: Docker's rules for what may go (moby daemon/images/image_delete.go, as documented for `docker rmi`). */
import { ensureLayout } from "../content/blob-store.ts";
import { collectWorkspaces } from "../content/workspace.ts";
import { durableTransaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { recordEvent } from "../db/events.ts";
import { CtrError } from "../errors/error.ts";
import { collectGarbage, forgetUnused, removeUnnamed } from "./collect.ts";
import { parseImageConfig } from "./config.ts";
import { recordImageEvent } from "./event.ts";
import { familiarReference, parseReference } from "./reference.ts";
import { repoDigestsOf } from "./repo-digests.ts";
import { resolveImageId } from "./resolve.ts";
import { tagsOf } from "./tags.ts";

export interface Removal {
  readonly kind: "untagged" | "deleted";
  /** A familiar reference, or an id or chain id. */
  readonly name: string;
}

export interface RemoveOptions {
  readonly force: boolean;
  /** Also remove untagged parents. */
  readonly prune: boolean;
}

/** Removes a tag or an image, and then what nobody needs any more. Returns what went, in Docker's order. */
export function removeImage(engine: Engine, text: string, options: RemoveOptions): Removal[] {
  collectWorkspaces(engine.root);
  ensureLayout(engine.root);
  const removals = durableTransaction(engine.db, () => {
    const went: Removal[] = [];
    const hasDeleted = removeFromDatabase(engine, text, options, went);
    const layers = forgetUnused(engine);
    // Layers that an earlier command left are collected too, but only a deletion speaks of them.
    if (hasDeleted) for (const chainId of layers) went.push({ kind: "deleted", name: chainId });
    return went;
  });
  removeUnnamed(engine);
  return removals;
}

/** Which images `pruneImages` may remove. */
export interface ImagePrune {
  /** Every image that no container uses, not only those without a name. */
  readonly all: boolean;
  /** False spares an image, whatever else speaks for its removal. */
  accepts(image: { readonly createdMs: number; readonly labels: { readonly [name: string]: string } }): boolean;
}

export interface Pruned {
  readonly removals: readonly Removal[];
  /** Bytes that came free on the disk. */
  readonly reclaimed: number;
}

/**
 * Removes the images that no container uses and no name (with `all`: whatever their names), with parents that only they
 * needed, and everything in the store that nobody needs.
 */
export function pruneImages(engine: Engine, options: ImagePrune): Pruned {
  const removals = durableTransaction(engine.db, () => {
    const went: Removal[] = [];
    for (const id of prunable(engine, options)) {
      if (findConflict(engine, id, ["children"]) !== undefined) continue;
      // With its parents, as long as they have neither a name nor another child.
      deleteImage(engine, id, { force: true, prune: true }, true, went);
    }
    const layers = forgetUnused(engine);
    if (went.length > 0) for (const chainId of layers) went.push({ kind: "deleted", name: chainId });
    return went;
  });
  const reclaimed = collectGarbage(engine, true);
  recordEvent(engine, { type: "image", action: "prune", id: "", attributes: { reclaimed: String(reclaimed) } });
  return { removals, reclaimed };
}

/** The ids, children before their parents: a parent may be free once they are gone. */
function prunable(engine: Engine, { all, accepts }: ImagePrune): readonly string[] {
  const rows = engine.db
    .query<{ id: string; config: string }, []>(
      `SELECT id, config FROM image
       WHERE NOT EXISTS (SELECT 1 FROM container WHERE image_id = image.id)
         ${all ? "" : "AND NOT EXISTS (SELECT 1 FROM tag WHERE image_id = image.id)"}
       ORDER BY created_at DESC, rowid DESC`,
    )
    .all();
  return rows
    .filter(({ config }) => {
      const { created, config: runConfig } = parseImageConfig(config);
      return accepts({ createdMs: created === undefined ? 0 : Date.parse(created), labels: runConfig.Labels ?? {} });
    })
    .map(({ id }) => id);
}

function removeFromDatabase(engine: Engine, text: string, options: RemoveOptions, removals: Removal[]): boolean {
  const { id, reference } = resolveImageId(engine, text);
  const references = referencesOf(engine, id);
  const isLast = areOne(references);
  if (reference === undefined) {
    if (isLast) {
      refuseIfUsed(engine, id, options.force ? HARD : [...HARD, "stopped container"]);
      for (const one of references) untag(engine, id, one, removals);
    }
    return deleteImage(engine, id, options, false, removals);
  }
  if (!options.force && isLast) {
    // Without its last name the image would dangle while a container still needs it.
    const container = containerUsing(engine, id, "any");
    if (container !== undefined) {
      throw new CtrError(
        "conflict",
        `conflict: unable to remove repository reference ${JSON.stringify(text)} (must force) - container ` +
          `${short(container)} is using its referenced image ${short(id)}`,
      );
    }
  }
  untag(engine, id, reference, removals);
  // With the last tag of a repository the digests it has there go too.
  const repository = repositoryOf(reference);
  const rest = referencesOf(engine, id).filter((one) => repositoryOf(one) === repository);
  if (!reference.includes("@") && rest.every((one) => one.includes("@"))) {
    for (const one of rest) untag(engine, id, one, removals);
  }
  if (referencesOf(engine, id).length > 0) return false;
  return deleteImage(engine, id, options, true, removals);
}

/** The reasons against a deletion, in the order they are looked at. */
type Reason = "children" | "running container" | "references" | "stopped container";
const HARD: readonly Reason[] = ["children", "running container"];

/** Deletes the image; with `isQuiet` one that is still needed is left alone instead of refused. */
function deleteImage(
  engine: Engine,
  id: string,
  options: RemoveOptions,
  isQuiet: boolean,
  removals: Removal[],
): boolean {
  const reasons: readonly Reason[] = options.force ? HARD : [...HARD, "references", "stopped container"];
  const conflict = findConflict(engine, id, reasons);
  if (conflict !== undefined) {
    if (isQuiet) return false;
    throw conflict;
  }
  for (const reference of referencesOf(engine, id)) untag(engine, id, reference, removals);
  const row = engine.db
    .query<{ parent: string | null }, [string]>("DELETE FROM image WHERE id = ? RETURNING parent")
    .get(id);
  recordImageEvent(engine, "delete", id, id);
  removals.push({ kind: "deleted", name: id });
  const parent = row?.parent ?? null;
  if (options.prune && parent !== null && engine.db.query("SELECT 1 FROM image WHERE id = ?").get(parent) !== null) {
    deleteImage(engine, parent, { force: false, prune: true }, true, removals);
  }
  return true;
}

function refuseIfUsed(engine: Engine, id: string, reasons: readonly Reason[]): void {
  const conflict = findConflict(engine, id, reasons);
  if (conflict !== undefined) throw conflict;
}

function findConflict(engine: Engine, id: string, reasons: readonly Reason[]): CtrError | undefined {
  const conflict = (isHard: boolean, why: string) =>
    new CtrError(
      "conflict",
      `conflict: unable to delete ${short(id)} (${isHard ? "cannot" : "must"} be forced) - ${why}`,
    );
  for (const reason of reasons) {
    switch (reason) {
      case "children":
        if (engine.db.query("SELECT 1 FROM image WHERE parent = ?").get(id) !== null) {
          return conflict(true, "image has dependent child images");
        }
        break;
      case "running container": {
        const container = containerUsing(engine, id, "running");
        if (container !== undefined)
          return conflict(true, `image is being used by running container ${short(container)}`);
        break;
      }
      case "references":
        if (referencesOf(engine, id).length > 0) return conflict(false, "image is referenced in multiple repositories");
        break;
      case "stopped container": {
        const container = containerUsing(engine, id, "stopped");
        if (container !== undefined)
          return conflict(false, `image is being used by stopped container ${short(container)}`);
        break;
      }
      default:
        reason satisfies never;
    }
  }
  return undefined;
}

function containerUsing(engine: Engine, imageId: string, which: "any" | "running" | "stopped"): string | undefined {
  const rows = engine.db
    .query<{ id: string; state: string }, [string]>("SELECT id, state FROM container WHERE image_id = ?")
    .all(imageId);
  // A paused or restarting container counts as running, as in Docker.
  const isRunning = (state: string) => state === "running" || state === "paused" || state === "restarting";
  return rows.find((row) => which === "any" || isRunning(row.state) === (which === "running"))?.id;
}

/** An image's tags, then its repo digests, in full. */
function referencesOf(engine: Engine, id: string): string[] {
  return [...tagsOf(engine, id), ...repoDigestsOf(engine, id)];
}

/** True if they are one name: at most one tag, and digests of its repository only. */
function areOne(references: readonly string[]): boolean {
  const tags = references.filter((reference) => !reference.includes("@"));
  return tags.length <= 1 && new Set(references.map(repositoryOf)).size <= 1;
}

function repositoryOf(reference: string): string {
  const { domain, path } = parseReference(reference);
  return `${domain}/${path}`;
}

function untag(engine: Engine, id: string, reference: string, removals: Removal[]): void {
  engine.db.query("DELETE FROM tag WHERE reference = ?").run(reference);
  engine.db.query("DELETE FROM repo_digest WHERE reference = ?").run(reference);
  recordImageEvent(engine, "untag", id, id);
  removals.push({ kind: "untagged", name: familiarReference(parseReference(reference)) });
}

function short(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}
