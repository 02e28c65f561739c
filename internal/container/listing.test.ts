import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { type Engine, openEngine, openEngineToRead } from "../db/engine.ts";
import { processStartTime } from "../sys/process.ts";
import { listContainersShown } from "./listing.ts";
import { type ContainerConfig, type HostConfig, NEVER_RAN } from "./record.ts";
import { insertContainer, listContainers, move, type NewContainer, patchRuntime } from "./store.ts";

let home = "";
let engine: Engine;
beforeEach(() => {
  home = mkdtempSync(`${tmpdir()}/ctr-listing-`);
  engine = openEngine({ root: `${home}/root`, state: `${home}/state` });
});
afterEach(() => rmSync(home, { recursive: true }));

const me = { pid: process.pid, startTime: processStartTime(process.pid) ?? 0 };
const config = { Hostname: "h", Cmd: ["sleep", "a b"], Entrypoint: null } as unknown as ContainerConfig;

function container(name: string, more: Partial<NewContainer> = {}): NewContainer {
  return {
    name,
    imageId: "sha256:00",
    image: "alpine",
    createdAt: "2026-11-21T12:00:00.000000000Z",
    config,
    hostConfig: { NetworkMode: "bridge" } as HostConfig,
    layers: ["sha256:11"],
    runtime: NEVER_RAN,
    ...more,
  };
}

test("a list shows of each container what its record says, newest first", () => {
  const exposed = { "80/tcp": {}, "53/udp": {} };
  const old = insertContainer(engine, container("old"));
  const web = insertContainer(
    engine,
    container("web", {
      createdAt: "2026-11-21T12:00:01.000000000Z",
      config: { ...config, Entrypoint: ["/entry"], ExposedPorts: exposed },
    }),
  );
  const ports = [{ containerPort: 80, protocol: "tcp", hostIp: "0.0.0.0", hostPort: 8080 }] as const;
  const endpoint = { network: "bridge", endpointId: "e", macAddress: "m", address: "a", gateway: "g", ports };
  const health = { Status: "unhealthy", FailingStreak: 3, Log: [] } as const;
  const startedAt = "2026-11-21T12:05:00.123456789Z";
  move(engine, web.id, "running", { keeper: me, pid: 5, startedAt, endpoint, health });
  move(engine, old.id, "running", { keeper: me });
  move(engine, old.id, "exited", { exitCode: 137, finishedAt: startedAt });

  const shared = { imageId: "sha256:00", image: "alpine" };
  const running = {
    ...shared,
    id: web.id,
    name: "web",
    createdAt: web.createdAt,
    state: "running" as const,
    config: { Entrypoint: ["/entry"], Cmd: ["sleep", "a b"], ExposedPorts: exposed },
    runtime: { exitCode: 0, startedAt, health: { Status: "unhealthy" as const }, endpoint: { ports } },
  };
  const exited = {
    ...shared,
    id: old.id,
    name: "old",
    createdAt: old.createdAt,
    state: "exited" as const,
    config: { Entrypoint: null, Cmd: ["sleep", "a b"] },
    runtime: { exitCode: 137, finishedAt: startedAt },
  };
  expect(listContainersShown(engine, false)).toEqual([running]);
  expect(listContainersShown(engine, true)).toEqual([running, exited]);
  expect(listContainers(engine).map(({ id }) => id)).toEqual([web.id, old.id]);
});

test("a row whose keeper is dead is not shown as it stands, live or not", () => {
  const { id } = insertContainer(engine, container("web"));
  patchRuntime(engine, id, { keeper: { pid: me.pid, startTime: 1 } });
  expect(listContainersShown(engine, false)).toBeUndefined();
  patchRuntime(engine, id, { keeper: me });
  expect(listContainersShown(engine, false)).toEqual([]);
  move(engine, id, "running", { keeper: { pid: 4_194_304, startTime: 1 } });
  expect(listContainersShown(engine, false)).toBeUndefined();
});

test("a list reads no record", () => {
  interface Step {
    readonly opcode: string;
    readonly p1: number;
  }
  const steps = engine.db
    .query<Step, []>(
      `EXPLAIN SELECT id, name, image_id, image, created_at, state, shown
         FROM container INDEXED BY container_listing ORDER BY created_at DESC, id`,
    )
    .all();
  // Every column comes from the index, the one that is walked through, and none is made anew.
  const walked = steps.find(({ opcode }) => opcode === "Rewind")?.p1;
  expect(steps.filter(({ opcode, p1 }) => opcode === "Column" && p1 !== walked)).toEqual([]);
  expect(steps.some(({ opcode }) => opcode.includes("Function") || opcode.startsWith("Sorter"))).toBe(false);
});

test("a store to read from is there and of this version, or none", () => {
  const options = { root: engine.root, state: engine.state };
  expect(openEngineToRead(options)?.root).toBe(engine.root);
  expect(openEngineToRead({ ...options, root: `${home}/none` })).toBeUndefined();
  const db = new Database(`${engine.root}/ctr.db`);
  const version = db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
  db.run(`PRAGMA user_version = ${version - 1}`);
  expect(openEngineToRead(options)).toBeUndefined();
  db.run(`PRAGMA user_version = ${version + 1}`);
  expect(() => openEngineToRead(options)).toThrow("was written by a newer ctr");
});
