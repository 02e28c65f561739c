import { expect, test } from "bun:test";
import { safeJson } from "./safe.ts";

test("JSON keeps its meaning and loses what steers a terminal", () => {
  const value = { label: "a\x1b[31m\x9b31m\u202egnp\u2066\x7f\n" };
  const text = safeJson(value, 4);
  expect(JSON.parse(text)).toEqual(value);
  expect(text).toBe('{\n    "label": "a\\u001b[31m\\u009b31m\\u202egnp\\u2066\\u007f\\n"\n}');
});
