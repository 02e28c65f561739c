import { expect, test } from "bun:test";
import { nearest } from "./nearest.ts";

const NAMES = ["images", "image", "import", "inspect", "info", "ps", "rm", "rmi", "run", "rename", "stop", "stats"];

test.each<readonly [string, readonly string[]]>([
  ["imagse", ["image", "images"]],
  ["iamges", ["images", "image"]],
  ["isnpect", ["inspect"]],
  ["rnu", ["run"]],
  ["stpo", ["stop"]],
  ["ins", ["inspect"]],
  ["IMAGES", ["images", "image"]],
  ["nosuch", []],
  ["x", []],
  ["pz", ["ps"]],
  ["constructor", []],
])("%s is near %p", (word, expected) => {
  expect(nearest(word, NAMES)).toEqual(expected);
});
