/** What an engine's root directory holds, as comparable values: two stores with the same content have the same shape. */
import { Database } from "bun:sqlite";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { tree } from "./tree.ts";

/** What comes and goes with any command, and what is compared in a way of its own. */
const APART = /^(reserve|ctr\.db|netd\.db|netd\.lock|layers|placeholders|volumes|content$)/;

/**
 * One line per thing: every path outside of databases, every layer with its names and contents, every blob and every
 * volume. Names that are drawn at random or hang on the time are left out.
 */
export function storeShape(root: string): readonly string[] {
  if (!existsSync(root)) return [];
  const paths = (directory: string, without: readonly string[] = []) =>
    tree(directory, { without }).map((line) => line.split(" ")[0] ?? "");
  const files = paths(
    root,
    readdirSync(root).filter((name) => APART.test(name)),
  )
    // Made by the first pull, and kept.
    .filter((path) => path !== "downloads")
    .map((path) => path.replace(/[0-9a-f]{64}/, "ID"));
  // Without their times: a directory that no archive names is as old as its making.
  const layers = names(`${root}/layers`).map((name) => {
    const lines = tree(`${root}/layers/${name}`).map((line) => line.replace(/^(\S+ \S+ \S+) -?\d+/, "$1"));
    return `layer ${Bun.hash(lines.join("\n")).toString(16)}`;
  });
  const blobs = names(`${root}/content/blobs/sha256`).map(
    (name) => `blob of ${statSync(`${root}/content/blobs/sha256/${name}`).size}`,
  );
  const others = names(`${root}/content`).map((name) => `content ${name}`);
  const volumes = names(`${root}/volumes`).map((name) => `volume ${paths(`${root}/volumes/${name}`).join(" ")}`);
  return [...files, ...layers.sort(), ...others.sort(), ...blobs.sort(), ...volumes.sort()];
}

/** What is wrong with a store: the database itself, and rows whose files are not there or not whole. Empty is right. */
export function storeProblems(root: string): readonly string[] {
  if (!existsSync(`${root}/ctr.db`)) return [];
  using db = new Database(`${root}/ctr.db`);
  const all = <Row>(query: string) => db.query<Row, []>(query).all();
  const problems = all<{ integrity_check: string }>("PRAGMA integrity_check")
    .map((row) => row.integrity_check)
    .filter((text) => text !== "ok");
  problems.push(...all<object>("PRAGMA foreign_key_check").map((row) => JSON.stringify(row)));
  for (const { directory } of all<{ directory: string }>("SELECT directory FROM layer"))
    if (!existsSync(`${root}/layers/${directory}`)) problems.push(`layer ${directory} is not there`);
  const blobs = all<{ digest: string }>(
    "SELECT id AS digest FROM image UNION SELECT manifest FROM image UNION SELECT digest FROM image_blob",
  );
  for (const { digest } of blobs) {
    const path = `${root}/content/blobs/sha256/${digest.slice("sha256:".length)}`;
    if (!existsSync(path)) problems.push(`blob ${digest} is not there`);
    else if (`sha256:${new Bun.CryptoHasher("sha256").update(readFileSync(path)).digest("hex")}` !== digest)
      problems.push(`blob ${digest} is another`);
  }
  return problems;
}

function names(path: string): readonly string[] {
  return existsSync(path) ? readdirSync(path) : [];
}
