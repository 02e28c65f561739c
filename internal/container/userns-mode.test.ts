import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { CtrError } from "../errors/error.ts";
import { firstFree } from "./id-ranges.ts";
import { subordinateRanges } from "./subordinate-ids.ts";
import { type UserNamespaceRequest, userNamespaceRequest } from "./userns-mode.ts";

const home = mkdtempSync("/tmp/ctr-userns-");
afterAll(() => rmSync(home, { recursive: true, force: true }));

function variables(
  subuid: string,
  more: { readonly [name: string]: string } = {},
): { readonly [name: string]: string } {
  const ids = `${home}/ids`;
  const config = `${home}/engine.toml`;
  writeFileSync(ids, subuid);
  writeFileSync(config, more["config"] ?? "");
  return { ...more, CTR_SUBUID: ids, CTR_SUBGID: ids, CTR_CONFIG: config };
}

const uids = (request: UserNamespaceRequest) =>
  request.kind === "maps" ? request.maps.uids.map((run) => [run.containerID, run.hostID, run.size]) : request.kind;

describe("subordinate ids", () => {
  test("an owner's ranges in order, by name and by number; others' nonsense is theirs", () => {
    const text = "# a:1:1\na:100:10\n b:x\n7:300:5\na:200:20\n\nab:1:1\n";
    expect(subordinateRanges(text, { name: "a", id: 7 }, "f")).toEqual([
      { start: 100, size: 10 },
      { start: 300, size: 5 },
      { start: 200, size: 20 },
    ]);
    expect(subordinateRanges(text, { name: "nobody" }, "f")).toEqual([]);
  });

  test.each(["a:1", "a:1:0", "a:1:2:3", "a:-1:5", "a::5", "a:4294967290:10", "a:1e3:5", "a:99999999999:1"])(
    "%p is refused, with its line",
    (line) => {
      expect(() => subordinateRanges(`b:1:1\n${line}`, { name: "a" }, "/f")).toThrow(
        "/f: line 2 is no name:first:count",
      );
    },
  );

  test("random text never gives a range beyond the ids there are", () => {
    const seed = Number(process.env["CTR_SEED"] ?? Date.now() % 1e9);
    let state = seed;
    const next = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    const pieces = ["a", ":", "\n", "0", "1", "42", "4294967295", " ", "-", "#", "9".repeat(30), "\0", "é"];
    for (let round = 0; round < 3000; round++) {
      const text = Array.from({ length: next(20) }, () => pieces[next(pieces.length)]).join("");
      try {
        for (const { start, size } of subordinateRanges(text, { name: "a" }, "f")) {
          if (!(start >= 0 && size >= 1 && start + size < 2 ** 32)) throw new Error(`seed ${seed}: ${text}`);
        }
      } catch (error) {
        if (!(error instanceof CtrError)) throw error;
      }
    }
  });
});

describe("--userns", () => {
  test("several ranges follow each other; what nobody said is the host's, or the configuration's", () => {
    const env = variables("ctr:1000:10\nctr:5000:20\n");
    expect(uids(userNamespaceRequest("remap", env))).toEqual([
      [0, 1000, 10],
      [10, 5000, 20],
    ]);
    expect(userNamespaceRequest(undefined, env)).toEqual({ kind: "host", mode: "" });
    expect(userNamespaceRequest("host", env)).toEqual({ kind: "host", mode: "host" });
    const configured = variables("dockremap:7:9\n", { config: 'userns-remap = "default"' });
    expect(userNamespaceRequest(undefined, configured)).toMatchObject({ kind: "maps", mode: "", isDefault: true });
    expect(uids(userNamespaceRequest("", configured))).toEqual([[0, 7, 9]]);
    expect(userNamespaceRequest("host", configured)).toEqual({ kind: "host", mode: "host" });
  });

  test("keep-id puts the caller's own id in its place, whatever ranges are around it", () => {
    const env = variables("eve:1000:4\neve:2000:4\n", { SUDO_UID: "6", SUDO_GID: "2", SUDO_USER: "eve" });
    const request = userNamespaceRequest("keep-id", env);
    expect(uids(request)).toEqual([
      [0, 1000, 4],
      [4, 2000, 2],
      [6, 6, 1],
      [7, 2002, 2],
    ]);
    expect(request).toMatchObject({ user: "6:2" });
    expect(uids(userNamespaceRequest("keep-id:uid=0,gid=0", env))).toEqual([
      [0, 6, 1],
      [1, 1000, 4],
      [5, 2000, 4],
    ]);
    expect(uids(userNamespaceRequest("keep-id:uid=50", env))).toEqual([
      [0, 1000, 4],
      [4, 2000, 4],
      [50, 6, 1],
    ]);
    expect(uids(userNamespaceRequest("keep-id:uid=1,size=3", env))).toEqual([
      [0, 1000, 1],
      [1, 6, 1],
      [2, 1001, 1],
    ]);
  });

  test("auto takes from the owner of its pool", () => {
    expect(userNamespaceRequest("auto:size=5", variables("containers:100:50\n"))).toEqual({
      kind: "auto",
      mode: "auto:size=5",
      size: 5,
      pool: { uids: [{ start: 100, size: 50 }], gids: [{ start: 100, size: 50 }], owner: "containers" },
    });
  });
});

describe("the first free ids", () => {
  const ranges = [
    { start: 100, size: 50 },
    { start: 1000, size: 100 },
  ];
  test.each([
    ["nothing is taken", [], 50, 100],
    ["too many for the first range", [], 51, 1000],
    ["behind what is taken", [{ start: 90, size: 20 }], 40, 110],
    [
      "between two",
      [
        { start: 100, size: 10 },
        { start: 130, size: 5 },
      ],
      20,
      110,
    ],
    [
      "not between two",
      [
        { start: 100, size: 10 },
        { start: 130, size: 5 },
      ],
      21,
      1000,
    ],
    [
      "overlapping ones",
      [
        { start: 100, size: 30 },
        { start: 110, size: 5 },
      ],
      20,
      130,
    ],
    ["none", [{ start: 0, size: 5000 }], 1, undefined],
  ] as const)("%s", (_, taken, size, expected) => {
    expect(firstFree(ranges, taken, size)).toBe(expected as number);
  });
});
