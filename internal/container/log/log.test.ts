import { afterAll, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { lseek, pwrite, writeAll } from "../../sys/fd.ts";
import { LogAppender, openLogForAppend } from "./append.ts";
import { formatTime, type LogRequest, printLog } from "./print-log.ts";
import {
  END_OF_RUN,
  encodeLogHeader,
  endOfRunRecord,
  LOG_HEADER_BYTES,
  LOG_STDERR,
  LOG_STDOUT,
  type LogStream,
} from "./record.ts";

const directory = mkdtempSync(`${tmpdir()}/ctr-log-`);
afterAll(() => rmSync(directory, { recursive: true }));
let files = 0;

const T0 = 1_700_000_000_000_000_000n;
type Piece = readonly [stream: LogStream, text: string | Uint8Array, timeNs?: bigint] | "end";

function record(piece: Piece, index: number): Uint8Array {
  if (piece === "end") return endOfRunRecord(T0 + BigInt(index));
  const [stream, text, timeNs = T0 + BigInt(index)] = piece;
  const payload = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const bytes = new Uint8Array(LOG_HEADER_BYTES + payload.length);
  encodeLogHeader(new DataView(bytes.buffer), 0, payload.length, stream, timeNs);
  bytes.set(payload, LOG_HEADER_BYTES);
  return bytes;
}

async function write(pieces: readonly Piece[], cut = 0): Promise<string> {
  const path = `${directory}/log${files++}`;
  const whole = Buffer.concat(pieces.map(record));
  await Bun.write(path, whole.subarray(0, whole.length - cut));
  return path;
}

function show(path: string, request: Partial<LogRequest> = {}): { out: string; err: string; all: string } {
  const chunks: { stream: LogStream; text: Buffer }[] = [];
  printLog({ path, format: "local" }, { timestamps: false, ...request }, (stream, bytes) =>
    chunks.push({ stream, text: Buffer.from(bytes) }),
  );
  const of = (wanted: LogStream) =>
    Buffer.concat(chunks.filter((chunk) => chunk.stream === wanted).map((chunk) => chunk.text)).toString("latin1");
  return {
    out: of(LOG_STDOUT),
    err: of(LOG_STDERR),
    all: Buffer.concat(chunks.map((chunk) => chunk.text)).toString("latin1"),
  };
}

const O = LOG_STDOUT;
const E = LOG_STDERR;

describe("reading a log", () => {
  test("a log that is not there is empty", () => {
    expect(show(`${directory}/none`).all).toBe("");
  });

  test("streams stay apart and in order, bytes are exact", async () => {
    const path = await write([[O, "a\nb"], [E, "x\n"], [O, "c\n\0\xff"], "end"]);
    expect(show(path)).toEqual({ out: "a\nbc\n\0\xc3\xbf", err: "x\n", all: "a\nbx\nc\n\0\xc3\xbf" });
  });

  test("a cut record at the end shows what is there of it", async () => {
    const path = await write(
      [
        [O, "one\n"],
        [O, "two three\n"],
      ],
      4,
    );
    expect(show(path).out).toBe("one\ntwo th");
    expect(show(path, { tail: 5 }).out).toBe("one\ntwo th");
  });

  test("a cut header at the end is not there", async () => {
    const path = await write(
      [
        [O, "one\n"],
        [O, ""],
      ],
      3,
    );
    expect(show(path).out).toBe("one\n");
  });

  test("a damaged record is reported with its place", async () => {
    const path = await write([
      [O, "one\n"],
      [O, "two\n"],
    ]);
    using fd = openLogForAppend(path);
    await Bun.write(path, Buffer.concat([record([O, "one\n"], 0), Buffer.from("garbage garbage garbage")]));
    expect(() => show(path)).toThrow("the log is damaged at byte 20");
    expect(fd.number).toBeGreaterThan(2);
  });

  test("a line's time is that of the record where it starts", async () => {
    const path = await write([
      [O, "a"],
      [E, "x\n"],
      [O, "b\nc\n"],
    ]);
    expect(show(path, { timestamps: true }).all).toBe(
      `${formatTime(T0 + 1n)} x\n${formatTime(T0)} ab\n${formatTime(T0 + 2n)} c\n`,
    );
    expect(formatTime(T0 + 1n)).toBe("2023-11-14T22:13:20.000000001Z");
  });

  test("the end of a run ends its unfinished line", async () => {
    const path = await write([[O, "a"], "end", [O, "b\n"]]);
    expect(show(path, { timestamps: true }).out).toBe(`${formatTime(T0)} a${formatTime(T0 + 2n)} b\n`);
  });

  test("a line longer than the reader keeps has one time", async () => {
    const long = "x".repeat(200_000);
    const path = await write([
      [O, long],
      [O, `${long}\nend\n`],
    ]);
    expect(show(path, { timestamps: true }).out).toBe(`${formatTime(T0)} ${long}${long}\n${formatTime(T0 + 1n)} end\n`);
  });

  test.each([
    [0, ""],
    [1, "d\n"],
    [2, "x\nd\n"],
    [3, "bc\nx\nd\n"],
    [4, "a\nbc\nx\nd\n"],
    [9, "a\nbc\nx\nd\n"],
  ])("--tail %d", async (tail, expected) => {
    const path = await write([[O, "a\nb"], [O, "c\n"], [E, "x\n"], [O, "d\n"], "end"]);
    expect(show(path, { tail }).all).toBe(expected);
  });

  test("what is written while the tail is shown is none of it", async () => {
    // Longer than is put together: it is given out while the log is being read.
    const path = await write([
      [O, "a\n"],
      [O, `${"x".repeat(400_000)}\n`],
    ]);
    let shown = "";
    printLog({ path, format: "local" }, { timestamps: false, tail: 1 }, (_, bytes) => {
      if (shown === "") appendFileSync(path, record([O, "later\n"], 2));
      shown += Buffer.from(bytes).toString("latin1");
    });
    expect(shown).toBe(`${"x".repeat(400_000)}\n`);
    expect(show(path, { tail: 1 }).all).toBe("later\n");
  });

  test("since and until choose lines by their time", async () => {
    const path = await write([[O, "a\nb"], [O, "c\nd\n"], [E, "x\n"], [O, "e\n"], "end"]);
    expect(show(path, { sinceNs: T0 + 1n }).all).toBe("d\nx\ne\n");
    expect(show(path, { sinceNs: T0 + 9n }).all).toBe("");
    expect(show(path, { untilNs: T0 + 1n }).all).toBe("a\nbc\nd\n");
    expect(show(path, { sinceNs: T0 + 2n, untilNs: T0 + 2n }).all).toBe("x\n");
  });

  test("every tail of a large random log is the end of its lines", async () => {
    let seed = 42;
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return Math.floor((seed / 0x80000000) * below);
    };
    const pieces: Piece[] = [];
    for (let index = 0; index < 3000; index++) {
      const size = random(20) === 0 ? random(60_000) : random(200);
      const text = Array.from({ length: size }, () => (random(60) === 0 ? "\n" : "abcdefgh"[random(8)])).join("");
      pieces.push(random(200) === 0 ? "end" : [random(9) === 0 ? E : O, text]);
    }
    const path = await write(pieces);
    const lines: string[] = [];
    const all = show(path, { timestamps: true }).all;
    for (const line of all.split(/(?=2023-11-14T)/)) lines.push(line.replace(/^\S+Z /, ""));
    expect(show(path, { tail: 1_000_000 }).all).toBe(lines.join(""));
    for (const tail of [1, 2, 10, 500, 5000, 20_000, lines.length - 1]) {
      expect(show(path, { tail }).all).toBe(lines.slice(-tail).join(""));
    }
    const plain = show(path);
    const expected = (wanted: LogStream) =>
      pieces.map((piece) => (piece !== "end" && piece[0] === wanted ? piece[1] : "")).join("");
    expect(plain.out).toBe(expected(O));
    expect(plain.err).toBe(expected(E));
  });
});

