import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { transaction } from "../../../internal/db/database.ts";
import { type Engine, openEngine } from "../../../internal/db/engine.ts";
import { humanSize } from "../../../internal/image/human-size.ts";
import { keepShownImages } from "../../../internal/image/keep-shown.ts";
import { listImages } from "../../../internal/image/list.ts";
import { removeImage } from "../../../internal/image/remove.ts";
import { setRepoDigest } from "../../../internal/image/repo-digests.ts";
import { readShownImages } from "../../../internal/image/shown.ts";
import { tagImage } from "../../../internal/image/tags.ts";
import { knownAgo } from "./duration.ts";
import { shownImageIds, shownImagesTable } from "./shown-images.ts";
import { layoutTable } from "./table.ts";

const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2026, 10, 22);
const NO_FORCE = { force: false, prune: true };

let directory: string;
let engine: Engine;

beforeEach(() => {
  directory = mkdtempSync("/tmp/ctr-shown-");
  engine = openEngine({ root: `${directory}/root`, state: `${directory}/state` });
});
afterEach(() => {
  engine[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

let count = 0;

function addImage(created: string | undefined, size: number, parent?: string): string {
  const id = `sha256:${(++count).toString(16).padStart(64, "0")}`;
  const config = JSON.stringify({ created, architecture: "amd64", os: "linux", config: {} });
  engine.db
    .query(
      "INSERT INTO image (id, manifest, manifest_type, manifest_size, config, size, created_at, parent) VALUES (?,?,?,?,?,?,?,?)",
    )
    .run(id, id, "x", 1, config, size, 0, parent ?? null);
  return id;
}

/** What `images` would say without the kept table. */
function laidOut(): string {
  return layoutTable([
    ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"],
    ...listImages(engine, { all: false, pattern: undefined }).map((image) => [
      image.repository,
      image.tag,
      image.id.slice(7, 19),
      knownAgo(image.createdMs, NOW_MS),
      humanSize(image.size),
    ]),
  ]);
}

function kept(): string | undefined {
  const shown = readShownImages(engine);
  return shown && shownImagesTable(shown, NOW_MS);
}

test("images: the kept table is the one that would be laid out, for any ages", () => {
  const seed = Number(process.env["CTR_TEST_SEED"] ?? 7);
  let state = seed;
  const random = () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
  transaction(engine.db, () => keepShownImages(engine));
  expect(kept()).toBe("REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n");
  expect(shownImageIds({ table: kept() ?? "", createdMs: [] })).toBe("");
  for (let round = 0; round < 12; round++) {
    for (let more = 0; more < round; more++) {
      // From a moment ahead of the clock to years ago, some at once.
      const ageMs = random() < 0.2 ? 60_000 : Math.exp(random() * 26) - 5000;
      const created = random() < 0.05 ? undefined : new Date(NOW_MS - ageMs).toISOString();
      const id = addImage(created, Math.floor(Math.exp(random() * 30)));
      for (let tags = 0; random() < 0.6; tags++) tagImage(engine, id, `${"team/".repeat(tags)}app${count}:v${round}`);
    }
    transaction(engine.db, () => keepShownImages(engine));
    expect(kept(), `seed ${seed}`).toBe(laidOut());
    const shown = readShownImages(engine);
    const ids = listImages(engine, { all: false, pattern: undefined }).map(({ id }) => `${id.slice(7, 19)}\n`);
    expect(shown && shownImageIds(shown)).toBe(ids.join(""));
  }
});

test("images: whatever changes what is listed makes the table anew", () => {
  const created = new Date(NOW_MS - 3 * DAY_MS).toISOString();
  const parent = addImage(created, 1000);
  expect(kept()).toBeUndefined();
  tagImage(engine, parent, "parent");
  expect(kept()).toContain("parent       latest    ");
  const child = addImage(created, 2000, parent);
  expect(kept()).toBeUndefined();
  tagImage(engine, child, "child:1");
  tagImage(engine, child, "child:2");
  expect(kept()).toBe(laidOut());
  // The tag moves, and the parent would be without a name but for its child.
  tagImage(engine, child, "parent");
  expect(kept()).toBe(laidOut());
  expect(kept()?.split("\n").length).toBe(5);
  transaction(engine.db, () => setRepoDigest(engine, "docker.io/library/far", `sha256:${"1".repeat(64)}`, parent));
  expect(kept()).toBeUndefined();
  transaction(engine.db, () => keepShownImages(engine));
  expect(kept()).toContain("far          <none>    ");
  engine.db.run("UPDATE image SET size = 5 WHERE id = ?", [child]);
  expect(kept()).toBeUndefined();
  removeImage(engine, "child:1", NO_FORCE);
  expect(kept()).toBe(laidOut());
  expect(kept()).not.toContain("child        1 ");
  removeImage(engine, "child:2", NO_FORCE);
  removeImage(engine, "parent", NO_FORCE);
  expect(kept()).toBe(laidOut());
});

test("images: a change that fails leaves the table as it was", () => {
  const id = addImage(new Date(NOW_MS).toISOString(), 10);
  tagImage(engine, id, "app");
  const before = kept();
  expect(() =>
    transaction(engine.db, () => {
      engine.db.run("DELETE FROM tag");
      throw new Error("no");
    }),
  ).toThrow("no");
  expect(kept()).toBe(before);
});
