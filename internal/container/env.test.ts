import { expect, test } from "bun:test";
import { fromCaller, mergeEnv, overlayEnv, parseEnv, parseKeyValueFile } from "./env.ts";

const caller = { HOME: "/root", EMPTY: "" };
const bytes = (text: string) => new TextEncoder().encode(text);
const parseFile = (text: string) => parseKeyValueFile("f", bytes(text), fromCaller(caller));

test.each([
  ["A=1", "A=1"],
  ["A=", "A="],
  ["A=b=c", "A=b=c"],
  ["a b=1", "a b=1"],
  ["HOME", "HOME=/root"],
  ["EMPTY", "EMPTY="],
  ["NOSUCH", "NOSUCH"],
  ["constructor", "constructor"],
])("env: -e %s is %s", (text, entry) => {
  expect(parseEnv("env", text, caller)).toBe(entry);
});

test.each(["", "=x", "="])("env: -e %p is refused", (text) => {
  expect(() => parseEnv("env", text, caller)).toThrow(`invalid environment variable: ${text}`);
});

test("env: a file keeps quotes, trailing blanks and inner hashes, and expands nothing", () => {
  expect(parseFile('\ufeffA="x"\n  B= y \n#C=1\n\nD=$HOME # e\r\nHOME\nNOSUCH\n export=1')).toEqual([
    'A="x"',
    "B= y ",
    "D=$HOME # e",
    "HOME=/root",
    "export=1",
  ]);
});

test.each([
  ["a b=1", "variable 'a b' contains whitespaces"],
  ["export A=1", "variable 'export A' contains whitespaces"],
  ["=1", "no variable name on line '=1'"],
  ["A ", "variable 'A ' contains whitespaces"],
])("env: the file line %p is refused", (line, why) => {
  expect(() => parseFile(line)).toThrow(why);
});

test("env: an entry may be as long as execve takes it", () => {
  const longest = `L=${"x".repeat(131_069)}`;
  expect(parseEnv("env", longest, caller)).toBe(longest);
  expect(parseFile(longest)).toEqual([longest]);
  for (const text of [`${longest}x`, `L=${"é".repeat(65_535)}`]) {
    const why = "invalid environment variable: L is longer than 131071 bytes";
    expect(() => parseEnv("env", text, caller)).toThrow(why);
    expect(() => parseFile(text)).toThrow(why);
  }
});

test("env: a file that is no text is refused", () => {
  expect(() => parseKeyValueFile("f", new Uint8Array([0x41, 0xff, 0xfe]), fromCaller({}))).toThrow(
    "invalid env file (f): invalid utf8 bytes",
  );
});

test("env: the user's entries come first and hide the image's, also when they only unset them", () => {
  expect(mergeEnv(["PATH=/x", "B=image", "C=image"], ["B=1", "A=1", "B=2", "C"])).toEqual([
    "B=2",
    "A=1",
    "C",
    "PATH=/x",
  ]);
});

test("env: a program's environment replaces in place, appends, and drops bare names", () => {
  expect(overlayEnv(["PATH=/bin", "HOSTNAME=h", "TERM=xterm"], ["PATH=/x", "A=1", "TERM", "A"])).toEqual([
    "PATH=/x",
    "HOSTNAME=h",
    "A=1",
  ]);
  expect(mergeEnv(["A=image", "B=image"], ["A=1", "A", "B"])).toEqual(["A=1", "A", "B"]);
});
