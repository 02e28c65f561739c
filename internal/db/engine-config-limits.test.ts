import { expect, test } from "bun:test";
import { DEFAULT_LIMITS } from "../spec/layer-entry.ts";
import { parseEngineConfig } from "./engine-config.ts";

const parse = (text: string) => parseEngineConfig(text, "engine.toml").layerLimits;

test("limits: what the file does not set is as usual", () => {
  expect(parse('log-driver = "json-file"')).toBeUndefined();
  expect(parse("[layer-limits]\nentries = 7\nheader-bytes = 512")).toEqual({
    ...DEFAULT_LIMITS,
    entries: 7,
    paxBytes: 512,
  });
});

test("limits: how many layers are pulled and pushed at a time", () => {
  const text = "max-concurrent-downloads = 1\nmax-concurrent-uploads = 9";
  expect(parseEngineConfig(text, "engine.toml")).toEqual({ maxDownloads: 1, maxUploads: 9 });
});

test.each([
  ["max-concurrent-downloads = 0", "engine.toml: max-concurrent-downloads is no number from 1"],
  ['max-concurrent-uploads = "5"', "engine.toml: max-concurrent-uploads is no number from 1"],
  ["layer-limits = 3", "engine.toml: layer-limits is not a table"],
  ["[layer-limits]\nbombs = 3", "engine.toml: layer-limits.bombs is no limit of layers"],
  ["[layer-limits]\nentries = 0", "layer-limits.entries is no number from 1 to 9007199254740991"],
  ["[layer-limits]\npath-bytes = 5000", "layer-limits.path-bytes is no number from 1 to 4096"],
  ['[layer-limits]\nxattrs = "many"', "layer-limits.xattrs is no number from 1 to 65536"],
])("limits: %p is refused with the key", (text, message) => expect(() => parse(text)).toThrow(message));
