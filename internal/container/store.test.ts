import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { transaction } from "../db/database.ts";
import { type Engine, openEngine } from "../db/engine.ts";
import { processStartTime } from "../sys/process.ts";
import { type ContainerConfig, type HostConfig, NEVER_RAN } from "./record.ts";
import {
  claim,
  containerById,
  findContainer,
  forget,
  insertContainer,
  keptContainers,
  listContainers,
  move,
  type NewContainer,
  patchRuntime,
} from "./store.ts";

let directory = "";
let engine: Engine;

beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/ctr-store-`);
  engine = openEngine({ root: `${directory}/root`, state: `${directory}/state` });
});

afterEach(() => {
  engine[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

const container = (more: Partial<NewContainer> = {}): NewContainer => ({
  imageId: "sha256:00",
  image: "alpine",
  createdAt: "2026-11-21T12:00:00.000000000Z",
  config: { Hostname: "h" } as ContainerConfig,
  hostConfig: { NetworkMode: "bridge" } as HostConfig,
  layers: ["sha256:11"],
  runtime: NEVER_RAN,
  ...more,
});

const me = { pid: process.pid, startTime: processStartTime(process.pid) ?? 0 };
const dead = { pid: process.pid, startTime: 1 };

test("store: what was written is read back", () => {
  const record = insertContainer(engine, container({ name: "/web" }));
  expect(record.name).toBe("web");
  expect(record.state).toBe("created");
  expect(containerById(engine, record.id)).toEqual(record);
  expect(listContainers(engine)).toEqual([record]);
});

test("store: a taken name is refused in Docker's words, with nothing written", () => {
  const { id } = insertContainer(engine, container({ name: "web" }));
  expect(() => insertContainer(engine, container({ name: "web" }))).toThrow(
    `Conflict. The container name "/web" is already in use by container "${id}". ` +
      "You have to remove (or rename) that container to be able to reuse that name.",
  );
  expect(listContainers(engine)).toHaveLength(1);
});

test("store: without a name one is made up", () => {
  expect(insertContainer(engine, container()).name).toMatch(/^[a-z]+_[a-z]+$/);
});

test("store: inside a failing transaction the row is undone with it", () => {
  expect(() =>
    transaction(engine.db, () => {
      insertContainer(engine, container({ name: "web" }));
      throw new Error("disk full");
    }),
  ).toThrow("disk full");
  expect(listContainers(engine)).toEqual([]);
});

test("store: found by id, name, slashed name and unique beginning, in that order", () => {
  const a = insertContainer(engine, container({ id: `ab1${"0".repeat(61)}`, name: "web" }));
  const b = insertContainer(engine, container({ id: `ab2${"0".repeat(61)}`, name: "ab1" }));
  expect(findContainer(engine, a.id).id).toBe(a.id);
  expect(findContainer(engine, "web").id).toBe(a.id);
  expect(findContainer(engine, "/web").id).toBe(a.id);
  expect(findContainer(engine, "ab1").id).toBe(b.id);
  expect(findContainer(engine, "ab10").id).toBe(a.id);
  expect(() => findContainer(engine, "ab")).toThrow("multiple IDs found with provided prefix: ab");
  expect(() => findContainer(engine, "nosuch")).toThrow("No such container: nosuch");
  expect(() => findContainer(engine, "AB10")).toThrow("No such container: AB10");
});

test("store: a move keeps to the table, records the patch and drops the keeper at rest", () => {
  const { id } = insertContainer(engine, container({ name: "web" }));
  claim(engine, id, me);
  const running = move(engine, id, "running", { pid: 42, pidStartTime: 7 });
  expect(running.runtime).toMatchObject({ pid: 42, supervisorPid: me.pid, supervisorStartTime: me.startTime });
  const exited = move(engine, id, "exited", { pid: 0, exitCode: 3 });
  expect(exited.runtime).toMatchObject({ pid: 0, exitCode: 3, supervisorPid: 0, supervisorStartTime: 0 });
  expect(containerById(engine, id)).toEqual(exited);
  expect(() => move(engine, id, "paused")).toThrow("container web is exited: it cannot become paused");
  expect(containerById(engine, id)?.state).toBe("exited");
});

test("store: a condition that is not met leaves the row alone", () => {
  const { id } = insertContainer(engine, container());
  expect(move(engine, id, "running", { pid: 1 }, () => false)).toBeUndefined();
  expect(containerById(engine, id)?.state).toBe("created");
});

test("store: an endpoint can be recorded and taken back", () => {
  const { id } = insertContainer(engine, container());
  const endpoint = { network: "bridge", endpointId: "e", macAddress: "", address: "", gateway: "", ports: [] };
  expect(patchRuntime(engine, id, { endpoint }).runtime.endpoint).toEqual(endpoint);
  expect(patchRuntime(engine, id, { exitCode: 1 }).runtime.endpoint).toEqual(endpoint);
  expect(patchRuntime(engine, id, { endpoint: undefined }).runtime.endpoint).toBeUndefined();
});

test("store: a claim holds while its keeper lives, and no longer", () => {
  const { id } = insertContainer(engine, container({ name: "web" }));
  claim(engine, id, dead);
  claim(engine, id, me);
  claim(engine, id, me);
  const other = { pid: process.ppid, startTime: processStartTime(process.ppid) ?? 0 };
  expect(() => claim(engine, id, other)).toThrow("container web is being started by another command");
  move(engine, id, "running");
  expect(() => claim(engine, id, me)).toThrow("container web is running: it cannot be started");
});

test("store: only rows with a keeper are listed for the collector", () => {
  const record = insertContainer(engine, container());
  const { id } = record;
  insertContainer(engine, container());
  expect(keptContainers(engine)).toEqual([]);
  claim(engine, id, dead);
  expect(keptContainers(engine)).toEqual([{ id, keeper: dead }]);
  forget(engine, record);
  expect(keptContainers(engine)).toEqual([]);
  forget(engine, record);
});

test("store: the collector's question is answered by its index", () => {
  const plan = engine.db
    .query<{ detail: string }, []>(
      "EXPLAIN QUERY PLAN SELECT id FROM container WHERE json_extract(runtime, '$.supervisorPid') > 0",
    )
    .all();
  expect(plan.map((row) => row.detail).join(" ")).toContain("container_kept");
});
