import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { type Engine, openEngine } from "../db/engine.ts";
import { parseFilters } from "./filter.ts";
import { type ContainerConfig, type ContainerRecord, type HostConfig, NEVER_RAN } from "./record.ts";
import { insertContainer } from "./store.ts";

let directory = "";
let engine: Engine;
const IMAGE = `sha256:${"a".repeat(64)}`;
const CHILD = `sha256:${"b".repeat(64)}`;
const containers: ContainerRecord[] = [];

beforeAll(() => {
  directory = mkdtempSync(`${tmpdir()}/ctr-filter-`);
  engine = openEngine({ root: `${directory}/root`, state: `${directory}/state` });
  const insert = engine.db.query(
    `INSERT INTO image (id, manifest, manifest_type, manifest_size, config, size, created_at, parent)
     VALUES (?, 'sha256:00', 'x', 1, '{}', 1, 1, ?)`,
  );
  insert.run(IMAGE, null);
  insert.run(CHILD, IMAGE);
  engine.db.run("INSERT INTO tag VALUES ('docker.io/library/base:latest', ?, 1)", [IMAGE]);
  const make = (
    name: string,
    second: number,
    imageId: string,
    labels: { [name: string]: string },
    more: Partial<ContainerRecord> = {},
  ) => {
    const record = insertContainer(engine, {
      name,
      imageId,
      image: "base",
      createdAt: `2026-11-21T12:00:0${second}.000000000Z`,
      config: { Labels: labels, ExposedPorts: name === "web" ? { "80/tcp": {} } : {} } as unknown as ContainerConfig,
      hostConfig: { NetworkMode: name === "web" ? "default" : "none" } as HostConfig,
      layers: [],
      runtime: NEVER_RAN,
    });
    containers.push({ ...record, ...more });
  };
  make(
    "web",
    1,
    IMAGE,
    { tier: "front", app: "shop" },
    {
      state: "running",
      runtime: {
        ...NEVER_RAN,
        mounts: [
          { Type: "volume", Name: "vol", Source: "/s", Destination: "/data", Mode: "", RW: true, Propagation: "" },
        ],
        endpoint: {
          network: "bridge",
          endpointId: "",
          macAddress: "",
          address: "",
          gateway: "",
          ports: [{ containerPort: 80, protocol: "tcp", hostIp: "0.0.0.0", hostPort: 8080 }],
        },
      },
    },
  );
  make("db", 2, CHILD, { tier: "back" }, { state: "exited", runtime: { ...NEVER_RAN, exitCode: 3 } });
  make("webby", 3, CHILD, {});
});

afterAll(() => {
  engine[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

describe("filters", () => {
  test.each<[string[], string[]]>([
    [[], ["web", "db", "webby"]],
    [["name=web"], ["web", "webby"]],
    [["name=^/web$"], ["web"]],
    [["name=(unclosed"], []],
    [
      ["name=db", "name=web$"],
      ["web", "db"],
    ],
    [["label=tier"], ["web", "db"]],
    [["label=tier=back"], ["db"]],
    [["label=tier", "label=app=shop"], ["web"]],
    [["label=constructor"], []],
    [["status=exited"], ["db"]],
    [
      ["status=exited", "status=created"],
      ["db", "webby"],
    ],
    [["exited=3"], ["db"]],
    [["exited=0"], []],
    [["before=db"], ["web"]],
    [["since=web"], ["db", "webby"]],
    [["ancestor=base"], ["web", "db", "webby"]],
    [[`ancestor=${CHILD.slice(7, 19)}`], ["db", "webby"]],
    [["ancestor=nosuch"], []],
    [["network=bridge"], ["web"]],
    [["network=none"], ["db", "webby"]],
    [["volume=vol"], ["web"]],
    [["volume=/data"], ["web"]],
    [["publish=8080"], ["web"]],
    [["publish=8000-9000/tcp"], ["web"]],
    [["publish=8080/udp"], []],
    [["expose=80"], ["web"]],
    [["health=none", "name=db"], ["db"]],
    [["health=healthy"], []],
    [["name=web", "status=created"], ["webby"]],
  ])("%j", (texts, names) => {
    const { accepts } = parseFilters(engine, texts);
    expect(containers.filter(accepts).map(({ name }) => name)).toEqual(names);
  });

  test.each([
    ["name", "bad format of filter"],
    ["bogus=1", "invalid filter 'bogus'"],
    ["constructor=1", "invalid filter 'constructor'"],
    ["status=foo", "invalid filter 'status=foo'"],
    ["exited=x", "invalid filter 'exited=x'"],
    ["health=x", "invalid filter 'health=x'"],
    ["publish=x", "invalid filter 'publish=x'"],
    ["before=nosuch", "No such container: nosuch"],
  ])("%s is refused", (text, message) => {
    expect(() => parseFilters(engine, [text])).toThrow(message);
  });

  test("only a filter by state asks for all containers", () => {
    expect(parseFilters(engine, ["status=exited"]).asksForState).toBe(true);
    expect(parseFilters(engine, ["exited=0"]).asksForState).toBe(false);
  });
});
