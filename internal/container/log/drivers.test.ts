import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { LogAppender } from "./append.ts";
import { JsonFileSink } from "./json-file.ts";
import { LineSplitter, type LogMessage } from "./lines.ts";
import { checkLogConfig, jsonFileRotation, localRotation, syslogSettings } from "./options.ts";
import { type LogRequest, type LogSource, printLog } from "./print-log.ts";
import { LOG_STDERR, LOG_STDOUT, type LogStream } from "./record.ts";
import { RingSink } from "./ring.ts";
import type { Rotation } from "./rotating-file.ts";
import type { LogSink } from "./sink.ts";

// On a machine that is busy with other tests they take longer than the runner's five seconds.
setDefaultTimeout(30_000);

const home = mkdtempSync(`${tmpdir()}/ctr-drivers-`);
afterAll(() => rmSync(home, { recursive: true }));
let directories = 0;

function directory(): string {
  const path = `${home}/${directories++}`;
  mkdirSync(path);
  return path;
}

const T0 = 1_700_000_000_000_000_000n;
const bytes = (text: string) => new TextEncoder().encode(text);

function show(source: LogSource, request: Partial<LogRequest> = {}): string {
  let text = "";
  printLog(source, { timestamps: false, ...request }, (_stream, piece) => {
    text += Buffer.from(piece).toString();
  });
  return text;
}

function numbered(count: number, width: number): readonly string[] {
  return Array.from({ length: count }, (_unused, i) => `${String(i).padStart(width, "0")}\n`);
}

const FORMATS = ["local", "json-file"] as const;

function openSink(format: (typeof FORMATS)[number], path: string, rotation: Rotation): LogSink {
  return format === "local" ? new LogAppender(path, rotation) : new JsonFileSink(path, rotation);
}

