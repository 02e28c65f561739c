/**
 * SQLite through bun:sqlite: WAL, one transaction per change. `synchronous=NORMAL` keeps the database consistent
 * after any crash and loses nothing to a killed process; see docs/decisions/0003-durability.md for power loss.
 */
import { Database, SQLiteError } from "bun:sqlite";
import { CtrError, ENOSPC, SyscallError } from "../errors/error.ts";
import { O_CREAT, O_NOFOLLOW, O_RDWR, open } from "../sys/fd.ts";
import { withReserve } from "./reserve.ts";

/** Pages of 4 KiB: few, because the first command after a quiet time reads what is in the log. */
const WAL_PAGES = 128;
const PAGE_BYTES = 4096;
/** How long a writer waits for another one. */
const BUSY_MS = 10_000;

/** A database with its schema brought up to date. Migration N is run once, in order; never edit one that has shipped. */
export function openDatabase(path: string, migrations: readonly string[]): Database {
  const db = openOrMake(path);
  const version = versionOf(db, path, migrations);
  if (version < migrations.length) migrate(db, migrations);
  db.run(
    `PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = ${WAL_PAGES}`,
  );
  return db;
}

/** As `openDatabase`, only to read from. Undefined for one that is not there, or whose schema is older. */
export function openDatabaseToRead(path: string, migrations: readonly string[]): Database | undefined {
  let db: Database;
  try {
    db = new Database(path, EXISTING);
  } catch {
    // Whatever is wrong with it, `openDatabase` says.
    return undefined;
  }
  if (versionOf(db, path, migrations) === migrations.length) return db;
  db.close();
  return undefined;
}

/** The number of migrations that a database has seen. Throws `unsupported` for more than there are. */
function versionOf(db: Database, path: string, migrations: readonly string[]): number {
  // busy_timeout first: everything after it may meet another process.
  db.run(`PRAGMA busy_timeout = ${BUSY_MS}`);
  const version = db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
  if (version <= migrations.length) return version;
  db.close();
  throw new CtrError(
    "unsupported",
    `${path} was written by a newer ctr (schema ${version}, this one knows ${migrations.length})`,
  );
}

const EXISTING = { create: false, readwrite: true, strict: true };

/** What SQLite makes itself (the log, its index) has the mode of the database: the caller's umask plays no part. */
function openOrMake(path: string): Database {
  try {
    return new Database(path, EXISTING);
  } catch {
    // Most often it is not there. Whatever else it is, the second attempt says.
    open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600).close();
    return new Database(path, EXISTING);
  }
}

function migrate(db: Database, migrations: readonly string[]): void {
  db.run("PRAGMA journal_mode = WAL");
  db.transaction(() => {
    // Read again inside the transaction: another process may have migrated meanwhile.
    const version = db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
    for (const migration of migrations.slice(version)) db.run(migration);
    db.run(`PRAGMA user_version = ${migrations.length}`);
  }).immediate();
}

/**
 * Runs `change` in one immediate transaction: all of it or nothing, and no reader sees a half. Throws ENOSPC (for the
 * database's file) when the disk is full.
 */
export function transaction<T>(db: Database, change: () => T): T {
  try {
    return db.transaction(change).immediate();
  } catch (error) {
    throw told(error, db.filename);
  }
}

/**
 * As `endingTransaction`, and on the disk when it returns, so that files may be removed that only the old rows named. Not to be
 * called inside another one.
 */
export function durableTransaction<T>(db: Database, change: () => T): T {
  db.run("PRAGMA synchronous = FULL");
  try {
    return endingTransaction(db, change);
  } finally {
    db.run("PRAGMA synchronous = NORMAL");
  }
}

/**
 * Empties a log that one large transaction has made long. Its pages are in the database by then, but until somebody writes
 * again every command after a quiet time would read them all (2 ms for 700). To be called outside of transactions.
 */
export function shortenLog(db: Database): void {
  if (Bun.file(`${db.filename}-wal`).size <= 2 * WAL_PAGES * PAGE_BYTES) return;
  // Whoever reads now keeps the log, and is not waited for.
  db.run("PRAGMA busy_timeout = 0");
  db.run("PRAGMA wal_checkpoint(TRUNCATE)");
  db.run(`PRAGMA busy_timeout = ${BUSY_MS}`);
}

/**
 * As `transaction`, for what ends or removes something: it may use the reserve when the disk is full, because only that
 * makes room. Inside another transaction it is part of that one.
 */
export function endingTransaction<T>(db: Database, change: () => T): T {
  if (db.inTransaction) return change();
  return withReserve(rootOf(db), () => transaction(db, change));
}

function rootOf(db: Database): string {
  return db.filename.slice(0, db.filename.lastIndexOf("/"));
}

/** SQLite's names for a disk that is full: when it writes, and when it makes room in the log's index. */
const FULL = ["SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"];

/** SQLite's error as the kernel would have said it, where that is known. */
function told(error: unknown, path: string): unknown {
  if (!(error instanceof SQLiteError) || !FULL.includes(error.code ?? "")) return error;
  return new SyscallError("write", ENOSPC, path);
}
