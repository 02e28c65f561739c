/** Where a log goes: files that are rotated under load, Docker's own format, nothing, the journal, a syslog. */
import { expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { collect } from "../lib/collector.ts";
import { tempEngine } from "../lib/engine.ts";
import { isDocker, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

// The host's sockets are made here, in a /run and a /dev/log of the pretend host's own.
if (!isDocker()) Bun.spawnSync(["mount", "-t", "tmpfs", "tmpfs", "/run"]);
const engine = tempEngine();
const image = await engine.image("minimal");
const DETACHED = ["run", "-d", "--network", "none"] as const;

/** Runs a shell command to its end in a container of that name, with these options before the image. */
async function ran(name: string, options: readonly string[], script: string): Promise<string> {
  const id = await engine.ok(...DETACHED, "--name", name, ...options, image, "sh", "-c", script);
  await engine.ok("wait", name);
  return id;
}

const logPath = (name: string) => engine.ok("inspect", "-f", "{{.LogPath}}", name);
const numbered = (count: number, width: number) =>
  Array.from({ length: count }, (_unused, i) => `${String(i).padStart(width - 1, "0")}\n`).join("");

test("json-file: the file is Docker's, and is read back", async () => {
  await ran(
    "plain",
    ["--log-driver", "json-file"],
    `printf 'one\\ttab <&> "q" \\\\ \\001\\n\\303\\251 \\377\\nlast'; echo err >&2`,
  );
  const path = await logPath("plain");
  expect(path).toEndWith(`-json.log`);
  const lines = readFileSync(path, "utf8").split("\n");
  const bare = lines.map((line) => line.replace(/"time":"[-0-9:.T]{19,29}Z"/, "TIME"));
  expect(bare.toSorted()).toEqual(
    [
      '{"log":"one\\u0009tab \\u003c\\u0026\\u003e \\"q\\" \\\\ \\u0001\\n","stream":"stdout",TIME}',
      '{"log":"é \\ufffd\\n","stream":"stdout",TIME}',
      '{"log":"last","stream":"stdout",TIME}',
      '{"log":"err\\n","stream":"stderr",TIME}',
      "",
    ].toSorted(),
  );
  const shown = await engine.ctr("logs", "plain");
  expect([shown.stdout, shown.stderr]).toEqual(['one\ttab <&> "q" \\ \u0001\né \ufffd\nlast', "err\n"]);
  expect(await engine.ok("inspect", "-f", "{{json .HostConfig.LogConfig}}", "plain")).toBe(
    '{"Type":"json-file","Config":{}}',
  );
  await engine.ok("rm", "plain");
});

test("json-file: long lines are pieces of 16 KiB", async () => {
  await ran(
    "long",
    ["--log-driver", "json-file"],
    "head -c 40000 /dev/zero | tr '\\0' x; echo; head -c 20000 /dev/zero | tr '\\0' y",
  );
  const entries = readFileSync(await logPath("long"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).log.length);
  expect(entries).toEqual([16384, 16384, 7233, 16384, 3616]);
  expect((await engine.ctr("logs", "long")).stdout).toBe(`${"x".repeat(40_000)}\n${"y".repeat(20_000)}`);
  await engine.ok("rm", "long");
});

// Docker takes the time of each piece.
test.if(needs("ctr"))("json-file: a long line has one time and counts once", async () => {
  await ran("joined", ["--log-driver", "json-file"], "head -c 40000 /dev/zero | tr '\\0' x; echo; echo end");
  expect((await engine.ctr("logs", "--tail", "2", "joined")).stdout).toBe(`${"x".repeat(40_000)}\nend\n`);
  expect((await engine.ctr("logs", "-t", "joined")).stdout.length).toBe(40_001 + 4 + 2 * 31);
  await engine.ok("rm", "joined");
});

test("labels, variables and a tag: in the file, and before the line with --details", async () => {
  const options = [
    ...["--log-driver", "json-file", "--label", "a=1", "--label", "b=x y,z", "-e", "FOO=bar", "-e", "BAR=baz"],
    ...["--log-opt", "labels=a,b,nolabel", "--log-opt", "env=FOO", "--log-opt", "env-regex=^BA"],
    ...["--log-opt", "tag={{.Name}}/{{.ID}}"],
  ];
  const id = (await ran("detailed", options, "echo one")).slice(0, 12);
  expect(readFileSync(await logPath("detailed"), "utf8")).toContain(
    `"attrs":{"BAR":"baz","FOO":"bar","a":"1","b":"x y,z","tag":"detailed/${id}"},"time"`,
  );
  const details = `BAR=baz,FOO=bar,a=1,b=x+y%2Cz,tag=detailed%2F${id}`;
  expect(await engine.ok("logs", "--details", "detailed")).toBe(`${details} one`);
  expect(await engine.ok("logs", "--details", "-t", "detailed")).toMatch(/^[-0-9T:.]{29}Z BAR=baz,/);
  await engine.ok("rm", "detailed");
  await ran("bare", [], "echo one");
  expect(await engine.ok("logs", "--details", "bare")).toBe(" one");
  await engine.ok("rm", "bare");
});

test.if(needs("ctr"))("the engine's own format has details too", async () => {
  await ran("own", ["--label", "a=1", "--log-opt", "labels=a"], "echo one");
  expect(await engine.ok("logs", "--details", "own")).toBe("a=1 one");
  expect(await logPath("own")).toBe("");
  await engine.ok("rm", "own");
});

test("json-file: rotation and compression leave Docker's files", async () => {
  const options = ["max-size=10k", "max-file=3", "compress=true"].flatMap((option) => ["--log-opt", option]);
  await ran("rotated", ["--log-driver", "json-file", ...options], "probe lines 2000 50");
  const path = await logPath("rotated");
  const name = path.slice(path.lastIndexOf("/") + 1);
  const files = () => readdirSync(dirname(path)).filter((file) => file.startsWith(name));
  await waitFor("compression", () => files().filter((file) => file.endsWith(".gz")).length === 2);
  expect(files().sort()).toEqual([name, `${name}.1.gz`, `${name}.2.gz`]);
  const first = Bun.spawnSync(["zcat", `${path}.2.gz`]).stdout.toString();
  // Docker 20.10 begins the next file a line or two early.
  expect(first.length).toBeGreaterThan(isDocker() ? 9_900 : 10_239);
  expect(first.length).toBeLessThan(10_500);
  const kept = (await engine.ctr("logs", "rotated")).stdout;
  expect(numbered(2000, 50).endsWith(kept)).toBe(true);
  expect(await engine.ok("logs", "--tail", "150", "rotated")).toBe(kept.trimEnd().split("\n").slice(-150).join("\n"));
  await engine.ok("rm", "rotated");
});

for (const driver of ["local", "json-file"]) {
  // Docker's follower of 20.10 can lose lines through rotations.
  test.if(needs("ctr"))(
    `${driver}: a follower sees every line once through rotations under load`,
    async () => {
      const options = ["max-size=1m", "max-file=200", "compress=true"].flatMap((option) => ["--log-opt", option]);
      const script = "read -r line; probe lines 200000 100";
      const talker = engine.spawn(
        ...["run", "-i", "--network", "none", "--name", "loud", "--log-driver", driver, ...options],
        ...["-a", "stdin", image, "sh", "-c", script],
      );
      await waitFor(
        "the container",
        async () => (await engine.ctr("inspect", "-f", "{{.State.Running}}", "loud")).stdout === "true\n",
      );
      const followers = [["-f"], ["-f", "-t"], ["-f", "--tail", "0"]].map((flags) =>
        engine.spawn("logs", ...flags, "loud"),
      );
      const outputs = followers.map((follower) => follower.stdout.text());
      await Bun.sleep(300); // nothing tells when a follower has begun to wait
      talker.stdin.write("go\n");
      await talker.stdin.end();
      const [plain = "", timed = "", fresh = ""] = await Promise.all(outputs);
      expect(await Promise.all(followers.map((follower) => follower.exited))).toEqual([0, 0, 0]);
      const expected = numbered(200_000, 100);
      const digest = (text: string) => Bun.SHA256.hash(text, "hex");
      expect(plain.length).toBe(expected.length);
      expect(digest(plain)).toBe(digest(expected));
      expect(digest(timed.replaceAll(/^\S{30} /gm, ""))).toBe(digest(expected));
      expect(digest(fresh)).toBe(digest(expected));
      // And the same from the files, now that it has ended.
      const { bytes } = await engine.ctr("logs", "loud");
      expect(digest(Buffer.from(bytes).toString())).toBe(digest(expected));
      expect((await engine.ctr("logs", "--tail", "30000", "loud")).bytes.length).toBe(3_000_000);
      await engine.ok("rm", "loud");
    },
    60_000,
  );
}

test.if(needs("ctr"))("local: old files go, the log stays below its limit", async () => {
  const options = ["--log-driver", "local", "--log-opt", "max-size=200k", "--log-opt", "max-file=3"];
  const id = await ran("bounded", options, "probe lines 20000 100");
  const directory = `${engine.root}/containers/${id}`;
  expect(
    readdirSync(directory)
      .filter((file) => file.startsWith("log"))
      .sort(),
  ).toEqual(["log", "log.1.zst", "log.2.zst"]);
  const kept = (await engine.ctr("logs", "bounded")).stdout;
  expect(numbered(20_000, 100).endsWith(kept)).toBe(true);
  expect(kept.length).toBeGreaterThan(400_000);
  expect(kept.length).toBeLessThan(700_000);
  await engine.ok("rm", "bounded");
});

test("none: output goes to who is attached, and there is nothing to read", async () => {
  const shown = await engine.ctr(
    "run",
    "--name",
    "mute",
    "--network",
    "none",
    "--log-driver",
    "none",
    image,
    "echo",
    "x",
  );
  expect(shown.stdout).toBe("x\n");
  expect(await engine.fails(1, "logs", "mute")).toContain("configured logging driver does not support reading");
  await engine.ok("rm", "mute");
});

test("what a driver or an option cannot be is refused with Docker's words, before anything is made", async () => {
  const run = (...options: string[]) =>
    engine.fails(125, "run", "--rm", "--network", "none", ...options, image, "true");
  expect(await run("--log-driver", "nosuch")).toContain(
    'error looking up logging plugin nosuch: plugin "nosuch" not found',
  );
  expect(await run("--log-driver", "json-file", "--log-opt", "nosuch=1")).toContain(
    "unknown log opt 'nosuch' for json-file log driver",
  );
  expect(await run("--log-driver", "none", "--log-opt", "max-size=1m")).toContain(
    "invalid logging opts for driver none",
  );
  expect(await run("--log-driver", "json-file", "--log-opt", "max-size=abc")).toContain(
    "failed to initialize logging driver: invalid size: 'abc'",
  );
  expect(await run("--log-driver", "syslog", "--log-opt", "syslog-address=tcp://127.0.0.1:9")).toContain(
    "failed to initialize logging driver: dial tcp 127.0.0.1:9: connect: connection refused",
  );
  // Docker 20.10 looks for a plugin for a long time, and keeps the containers of runs that failed.
  if (isDocker()) return;
  expect(await engine.fails(1, "create", "--log-driver", "nosuch", image, "true")).toContain(
    'plugin "nosuch" not found',
  );
  expect(await engine.ok("ps", "-aq", "--filter", "status=created")).toBe("");
});

test.if(needs("ctr"))("the engine's configuration names the driver and its options", async () => {
  const file = `${engine.scratch}/engine.toml`;
  const env = { CTR_CONFIG: file };
  const create = async (...options: string[]) => {
    const made = await engine.ctrWith({ env }, "create", "--network", "none", ...options, image, "true");
    if (made.status !== 0) return made.stderr;
    const id = made.stdout.trim();
    const shown = await engine.ok("inspect", "-f", "{{json .HostConfig.LogConfig}}", id);
    await engine.ok("rm", id);
    return shown;
  };
  expect(await create()).toContain("engine configuration: open");
  writeFileSync(file, 'log-driver = "json-file"\n[log-opts]\nmax-size = "10m"\nmax-file = "3"\n');
  expect(await create()).toBe('{"Type":"json-file","Config":{"max-size":"10m","max-file":"3"}}');
  expect(await create("--log-opt", "max-file=5")).toBe(
    '{"Type":"json-file","Config":{"max-size":"10m","max-file":"5"}}',
  );
  expect(await create("--log-driver", "local")).toBe('{"Type":"local","Config":{}}');
  writeFileSync(file, '[log-opts]\nmax-size = "10m"\n');
  expect(await create()).toBe('{"Type":"local","Config":{"max-size":"10m"}}');
  writeFileSync(file, 'log-drivers = "json-file"\n');
  expect(await create()).toContain(`${file}: log-drivers is not a setting of the engine`);
  writeFileSync(file, 'log-driver = "nosuch"\n');
  expect(await create()).toContain('plugin "nosuch" not found');
  unlinkSync(file);
});

// From here on the sockets of the pretend host; Docker's engine could not see them.
const OWN = needs("ctr");

test.if(OWN)("syslog: every format, by datagrams", async () => {
  const path = `${engine.scratch}/syslog`;
  await using host = await collect("unixgram", path);
  const hostname = readFileSync("/proc/sys/kernel/hostname", "utf8").trim();
  const TIME = "[-0-9T:]{19}(Z|[+-]\\d\\d:\\d\\d)";
  const MICRO = "[-0-9T:]{19}\\.\\d{6}(Z|[+-]\\d\\d:\\d\\d)";
  const STAMP = "[A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d";
  const formats = [
    ["", `${STAMP} me\\[\\d+\\]: `],
    ["rfc3164", `${STAMP} ${hostname} me\\[\\d+\\]: `],
    ["rfc5424", `1 ${TIME} ${hostname} me \\d+ me - `],
    ["rfc5424micro", `1 ${MICRO} ${hostname} me \\d+ me - `],
  ] as const;
  for (const [at, [format, head]] of formats.entries()) {
    const name = `formatted${at}`;
    const address = ["--log-driver", "syslog", "--log-opt", `syslog-address=unixgram://${path}`, "--log-opt", "tag=me"];
    await ran(name, [...address, "--log-opt", `syslog-format=${format}`], "echo out; echo err >&2; printf end");
    await waitFor("three messages", () => host.received().length === 3 * at + 3);
    const messages = host
      .received()
      .slice(3 * at)
      .toSorted();
    expect(messages[0]).toMatch(new RegExp(`^<27>${head}err\n$`));
    expect(messages.find((line) => line.endsWith("end\n"))).toMatch(new RegExp(`^<30>${head}end\n$`));
    expect(messages.find((line) => line.endsWith("out\n"))).toMatch(new RegExp(`^<30>${head}out\n$`));
    // The copy is what `logs` reads.
    expect((await engine.ctr("logs", name)).stdout).toBe("out\nend");
    await engine.ok("rm", name);
  }
  await ran(
    "uncopied",
    ["--log-driver", "syslog", "--log-opt", `syslog-address=unixgram://${path}`, "--log-opt", "cache-disabled=true"],
    "true",
  );
  expect(await engine.fails(1, "logs", "uncopied")).toContain("does not support reading");
  await engine.ok("rm", "uncopied");
});

test.if(OWN)("syslog: UDP, TCP, a stream socket; facility and default tag", async () => {
  for (const kind of ["udp", "tcp", "unix"] as const) {
    await using host = await collect(kind, kind === "unix" ? `${engine.scratch}/stream` : "0");
    const address = kind === "unix" ? `unix://${host.place}` : `${kind}://127.0.0.1:${host.place}`;
    const options = ["--log-driver", "syslog", "--log-opt", `syslog-address=${address}`];
    const id = await ran(kind, [...options, "--log-opt", "syslog-facility=local0"], "probe lines 100 100");
    const text = () => host.received().join("");
    await waitFor("100 lines", () => text().split("\n").length === 101);
    expect(
      text().replaceAll(/^<134>[A-Z][a-z]{2} [ \d]\d [\d:]{8} (\S{12})\[\d+\]: /gm, (_all, tag) =>
        tag === id.slice(0, 12) ? "" : tag,
      ),
    ).toBe(numbered(100, 100));
    await engine.ok("rm", kind);
  }
});

test.if(OWN)("syslog: TLS, with the server's certificate checked", async () => {
  const [key, certificate] = [`${engine.scratch}/key.pem`, `${engine.scratch}/cert.pem`];
  const made = Bun.spawnSync([
    ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
  ]);
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
  await using host = await collect("tls", "0", certificate, key);
  const address = ["--log-driver", "syslog", "--log-opt", `syslog-address=tcp+tls://127.0.0.1:${host.place}`];
  expect(await engine.fails(125, "run", "--rm", "--network", "none", ...address, image, "true")).toContain(
    "failed to initialize logging driver",
  );
  await ran(
    "secret",
    [...address, "--log-opt", `syslog-tls-ca-cert=${certificate}`, "--log-opt", "syslog-format=rfc5424"],
    "echo one; echo two",
  );
  const text = () => host.received().join("");
  await waitFor("two messages", () => text().endsWith("two\n"));
  // RFC 5425: each message after its length.
  const [, length, message] = /^(\d+) (<30>1 [^\n]* - one\n)\d+ <30>1 [^\n]* - two\n$/.exec(text()) ?? [];
  expect(message?.length).toBe(Number(length));
  await engine.ok("rm", "secret");
});

test.if(OWN)("syslog: a log host that comes back is found again, and told what was lost", async () => {
  const path = `${engine.scratch}/flaky`;
  const first = await collect("unixgram", path);
  const options = ["--log-driver", "syslog", "--log-opt", `syslog-address=unixgram://${path}`, "--log-opt", "tag=t"];
  const talker = engine.spawn("run", "-i", "--name", "flaky", "--network", "none", ...options, image, "cat");
  const say = async (line: string) => {
    talker.stdin.write(`${line}\n`);
    await talker.stdin.flush();
  };
  await say("before");
  await waitFor("a message", () => first.received().length === 1);
  await first[Symbol.asyncDispose]();
  unlinkSync(path);
  await say("nobody");
  await say("hears");
  await waitFor("the copy", async () => (await engine.ctr("logs", "flaky")).stdout.includes("hears"));
  await using second = await collect("unixgram", path);
  await say("after");
  await waitFor("two messages", () => second.received().length === 2);
  expect(second.received().map((line) => line.replace(/^<(\d+)>.*: /, "$1 "))).toEqual([
    "27 ctr: 2 messages were lost before this\n".replace(/^27 ctr: /, "27 "),
    "30 after\n",
  ]);
  await talker.stdin.end();
  await talker.exited;
  await engine.ok("rm", "flaky");
});

test.if(OWN)(
  "a log host that does not read holds the container up, unless it need not wait",
  async () => {
    const path = `${engine.scratch}/stuck`;
    await using host = await collect("unixgram", path);
    process.kill(host.pid, "SIGSTOP");
    const options = ["--log-driver", "syslog", "--log-opt", `syslog-address=unixgram://${path}`];
    const script = "probe lines 30000 100; echo done > /done; exec probe pause";
    const isDone = async (name: string) => (await engine.ctr("exec", name, "cat", "/done")).stdout === "done\n";
    await engine.ok(...DETACHED, "--name", "waits", ...options, image, "sh", "-c", script);
    const free = ["--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=100k"];
    await engine.ok(...DETACHED, "--name", "hurries", ...options, ...free, image, "sh", "-c", script);
    await waitFor("the one that need not wait", () => isDone("hurries"));
    expect(await isDone("waits")).toBe(false);
    process.kill(host.pid, "SIGCONT");
    await waitFor("the other one", () => isDone("waits"), 20_000);
    await waitFor("the notice", () =>
      host.received().some((line) => /\d+ bytes of output were dropped here/.test(line)),
    );
    // All of the one that waited came; of the other the beginning, what fits in the buffer, and the end.
    await waitFor(
      "all lines",
      () => host.received().filter((line) => line.endsWith(`${"29999".padStart(99, "0")}\n`)).length === 2,
      30_000,
    );
    expect(host.received().length).toBeGreaterThan(30_000);
    expect(host.received().length).toBeLessThan(45_000);
    await engine.ok("rm", "-f", "waits", "hurries");
  },
  60_000,
);

test.if(OWN)("journald: the fields of Docker's, from a journal of our own", async () => {
  expect(
    await engine.fails(125, "run", "--rm", "--network", "none", "--log-driver", "journald", image, "true"),
  ).toContain("failed to initialize logging driver: journald is not enabled on this host");
  mkdirSync("/run/systemd/journal", { recursive: true });
  await using journal = await collect("unixgram", "/run/systemd/journal/socket");
  const huge = "v".repeat(100_000);
  writeFileSync(`${engine.scratch}/labels`, `big.label-1=${huge}\nalso=${huge}\nthird=${huge}\n`);
  const options = ["--log-driver", "journald", "--label-file", `${engine.scratch}/labels`, "-e", "_FOO=b\nar"];
  const id = await ran(
    "noted",
    [...options, "--log-opt", "labels=big.label-1,also,third", "--log-opt", "env=_FOO", "--log-opt", "tag={{.Name}}!"],
    "echo out; echo err >&2; head -c 20000 /dev/zero | tr '\\0' x; echo",
  );
  await waitFor("four messages", () => journal.received().length === 4);
  const messages = journal.received().map(parseEntry);
  const own = {
    CONTAINER_ID: id.slice(0, 12),
    CONTAINER_ID_FULL: id,
    CONTAINER_NAME: "noted",
    CONTAINER_TAG: "noted!",
    IMAGE_NAME: image,
    SYSLOG_IDENTIFIER: "noted!",
    BIG_LABEL_1: huge,
    ALSO: huge,
    THIRD: huge,
    FOO: "b\nar",
  };
  const of = (text: string) => messages.find((message) => message["MESSAGE"] === text);
  expect(of("out")).toMatchObject({ ...own, PRIORITY: "6" });
  expect(of("out")?.["SYSLOG_TIMESTAMP"]).toMatch(/^\d{4}-.*Z$/);
  expect(of("err")).toMatchObject({ ...own, PRIORITY: "3" });
  const [first, last] = [of("x".repeat(16_384)), of("x".repeat(3616))];
  expect(first).toMatchObject({
    CONTAINER_PARTIAL_MESSAGE: "true",
    CONTAINER_PARTIAL_ORDINAL: "1",
    CONTAINER_PARTIAL_LAST: "false",
  });
  expect(last).toMatchObject({ CONTAINER_PARTIAL_ORDINAL: "2", CONTAINER_PARTIAL_LAST: "true" });
  expect(last?.["CONTAINER_PARTIAL_MESSAGE"]).toBe(undefined);
  expect(last?.["CONTAINER_PARTIAL_ID"]).toBe(first?.["CONTAINER_PARTIAL_ID"]);
  expect((await engine.ctr("logs", "noted")).stdout).toBe(`out\n${"x".repeat(20_000)}\n`);
  await engine.ok("rm", "noted");
});

/** An entry of the native protocol: `NAME=value`, or a name, a length and that many bytes. */
function parseEntry(entry: string): { readonly [field: string]: string } {
  const fields: { [field: string]: string } = {};
  const bytes = Buffer.from(entry, "latin1");
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at);
    const line = bytes.subarray(at, end).toString();
    const equals = line.indexOf("=");
    if (equals >= 0) {
      fields[line.slice(0, equals)] = line.slice(equals + 1);
      at = end + 1;
      continue;
    }
    const length = Number(bytes.readBigUInt64LE(end + 1));
    fields[line] = bytes.subarray(end + 9, end + 9 + length).toString();
    at = end + 9 + length + 1;
  }
  return fields;
}
