import { expect, test } from "bun:test";
import { signalName, signalNumber } from "./signals.ts";

test.each([
  ["KILL", 9],
  ["SIGTERM", 15],
  ["sigusr1", 10],
  ["15", 15],
  ["64", 64],
  ["IOT", 6],
  ["POLL", 29],
  ["SYS", 31],
  ["RTMIN", 34],
  ["SIGRTMIN+3", 37],
  ["RTMAX-1", 63],
])("signals: %s is %p", (text, number) => {
  expect(signalNumber(text)).toBe(number);
});

test.each(["", "0", "65", "-1", "FOO", "SIG", "RTMIN-1", "RTMAX+1", "constructor"])("signals: %p is none", (text) => {
  expect(signalNumber(text)).toBeUndefined();
});

test("signals: a number's name", () => {
  expect(signalName(15)).toBe("SIGTERM");
  expect(signalName(37)).toBe("SIGRTMIN+3");
});
