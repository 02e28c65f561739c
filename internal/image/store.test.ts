import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { type Engine, openEngine } from "../db/engine.ts";
import { parseImageFilters } from "./filter.ts";
import { listImages } from "./list.ts";
import { removeImage } from "./remove.ts";
import { resolveImage, resolveImageId } from "./resolve.ts";
import { tagImage, tagsOf } from "./tags.ts";

let directory: string;
let engine: Engine;

beforeEach(() => {
  directory = mkdtempSync("/tmp/ctr-image-");
  engine = openEngine({ root: `${directory}/root`, state: `${directory}/state` });
});
afterEach(() => {
  engine[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

const idOf = (digit: string) => `sha256:${digit.repeat(64).slice(0, 64)}`;

/** An image that is only recorded: without layers, made `age` seconds ago. */
function addImage(
  digit: string,
  options: { tags?: string[]; parent?: string; age?: number; labels?: object } = {},
): string {
  const id = idOf(digit);
  const created = new Date(Date.now() - (options.age ?? 0) * 1000).toISOString();
  const config = JSON.stringify({
    created,
    architecture: "amd64",
    os: "linux",
    config: { Labels: options.labels ?? {} },
  });
  engine.db
    .query(
      "INSERT INTO image (id, manifest, manifest_type, manifest_size, config, size, created_at, parent) VALUES (?,?,?,?,?,?,?,?)",
    )
    .run(id, id, "x", 1, config, 10, 0, options.parent ?? null);
  for (const tag of options.tags ?? []) tagImage(engine, id, tag);
  return id;
}

function addContainer(digit: string, imageId: string, state: string): void {
  engine.db
    .query(`INSERT INTO container (id, name, image_id, image, created_at, config, host_config, layers, state, runtime)
       VALUES (?,?,?,?,?,?,?,?,?,?)`)
    .run(digit.repeat(64), `name-${digit}`, imageId, "x", "", "{}", "{}", "[]", state, "{}");
}

const NORMAL = { force: false, prune: true };
const FORCE = { force: true, prune: true };

test("an image is found by name, by id, and by a unique beginning of its id", () => {
  const one = addImage("ab", { tags: ["app", "localhost:5000/x/y:1"] });
  const two = addImage("ac");
  for (const text of [
    "app",
    "app:latest",
    "docker.io/library/app",
    "localhost:5000/x/y:1",
    one,
    one.slice(7),
    "abab",
    "sha256:aba",
  ]) {
    expect(resolveImageId(engine, text).id).toBe(one);
  }
  expect(resolveImage(engine, "acac").id).toBe(two);
  expect(resolveImage(engine, "app").reference).toBe("docker.io/library/app:latest");
  expect(resolveImage(engine, "abab").reference).toBeUndefined();
});

test("a name goes before a beginning of an id", () => {
  addImage("ab");
  const named = addImage("cd", { tags: ["abab"] });
  expect(resolveImageId(engine, "abab").id).toBe(named);
});

test.each([
  ["nosuch", "No such image: nosuch:latest"],
  ["user/app:1", "No such image: user/app:1"],
  ["a", "No such image: a:latest"],
  ["NoSuch", "invalid reference format: repository name must be lowercase"],
  [idOf("9"), `No such image: ${idOf("9")}`],
])("%p is not found: %s", (text, message) => {
  addImage("ab");
  addImage("ac");
  expect(() => resolveImageId(engine, text)).toThrow(message);
});

test("tag: a name moves from one image to another", () => {
  const one = addImage("a", { tags: ["app"] });
  const two = addImage("b", { tags: ["app"] });
  expect(tagsOf(engine, one)).toEqual([]);
  expect(tagsOf(engine, two)).toEqual(["docker.io/library/app:latest"]);
});

test("rmi: one of several names only goes itself, the last takes the image", () => {
  const id = addImage("a", { tags: ["app:1", "app:2"] });
  expect(removeImage(engine, "app:1", NORMAL)).toEqual([{ kind: "untagged", name: "app:1" }]);
  expect(removeImage(engine, "app:2", NORMAL)).toEqual([
    { kind: "untagged", name: "app:2" },
    { kind: "deleted", name: id },
  ]);
  expect(() => resolveImage(engine, id)).toThrow("No such image");
});

test("rmi: an id with several names must be forced", () => {
  const id = addImage("a", { tags: ["app:1", "app:2"] });
  const message =
    "conflict: unable to delete aaaaaaaaaaaa (must be forced) - image is referenced in multiple repositories";
  expect(() => removeImage(engine, id, NORMAL)).toThrow(message);
  expect(removeImage(engine, "aaaa", FORCE).map((removal) => removal.kind)).toEqual([
    "untagged",
    "untagged",
    "deleted",
  ]);
});

test("rmi: a stopped container keeps the last name unless forced", () => {
  const id = addImage("a", { tags: ["app"] });
  addContainer("c", id, "exited");
  expect(() => removeImage(engine, "app", NORMAL)).toThrow(
    'conflict: unable to remove repository reference "app" (must force) - container cccccccccccc is using its referenced image aaaaaaaaaaaa',
  );
  expect(() => removeImage(engine, id, NORMAL)).toThrow(
    "(must be forced) - image is being used by stopped container cccccccccccc",
  );
  expect(removeImage(engine, "app", FORCE).map((removal) => removal.kind)).toEqual(["untagged", "deleted"]);
});

test.each(["running", "paused", "restarting"])(
  "rmi: a %s container's image cannot be deleted, its name can be forced off",
  (state) => {
    const id = addImage("a", { tags: ["app"] });
    addContainer("c", id, state);
    const message =
      "conflict: unable to delete aaaaaaaaaaaa (cannot be forced) - image is being used by running container cccccccccccc";
    expect(() => removeImage(engine, id, FORCE)).toThrow(message);
    expect(removeImage(engine, "app", FORCE)).toEqual([{ kind: "untagged", name: "app:latest" }]);
    expect(resolveImage(engine, id).id).toBe(id);
  },
);

test("rmi: an image others are made from stays; the last child takes untagged parents along unless told not to", () => {
  const parent = addImage("a");
  const child = addImage("b", { tags: ["child"], parent });
  expect(() => removeImage(engine, parent, FORCE)).toThrow("(cannot be forced) - image has dependent child images");
  expect(removeImage(engine, "child", NORMAL).map((removal) => removal.name)).toEqual(["child:latest", child, parent]);
  const other = addImage("c");
  addImage("d", { tags: ["child"], parent: other });
  removeImage(engine, "child", { force: false, prune: false });
  expect(resolveImage(engine, other).id).toBe(other);
});

test("rmi: a failure changes nothing", () => {
  const id = addImage("a", { tags: ["app:1", "app:2"] });
  expect(() => removeImage(engine, id, NORMAL)).toThrow();
  expect(tagsOf(engine, id)).toEqual(["docker.io/library/app:1", "docker.io/library/app:2"]);
});

test("images: newest first, one line per name, unnamed parents only with all", () => {
  const parent = addImage("a", { age: 30 });
  addImage("b", { age: 20, tags: ["app:1", "user/app"], parent });
  addImage("c", { age: 10 });
  const names = ({ filters = [], ...options }: { all?: boolean; pattern?: string; filters?: string[] }) =>
    listImages(engine, { all: false, pattern: undefined, filter: parseImageFilters(engine, filters), ...options }).map(
      (image) => `${image.repository}:${image.tag}`,
    );
  expect(names({})).toEqual(["<none>:<none>", "app:1", "user/app:latest"]);
  expect(names({ all: true })).toEqual(["<none>:<none>", "app:1", "user/app:latest", "<none>:<none>"]);
  expect(names({ pattern: "app" })).toEqual(["app:1"]);
  expect(names({ pattern: "app:2" })).toEqual([]);
  expect(names({ pattern: "*/app" })).toEqual(["user/app:latest"]);
  expect(names({ filters: ["dangling=true"] })).toEqual(["<none>:<none>"]);
  expect(names({ filters: ["dangling=false"] })).toEqual(["app:1", "user/app:latest"]);
  expect(names({ filters: ["reference=app*"] })).toEqual(["app:1"]);
  expect(names({ filters: ["reference=app*", "reference=user/*"] })).toEqual(["app:1", "user/app:latest"]);
  expect(names({ filters: ["since=app:1"] })).toEqual(["<none>:<none>"]);
  expect(() => names({ filters: ["color=red"] })).toThrow("invalid filter 'color'");
  expect(() => names({ filters: ["dangling"] })).toThrow("bad format of filter");
});

test("images: labels must all fit", () => {
  addImage("a", { tags: ["app"], labels: { a: "1", b: "2" } });
  const count = (...filters: string[]) =>
    listImages(engine, { all: false, pattern: undefined, filter: parseImageFilters(engine, filters) }).length;
  expect(count("label=a")).toBe(1);
  expect(count("label=a=1", "label=b=2")).toBe(1);
  expect(count("label=a=1", "label=b=3")).toBe(0);
});
