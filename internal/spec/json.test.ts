import { expect, test } from "bun:test";
import { parseJson, stringifyJson } from "./json.ts";

test.each([
  ['{"value":18446744073709551615}', { value: 2n ** 64n - 1n }],
  ['{"value":9007199254740993,"valueTwo":9007199254740995}', { value: 9007199254740993n, valueTwo: 9007199254740995n }],
  ['{"value":9007199254740991}', { value: 9007199254740991 }],
  ['{"value":1.5e300,"soft":18446744073709551615}', { value: 1.5e300, soft: 2 ** 64 }],
  ['{"value":"18446744073709551615"}', { value: "18446744073709551615" }],
])("%s keeps its bits", (text, value) => {
  expect(parseJson(text)).toEqual(value);
});

test("what was read is written as it was", () => {
  const text = '{"args":[{"index":0,"value":18446744073709551614,"op":"SCMP_CMP_EQ"}]}';
  expect(stringifyJson(parseJson(text))).toBe(text);
});
