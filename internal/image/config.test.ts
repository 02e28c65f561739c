import { expect, test } from "bun:test";
import { parseImageConfig } from "./config.ts";

const diffId = `sha256:${"0".repeat(64)}`;

test("a full configuration keeps what is known and drops the rest", () => {
  const text = JSON.stringify({
    created: "2026-01-01T00:00:00Z",
    architecture: "amd64",
    os: "linux",
    docker_version: "x",
    config: {
      Env: ["A=b"],
      Cmd: null,
      Entrypoint: [],
      User: "",
      ExposedPorts: { "80/tcp": { x: 1 } },
      Labels: { a: "b" },
      Unknown: 1,
    },
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created_by: "x", empty_layer: true }],
  });
  expect(parseImageConfig(text)).toEqual({
    created: "2026-01-01T00:00:00Z",
    architecture: "amd64",
    os: "linux",
    config: { Env: ["A=b"], Entrypoint: [], ExposedPorts: { "80/tcp": {} }, Labels: { a: "b" } },
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created_by: "x", empty_layer: true }],
  });
});

test("a command may be one word, not in a list", () => {
  const { config } = parseImageConfig('{"config":{"Cmd":"sh","Entrypoint":"/bin/tini","Shell":"bash"}}');
  expect(config).toEqual({ Cmd: ["sh"], Entrypoint: ["/bin/tini"], Shell: ["bash"] });
});

test("a label may be null, or be named as nothing else is", () => {
  const { config } = parseImageConfig('{"config":{"Labels":{"a":null,"__proto__":"b"}}}');
  expect(Object.entries(config.Labels ?? {})).toEqual([
    ["a", ""],
    ["__proto__", "b"],
  ]);
});

test.each(["0001-01-01T00:00:00Z", "2021-01-02T03:04:05.123456789+05:30"])("a moment may be %s", (created) =>
  expect(parseImageConfig(JSON.stringify({ created })).created).toBe(created),
);

test("an empty object is an image without anything", () => {
  const empty = { architecture: "", os: "", config: {}, rootfs: { type: "layers", diff_ids: [] }, history: [] };
  expect(parseImageConfig("{}") as unknown).toEqual(empty);
});

test.each([
  ["not json", "image config is not JSON"],
  ["[]", "image config is not what it should be"],
  ["null", "image config is not what it should be"],
  ['{"config":{"Env":"A"}}', "Env is not what it should be"],
  ['{"config":{"Env":[1]}}', "Env is not what it should be"],
  ['{"config":{"Labels":{"a":1}}}', "Labels is not what it should be"],
  ['{"config":{"Volumes":[]}}', "Volumes is not what it should be"],
  ['{"rootfs":{"diff_ids":["../../etc/passwd"]}}', "rootfs.diff_ids is not what it should be"],
  ['{"history":{}}', "history is not what it should be"],
  ['{"created":"yesterday"}', "created is not what it should be"],
  ['{"created":"+275760-09-14T00:00:00Z"}', "created is not what it should be"],
  ['{"created":"2026-13-01T00:00:00Z"}', "created is not what it should be"],
  ['{"created":"2026-01-01T00:00:00Z\\u0000"}', "created is not what it should be"],
  ['{"history":[{"created":"2026-01-01"}]}', "history.created is not what it should be"],
])("%s is refused", (text, message) => expect(() => parseImageConfig(text)).toThrow(message));
