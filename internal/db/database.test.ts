import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { openDatabase, openDatabaseToRead, shortenLog, transaction } from "./database.ts";

const MIGRATIONS = ["CREATE TABLE thing (text TEXT NOT NULL) STRICT"];

test("a log that one transaction has made long is emptied, unless somebody reads", () => {
  const directory = mkdtempSync("/tmp/ctr-db-");
  const path = `${directory}/test.db`;
  const logSize = () => statSync(`${path}-wal`).size;
  const db = openDatabase(path, MIGRATIONS);
  const reader = openDatabaseToRead(path, MIGRATIONS);
  try {
    transaction(db, () => db.run("INSERT INTO thing VALUES ('first')"));
    // A reader who still sees what was before.
    reader?.run("BEGIN");
    expect(reader?.query("SELECT count(*) AS count FROM thing").get()).toEqual({ count: 1 });
    transaction(db, () => db.query("INSERT INTO thing VALUES (?)").run("x".repeat(2 * 1024 * 1024)));
    expect(logSize()).toBeGreaterThan(2 * 1024 * 1024);
    const started = performance.now();
    shortenLog(db);
    expect(logSize()).toBeGreaterThan(0);
    expect(performance.now() - started).toBeLessThan(5000); // a writer would be waited for longer
    expect(reader?.query("SELECT count(*) AS count FROM thing").get()).toEqual({ count: 1 });
    reader?.run("COMMIT");
    shortenLog(db);
    expect(logSize()).toBe(0);
    expect(reader?.query("SELECT count(*) AS count FROM thing").get()).toEqual({ count: 2 });
    transaction(db, () => db.run("INSERT INTO thing VALUES ('short')"));
    const small = logSize();
    shortenLog(db);
    expect(logSize()).toBe(small);
    // Waiting for others is as it was.
    expect(db.query("PRAGMA busy_timeout").get()).toEqual({ timeout: 10_000 });
  } finally {
    reader?.close();
    db.close();
    rmSync(directory, { recursive: true });
  }
});
