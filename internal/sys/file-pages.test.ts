import { dlopen } from "bun:ffi";
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { constantSection, filePages, unwrittenFiles } from "./file-pages.ts";
import { pollAny } from "./watch.ts";

const FIELDS = (rss: number, anonymous: number) =>
  `Size: 16 kB\nRss: ${rss} kB\nPrivate_Dirty: 0 kB\nAnonymous:      ${anonymous} kB\nVmFlags: rd mr mw me\n`;
const MAPS: readonly (readonly [what: string, header: string, rss: number, anonymous: number, taken: boolean])[] = [
  ["text", "00400000-00404000 r-xp 00000000 fe:00 12 /usr/bin/x", 8, 0, true],
  ["constants", "00404000-00408000 r--p 00004000 fe:00 12 /usr/bin/x (deleted)", 8, 0, true],
  ["relocated constants", "00408000-0040c000 r--p 00008000 fe:00 12 /usr/bin/x", 8, 4, false],
  ["data", "0040c000-00410000 rw-p 0000c000 fe:00 12 /usr/bin/x", 8, 0, false],
  ["shared", "00410000-00414000 r--s 00000000 fe:00 13 /usr/lib/cache", 8, 0, false],
  ["nothing there", "00414000-00418000 r-xp 00000000 fe:00 12 /usr/bin/x", 0, 0, false],
  ["no file", "7f0000000000-7f0000004000 r-xp 00000000 00:00 0 [vdso]", 8, 0, false],
  ["anonymous", "7f0000004000-7f0000008000 r--p 00000000 00:00 0 ", 8, 0, false],
];

test.each(MAPS)("%s", (_, header, rss, anonymous, taken) => {
  const found = unwrittenFiles(`${header}\n${FIELDS(rss, anonymous)}`);
  expect(found.length).toBe(taken ? 1 : 0);
});

test("all of them in one file", () => {
  const smaps = MAPS.map(([, header, rss, anonymous]) => `${header}\n${FIELDS(rss, anonymous)}`).join("");
  expect(unwrittenFiles(smaps)).toEqual([
    { start: 0x400000, size: 0x4000 },
    { start: 0x404000, size: 0x4000 },
  ]);
});

test("this process goes on without its text in memory", () => {
  const before = rssOfFiles();
  pollAny([], 0, filePages());
  expect(rssOfFiles()).toBeLessThan(before / 2);
  // Relocated data of a library is as it was.
  const libc = dlopen("libc.so.6", { getpid: { args: [], returns: "i32" } });
  expect(libc.symbols.getpid()).toBe(process.pid);
  expect(JSON.parse(JSON.stringify({ a: [1, "b"] }))).toEqual({ a: [1, "b"] });
});

test("a section of an executable, in whole pages", () => {
  const place = constantSection(process.execPath, ".text");
  const [, address = "", size = ""] =
    /\] \.text +PROGBITS +([0-9a-f]+) [0-9a-f]+ ([0-9a-f]+)/.exec(
      Bun.spawnSync(["readelf", "-SW", process.execPath]).stdout.toString(),
    ) ?? [];
  const [start, end] = [Number.parseInt(address, 16), Number.parseInt(address, 16) + Number.parseInt(size, 16)];
  expect(place).toEqual({
    start: Math.ceil(start / 4096) * 4096,
    size: Math.floor(end / 4096) * 4096 - Math.ceil(start / 4096) * 4096,
  });
  expect(constantSection(process.execPath, ".nosuch")).toBeUndefined();
  // A library lies anywhere.
  expect(constantSection("/lib64/ld-linux-x86-64.so.2", ".text")).toBeUndefined();
});

function rssOfFiles(): number {
  return Number(/^RssFile:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
}
