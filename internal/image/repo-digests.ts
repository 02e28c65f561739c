/** Repo digests: under which manifest digest a repository has an image. Known after pull and push. */
import type { Engine } from "../db/engine.ts";
import { familiar } from "./reference.ts";

/** Records `docker.io/library/alpine@sha256:…` for an image; another image that had it loses it. Inside a transaction. */
export function setRepoDigest(engine: Engine, repository: string, digest: string, imageId: string): void {
  engine.db
    .query(
      `INSERT INTO repo_digest (reference, image_id) VALUES (?, ?)
       ON CONFLICT (reference) DO UPDATE SET image_id = excluded.image_id`,
    )
    .run(`${repository}@${digest}`, imageId);
}

/** An image's repo digests in full, sorted. */
export function repoDigestsOf(engine: Engine, imageId: string): string[] {
  return engine.db
    .query<{ reference: string }, [string]>("SELECT reference FROM repo_digest WHERE image_id = ? ORDER BY reference")
    .all(imageId)
    .map((row) => row.reference);
}

/** As `inspect` shows them. */
export function shownRepoDigests(engine: Engine, imageId: string): string[] {
  return repoDigestsOf(engine, imageId).map(familiar);
}

/** Forgets the digests that an image has in a repository (`docker.io/library/alpine`); returns them. Inside a transaction. */
export function forgetRepoDigests(engine: Engine, imageId: string, repository: string): string[] {
  return engine.db
    .query<{ reference: string }, [string, string]>(
      `DELETE FROM repo_digest WHERE image_id = ?1 AND substr(reference, 1, length(?2)) = ?2 RETURNING reference`,
    )
    .all(imageId, `${repository}@`)
    .map((row) => row.reference);
}