describe("opening a log for append", () => {
  test.each([
    [0, 20],
    [3, 20],
    [23, 20],
    [30, 20],
  ])("a record that lacks its last %d bytes is cut off", async (cut, whole) => {
    const path = await write(
      [
        [O, "one\n"],
        [O, "0123456789abcdef"],
      ],
      cut,
    );
    using fd = openLogForAppend(path);
    expect(lseek(fd.number, 0, 2)).toBe(cut === 0 ? 52 : whole);
    writeAll(fd.number, record([O, "next\n"], 9));
    expect(show(path).out).toBe(cut === 0 ? "one\n0123456789abcdefnext\n" : "one\nnext\n");
  });

  test("a log that ended cleanly is left as it is", async () => {
    const path = await write([[O, "one\n"], "end"]);
    using fd = openLogForAppend(path);
    expect(lseek(fd.number, 0, 2)).toBe(36);
    expect(END_OF_RUN).toBe(1);
  });

  test("a new log is made", () => {
    const path = `${directory}/new`;
    {
      using fd = openLogForAppend(path);
      expect(lseek(fd.number, 0, 2)).toBe(0);
      expect(() => pwrite(fd.number, new Uint8Array(0), 0)).not.toThrow();
    }
    expect(show(path).all).toBe("");
  });
});

test("an appender's records come back, large ones in pieces, after restarts too", () => {
  const path = `${directory}/appended`;
  const large = new Uint8Array(3_000_000).fill(120);
  for (const round of [1n, 2n]) {
    const log = new LogAppender(path);
    log.write(O, new TextEncoder().encode("out\n"), T0 + round);
    log.write(E, new TextEncoder().encode("err\n"), T0 + round);
    log.write(O, large, T0 + round);
    log.endRun(T0 + round);
    log.close();
  }
  const { out, err } = show(path);
  expect(err).toBe("err\nerr\n");
  expect(out).toBe(`out\n${"x".repeat(3_000_000)}`.repeat(2));
});

test("an appender that cannot write leaves no half record", () => {
  // A limit on the size of files fails a write in the middle, as a full disk does: EFBIG with SIGXFSZ ignored.
  const path = `${directory}/limited`;
  const script = `
    import { LogAppender } from "${import.meta.dir}/append.ts";
    import { prlimit } from "${import.meta.dir}/../../sys/process.ts";
    const log = new LogAppender("${path}");
    const RLIMIT_FSIZE = 1;
    prlimit(0, RLIMIT_FSIZE, { soft: 1024n, hard: 1024n });
    const line = (letter) => new TextEncoder().encode(letter.repeat(299) + "\\n");
    let failed = 0;
    for (const letter of "abcd") try { log.write(1, line(letter), 1n); } catch { failed++; }
    log.write(1, new TextEncoder().encode("end\\n"), 2n);
    console.log(failed);`;
  const limited = `trap '' XFSZ; exec "$0" -e "$1"`;
  const { stdout, stderr } = Bun.spawnSync(["bash", "-c", limited, process.execPath, script]);
  expect(stderr.toString()).toBe("");
  expect(stdout.toString()).toBe("1\n");
  expect(
    show(path)
      .out.split("\n")
      .map((line) => line.slice(0, 3)),
  ).toEqual(["aaa", "bbb", "ccc", "end", ""]);
});