describe.each(FORMATS)("%s: rotation", (format) => {
  const source = (path: string): LogSource => ({ path: `${path}/log`, format });
  const compression = format === "local" ? "zstd" : "gzip";

  test("all lines that fit in the files are there once, in order, whatever pieces they came in", async () => {
    const path = directory();
    const sink = openSink(format, `${path}/log`, { maxBytes: 20_000, maxFiles: 1000, compression });
    const lines = numbered(20_000, 30);
    const all = bytes(lines.join(""));
    let seed = 7;
    for (let at = 0, time = T0; at < all.length; time += 1000n) {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      const size = 1 + (seed % 50_000);
      sink.write(LOG_STDOUT, all.subarray(at, at + size), time);
      at += size;
      // Compression goes on meanwhile.
      if (seed % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await sink.endStreams(T0 + 10n ** 12n);
    sink.close();
    expect(readdirSync(path).length).toBeGreaterThan(20);
    expect(readdirSync(path).filter((name) => /\.(gz|zst)$/.test(name)).length).toBe(readdirSync(path).length - 1);
    expect(show(source(path))).toBe(lines.join(""));
    for (const tail of [1, 10, 700, 5000, 19_999]) {
      expect(show(source(path), { tail })).toBe(lines.slice(-tail).join(""));
    }
  }, 30_000);

  test("no more than max-file files stay, and the oldest begins with a whole line", async () => {
    const path = directory();
    const sink = openSink(format, `${path}/log`, { maxBytes: 10_000, maxFiles: 3, compression });
    const lines = numbered(5000, 50);
    for (const [at, line] of lines.entries()) sink.write(LOG_STDOUT, bytes(line), T0 + BigInt(at));
    await sink.endStreams(T0 + 5000n);
    sink.close();
    expect(readdirSync(path).sort()).toEqual(
      format === "local" ? ["log", "log.1.zst", "log.2.zst"] : ["log", "log.1.gz", "log.2.gz"],
    );
    const kept = show(source(path));
    expect(lines.join("").endsWith(kept)).toBe(true);
    expect(kept.length).toBeGreaterThan(format === "local" ? 14_000 : 8_000);
    expect(kept.split("\n")[0]).toMatch(/^\d{50}$/);
  });

  test("max-file 1 begins again", async () => {
    const path = directory();
    const sink = openSink(format, `${path}/log`, { maxBytes: 4000, maxFiles: 1 });
    for (const [at, line] of numbered(200, 50).entries()) sink.write(LOG_STDOUT, bytes(line), T0 + BigInt(at));
    await sink.endStreams(T0);
    sink.close();
    expect(readdirSync(path)).toEqual(["log"]);
    expect(show(source(path), { tail: 1 })).toBe(`${"199".padStart(50, "0")}\n`);
  });

  test("both streams, a line of each unfinished: none is torn while the files are there", async () => {
    const path = directory();
    const sink = openSink(format, `${path}/log`, { maxBytes: 2000, maxFiles: 500 });
    let [out, err] = ["", ""];
    for (let i = 0; i < 2000; i++) {
      const [a, b] = [`out ${i}${i % 3 === 0 ? "\n" : " "}`, `err ${i}${i % 5 === 0 ? "\n" : " "}`];
      sink.write(LOG_STDOUT, bytes(a), T0 + BigInt(i));
      sink.write(LOG_STDERR, bytes(b), T0 + BigInt(i));
      out += a;
      err += b;
    }
    await sink.endStreams(T0 + 2000n);
    sink.close();
    const shown = { [LOG_STDOUT]: "", [LOG_STDERR]: "" };
    printLog(source(path), { timestamps: false }, (stream, piece) => {
      shown[stream] += Buffer.from(piece).toString();
    });
    expect(shown[LOG_STDOUT]).toBe(out);
    expect(shown[LOG_STDERR]).toBe(err);
  });

  test("a line longer than several files comes back whole", async () => {
    const path = directory();
    const sink = openSink(format, `${path}/log`, { maxBytes: 2000, maxFiles: 500 });
    const long = "x".repeat(100_000);
    for (const text of ["before\n", long, long, "\nafter\n"]) sink.write(LOG_STDOUT, bytes(text), T0);
    await sink.endStreams(T0);
    sink.close();
    expect(show(source(path), { tail: 1 })).toBe("after\n");
    expect(
      show(source(path), { timestamps: true })
        .split("\n")
        .map((line) => line.length),
    ).toEqual([37, 200_031, 36, 0]);
  });

  test("since begins in the right file", async () => {
    const path = directory();
    const sink = openSink(format, `${path}/log`, { maxBytes: 5000, maxFiles: 100, compression });
    const start = BigInt(Date.now()) * 1_000_000n;
    const lines = numbered(1000, 50);
    for (const [at, line] of lines.entries()) sink.write(LOG_STDOUT, bytes(line), start + BigInt(at) * 1000n);
    await sink.endStreams(start);
    sink.close();
    expect(show(source(path), { sinceNs: start + 900_000n })).toBe(lines.slice(900).join(""));
    expect(show(source(path), { untilNs: start + 99_000n })).toBe(lines.slice(0, 100).join(""));
  });

  test("a writer that comes back goes on where the last one was killed", async () => {
    const path = directory();
    const first = openSink(format, `${path}/log`, { maxBytes: 3000, maxFiles: 9 });
    for (const line of numbered(100, 40)) first.write(LOG_STDOUT, bytes(line), T0);
    await first.endStreams(T0);
    first.close();
    const whole = show(source(path));
    const torn = format === "local" ? Uint8Array.of(9, 0, 0, 0, 1) : bytes('{"log":"half');
    await Bun.write(`${path}/log`, Buffer.concat([readFileSync(`${path}/log`), torn]));
    const second = openSink(format, `${path}/log`, { maxBytes: 3000, maxFiles: 9 });
    second.write(LOG_STDOUT, bytes("again\n"), T0 + 1n);
    second.close();
    expect(show(source(path))).toBe(`${whole}again\n`);
  });

  test("a compressed file that a crash left beside the plain one is not read twice", async () => {
    const path = directory();
    const sink = openSink(format, `${path}/log`, { maxBytes: 3000, maxFiles: 9 });
    for (const line of numbered(100, 40)) sink.write(LOG_STDOUT, bytes(line), T0);
    await sink.endStreams(T0);
    sink.close();
    const whole = show(source(path));
    await Bun.write(`${path}/log.1${format === "local" ? ".zst" : ".gz"}`, readFileSync(`${path}/log.1`));
    expect(show(source(path))).toBe(whole);
  });
});

test("compressed files are what zcat and zstdcat read", async () => {
  for (const [format, compression, tool] of [
    ["json-file", "gzip", "zcat"],
    ["local", "zstd", "zstdcat"],
  ] as const) {
    if (Bun.which(tool) === null) continue;
    const path = directory();
    const sink = openSink(format, `${path}/log`, { maxBytes: 3_000_000, maxFiles: 3, compression });
    const lines = numbered(80_000, 49).join("");
    for (let at = 0; at < lines.length; at += 65_536) sink.write(LOG_STDOUT, bytes(lines.slice(at, at + 65_536)), T0);
    await sink.endStreams(T0);
    sink.close();
    const packed = `${path}/log.1${compression === "gzip" ? ".gz" : ".zst"}`;
    const { stdout, exitCode } = Bun.spawnSync([tool, packed]);
    expect(exitCode).toBe(0);
    expect(stdout.length).toBeGreaterThanOrEqual(2_900_000);
  }
});

test("json-file: lines are Docker's, byte for byte", async () => {
  const path = directory();
  const attributes = { b: "x y,z", a: "1", tag: "det/m" };
  const sink = new JsonFileSink(`${path}/log`, { maxBytes: Number.POSITIVE_INFINITY, maxFiles: 1 }, attributes);
  const odd = Buffer.concat([
    bytes('one\ttab <&> "q" \\ \u0001\r\n\u2028 '),
    Uint8Array.of(0xff, 0xfe, 0xe2, 0x80, 0x20, 0xed, 0xa0, 0x80),
    bytes(" é\nlast"),
  ]);
  sink.write(LOG_STDOUT, odd, 1_795_274_546_847_333_900n);
  sink.write(LOG_STDERR, bytes("err\n"), 1_795_274_546_000_000_000n);
  await sink.endStreams();
  sink.close();
  const attrs = '"attrs":{"a":"1","b":"x y,z","tag":"det/m"}';
  const time = '"time":"2026-11-21T15:22:26.8473339Z"';
  expect(readFileSync(`${path}/log`, "utf8").split("\n")).toEqual([
    `{"log":"one\\u0009tab \\u003c\\u0026\\u003e \\"q\\" \\\\ \\u0001\\r\\n","stream":"stdout",${attrs},${time}}`,
    `{"log":"\\u2028 \\ufffd\\ufffd\\ufffd\\ufffd \\ufffd\\ufffd\\ufffd é\\n","stream":"stdout",${attrs},${time}}`,
    `{"log":"err\\n","stream":"stderr",${attrs},"time":"2026-11-21T15:22:26Z"}`,
    `{"log":"last","stream":"stdout",${attrs},${time}}`,
    "",
  ]);
  const source = { path: `${path}/log`, format: "json-file" } as const;
  expect(show(source, { tail: 1, details: "" })).toBe("a=1,b=x+y%2Cz,tag=det%2Fm last");
});

test("json-file: the same lines, in one piece, byte by byte, or in any pieces", async () => {
  const odd = [
    "plain",
    'a "q" \\ \\n',
    "<&>\t\r\u001b[1m",
    "\u2028é\u2029😀",
    "\u0000\u0007\u007f",
    "",
    "$& $1",
    "x".repeat(6000),
    "y".repeat(20_000),
  ];
  let seed = 3;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return Math.floor((seed / 0x80000000) * below);
  };
  const text = Array.from({ length: 400 }, () => `${odd[random(odd.length)]}${odd[random(6)]}\n`).join("");
  const all = bytes(text);
  const written = async (pieceBytes: () => number) => {
    const path = directory();
    const sink = new JsonFileSink(`${path}/log`, { maxBytes: Number.POSITIVE_INFINITY, maxFiles: 1 }, { a: "$&" });
    for (let at = 0; at < all.length; ) {
      const size = pieceBytes();
      sink.write(LOG_STDOUT, all.subarray(at, at + size), T0);
      at += size;
    }
    await sink.endStreams();
    sink.close();
    expect(show({ path: `${path}/log`, format: "json-file" })).toBe(text);
    return readFileSync(`${path}/log`, "utf8");
  };
  const whole = await written(() => all.length);
  expect(whole).toContain('{"log":"\\u003c\\u0026\\u003e\\u0009\\r\\u001b[1m');
  expect(await written(() => 997)).toBe(whole);
  expect(await written(() => 1 + random(70_000))).toBe(whole);
  expect(await written(() => 1 + random(5))).toBe(whole);
});

describe("lines", () => {
  function messages(pieces: readonly (readonly [LogStream, string])[]): readonly string[] {
    const lines = new LineSplitter();
    const found: string[] = [];
    const take = ({ stream, bytes: text, timeNs, partial }: LogMessage) => {
      const place = partial === undefined ? "" : ` ${partial.ordinal}${partial.isLast ? "." : "+"}`;
      found.push(
        `${stream} ${timeNs} ${Buffer.from(text)
          .toString()
          .replaceAll(/(.)\1{20,}/g, (run, c) => `${c}×${run.length}`)}${place}`,
      );
    };
    for (const [at, [stream, text]] of pieces.entries()) lines.push(stream, bytes(text), BigInt(at), take);
    lines.flush(take);
    return found;
  }

  test("are cut at newlines, each stream on its own, with the time of their first byte", () => {
    expect(
      messages([
        [1, "a\nb"],
        [2, "x"],
        [1, "c\n\n"],
        [2, "y\n"],
        [1, "end"],
      ]),
    ).toEqual(["1 0 a", "1 0 bc", "1 2 ", "2 1 xy", "1 4 end 1+"]);
  });

  test("longer ones go in pieces of 16 KiB", () => {
    const long = "x".repeat(40_000);
    expect(
      messages([
        [1, long.slice(0, 10_000)],
        [1, `${long.slice(10_000)}\nz\n`],
      ]),
    ).toEqual(["1 0 x×16384 1+", "1 0 x×16384 2+", "1 0 x×7232 3.", "1 1 z"]);
    expect(messages([[1, `${"x".repeat(16_384)}\n`]])).toEqual(["1 0 x×16384 1+", "1 0  2."]);
  });
});

describe("non-blocking", () => {
  class SlowSink implements LogSink {
    readonly isBusy = false;
    readonly taken: string[] = [];
    release: () => void = () => {};
    write(stream: LogStream, text: Uint8Array): Promise<void> {
      this.taken.push(`${stream} ${Buffer.from(text).toString()}`);
      return new Promise((resolve) => {
        this.release = resolve;
      });
    }
    endStreams(): undefined {}
    endRun(): void {}
    close(): void {}
  }

  test("a log that does not take anything holds nobody up; the oldest is dropped, and it is said how much", async () => {
    const slow = new SlowSink();
    const ring = new RingSink(slow, 100);
    for (let i = 0; i < 50; i++)
      expect(ring.write(LOG_STDOUT, bytes(`line ${String(i).padStart(4, "0")}\n`), T0)).toBe(undefined);
    expect(slow.taken).toEqual(["1 line 0000\n"]);
    const ended = ring.endStreams(T0);
    for (let i = 0; i < 12; i++) {
      slow.release();
      await Promise.resolve();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await ended;
    expect(slow.taken[1]).toBe("2 ctr: 390 bytes of output were dropped here: the log is slower than the container\n");
    expect(slow.taken.slice(2)).toEqual(
      Array.from({ length: 10 }, (_unused, i) => `1 line ${String(40 + i).padStart(4, "0")}\n`),
    );
  });
});

describe("options", () => {
  const refused = (Type: string, Config: { readonly [name: string]: string }) => {
    try {
      checkLogConfig({ Type, Config });
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    return "";
  };
  const FAILED = "failed to initialize logging driver: ";

  test.each([
    ["json-file", { nosuch: "1" }, "unknown log opt 'nosuch' for json-file log driver"],
    ["local", { nosuch: "1" }, "unknown log opt 'nosuch' for log driver local"],
    ["journald", { "max-size": "1m" }, "unknown log opt 'max-size' for journald log driver"],
    ["syslog", { nosuch: "1" }, "unknown log opt 'nosuch' for syslog log driver"],
    ["nosuch", {}, 'error looking up logging plugin nosuch: plugin "nosuch" not found'],
    ["constructor", {}, 'error looking up logging plugin constructor: plugin "constructor" not found'],
    ["json-file", { "max-size": "abc" }, `${FAILED}invalid size: 'abc'`],
    ["json-file", { "max-size": "-1" }, `${FAILED}invalid size: '-1'`],
    ["json-file", { "max-file": "abc" }, `${FAILED}strconv.Atoi: parsing "abc": invalid syntax`],
    ["json-file", { "max-file": "0" }, `${FAILED}max-file cannot be less than 1`],
    ["json-file", { "max-file": "3" }, ""],
    [
      "json-file",
      { compress: "true" },
      `${FAILED}compress cannot be true when max-file is less than 2 or max-size is not set`,
    ],
    ["json-file", { compress: "maybe" }, `${FAILED}strconv.ParseBool: parsing "maybe": invalid syntax`],
    ["local", { "max-size": "abc" }, `${FAILED}invalid value for max-size: abc: invalid size: 'abc'`],
    ["local", { "max-size": "0" }, ""],
    ["local", { "max-file": "1" }, `${FAILED}compression cannot be enabled when max file count is 1`],
    ["local", { "max-file": "1", compress: "false" }, ""],
    ["local", { labels: "a", tag: "{{.Name}}" }, ""],
    ["local", { mode: "maybe" }, "logger: logging mode not supported: maybe"],
    [
      "local",
      { mode: "blocking", "max-buffer-size": "1m" },
      "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
    ],
    [
      "local",
      { mode: "non-blocking", "max-buffer-size": "abc" },
      "error parsing option max-buffer-size: invalid size: 'abc'",
    ],
    [
      "json-file",
      { tag: "{{.Nosuch}}" },
      `${FAILED}template: log-tag:1:2: executing "log-tag" at <.Nosuch>: can't evaluate field Nosuch in type *logger.Info`,
    ],
    ["json-file", { tag: "{{.ID" }, `${FAILED}template: log-tag:1: unclosed action`],
    ["syslog", { "syslog-address": "http://x" }, "syslog-address should be in form proto://address, got http://x"],
    ["syslog", { "syslog-facility": "nosuch" }, "invalid syslog facility"],
    ["syslog", { "syslog-format": "nosuch" }, "Invalid syslog format"],
    ["syslog", { "syslog-address": "tcp+tls://[::1]:6514", "syslog-facility": "local7" }, ""],
  ])("%s %j: %s", (type, options, words) => {
    expect(refused(type, options)).toBe(words);
  });

  test("what is refused of a regular expression says so", () => {
    expect(refused("json-file", { "labels-regex": "(" })).toStartWith(`${FAILED}error parsing regexp: `);
  });

  test("what is left out has Docker's defaults", () => {
    expect(localRotation({})).toEqual({ maxBytes: 20 << 20, maxFiles: 5, compression: "zstd" });
    expect(localRotation({ "max-size": "0" }).maxBytes).toBe(Number.POSITIVE_INFINITY);
    expect(jsonFileRotation({})).toEqual({ maxBytes: Number.POSITIVE_INFINITY, maxFiles: 1 });
    expect(jsonFileRotation({ "max-size": "10k", "max-file": "3", compress: "true" })).toEqual({
      maxBytes: 10240,
      maxFiles: 3,
      compression: "gzip",
    });
    expect(syslogSettings({ "syslog-address": "udp://loghost" })).toMatchObject({
      transport: "udp",
      host: "loghost",
      port: 514,
      facility: 3,
      format: "",
    });
  });
});
