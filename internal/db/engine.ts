/** The engine's store: its directories and its metadata database. */
import type { Database } from "bun:sqlite";
import { mkdirAll } from "../sys/file.ts";
import { openDatabase, openDatabaseToRead } from "./database.ts";
import { MIGRATIONS } from "./schema.ts";

/**
 * An open store. `root` survives a reboot, `state` does not.
 *
 * Disposing ends the use, but leaves the connection to the end of the process: whoever closes a WAL database last
 * writes everything back, syncs it and deletes the log (3 ms here), and the next command makes a new one. Left alone,
 * the log is written back every `WAL_PAGES` pages.
 */
export interface Engine extends Disposable {
  readonly root: string;
  readonly state: string;
  readonly db: Database;
  /** The storage driver that the command line asks for, unchecked. */
  readonly storageDriver?: string | undefined;
  /** The file of the engine's configuration, if not the usual one. */
  readonly config?: string | undefined;
}

/** Where an engine is, and what was said about it on the command line. */
export type EngineOptions = Pick<Engine, "root" | "state" | "storageDriver" | "config">;

/** Opens the store, making its directories (root 0710, state 0711, as Docker has them) and its schema when missing. */
export function openEngine(options: EngineOptions): Engine {
  const { root, state } = options;
  mkdirAll(root, 0o710);
  mkdirAll(state, 0o711);
  const db = openDatabase(`${root}/ctr.db`, MIGRATIONS);
  return { ...options, db, [Symbol.dispose]: () => {} };
}

/**
 * As `openEngine`, for a command that only reads: nothing is made and nothing is set up for changes. Undefined for a store
 * that is not there yet, or that an older ctr has left.
 */
export function openEngineToRead(options: EngineOptions): Engine | undefined {
  const db = openDatabaseToRead(`${options.root}/ctr.db`, MIGRATIONS);
  return db === undefined ? undefined : { ...options, db, [Symbol.dispose]: () => {} };
}
