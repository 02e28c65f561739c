/**
 * Seccomp profiles as the kernel enforces them. What a filter lets through is asked by test/lib/seccomp-probe.c, inside a
 * container and without a single call being made, and compared with the plain reading of the profile.
 */
import { beforeAll, describe, expect } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { capabilitiesFromFlags, DEFAULT_CAPABILITIES } from "../../internal/security/capabilities.ts";
import { ABIS, type Abi, X32_BIT } from "../../internal/security/seccomp/numbers.ts";
import { contextHere } from "../../internal/security/seccomp/on-demand.ts";
import { defaultProfile } from "../../internal/security/seccomp/profile.ts";
import { resolveProfile } from "../../internal/security/seccomp/resolve.ts";
import { stringifyJson } from "../../internal/spec/json.ts";
import type { Seccomp, SeccompAction } from "../../internal/spec/runtime.ts";
import { tempEngine } from "../lib/engine.ts";
import { randomNumbers } from "../lib/random.ts";
import { plainReader, randomArguments, randomFilter } from "../lib/seccomp-random.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const probe = `${engine.scratch}/seccomp-probe`;
const MOUNT = ["-v", `${probe}:/bin/seccomp-probe:ro`];
const onX64 = test.if(process.arch === "x64");

beforeAll(() => {
  const source = `${import.meta.dir}/../lib/seccomp-probe.c`;
  const made = Bun.spawnSync([
    "gcc",
    "-std=gnu11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-static",
    "-o",
    probe,
    source,
  ]);
  expect(made.stderr.toString()).toBe("");
});

interface Asked {
  readonly abi: Abi;
  readonly nr: number;
  readonly args: readonly bigint[];
}

/** By the name the probe knows. */
const PROBED: readonly (readonly [name: Abi["name"], word: string])[] = [
  ["SCMP_ARCH_X86_64", "x86_64"],
  ["SCMP_ARCH_X32", "x32"],
  ["SCMP_ARCH_X86", "x86"],
];

const abiOf = (name: Abi["name"]): Abi => {
  const found = ABIS.find((abi) => abi.name === name);
  if (found === undefined) throw new Error(name);
  return found;
};

/** uretprobe and uprobe of x86-64: the kernel lets them past every filter (6.14, 6.18), and ends who was not told to call. */
const PAST_FILTERS = [335, 336];

/** Every number of the three ABIs, past the last by far, each with `rounds` sets of arguments. */
function everyCall(random: (bound: number) => number, rounds: number): Asked[] {
  return PROBED.flatMap(([name]) => {
    const first = name === "SCMP_ARCH_X32" ? X32_BIT : 0;
    const beyond = [1000, 0xffff, 0x3fffffff].map((nr) => first + nr);
    const numbers = [...Array.from({ length: 520 }, (_, nr) => first + nr), ...beyond].filter(
      (nr) => name !== "SCMP_ARCH_X86_64" || !PAST_FILTERS.includes(nr),
    );
    return numbers.flatMap((nr) =>
      Array.from({ length: rounds }, (_, round) => {
        const args = randomArguments(random);
        // The first argument of socket, personality and clone; the sixth of i386 is not the probe's to give.
        if (round > 0) args[0] = BigInt(random(50));
        return { abi: abiOf(name), nr, args: args.slice(0, 5) };
      }),
    );
  });
}

function question({ abi, nr, args }: Asked): string {
  const word = PROBED.find(([name]) => name === abi.name)?.[1];
  return `${word} ${nr} ${args.join(" ")}\n`;
}

/** What a program sees of a filter's value: it happens (log and trace too, with a tracer), or fails. */
function seen(value: number): string {
  if (value >>> 16 === 0x0005) return `errno ${value & 0xffff}`;
  return [0x7fff, 0x7ffc, 0x7ff0].includes(value >>> 16) ? "let" : `value ${value.toString(16)}`;
}

/** Asks a container's program; each difference from what the filter says is a line. */
async function differences(
  command: readonly string[],
  asked: readonly Asked[],
  wanted: (call: Asked) => string,
): Promise<string[]> {
  const { stdout, stderr, status } = await engine.ctrWith({ stdin: asked.map(question).join("") }, ...command);
  if (status !== 0) throw new Error(`${command.join(" ")}: ${status}: ${stdout.slice(-200)} ${stderr}`);
  const answers = stdout.trimEnd().split("\n");
  expect(answers).toHaveLength(asked.length);
  return asked.flatMap((call, at) => {
    const want = wanted(call);
    return answers[at] === want ? [] : [`${question(call).trim()}: ${answers[at]} instead of ${want}`];
  });
}

/** `wanted` of a filter. */
function reading(seccomp: Seccomp): (call: Asked) => string {
  const readers = new Map(PROBED.map(([name]) => [name, plainReader(seccomp, abiOf(name))] as const));
  return ({ abi, nr, args }) => seen(readers.get(abi.name)?.(nr, args) ?? 0);
}

const inside = (flags: readonly string[]) => [
  ...["run", "--rm", "-i", "--network", "none", ...MOUNT, ...flags],
  ...[image, "seccomp-probe"],
];

const byDefault = (capabilities: readonly string[]) =>
  reading(resolveProfile(defaultProfile(), contextHere(capabilities)));

describe("on the real kernel, every number of every ABI with random arguments", () => {
  const cases: readonly (readonly [string, readonly string[], (call: Asked) => string])[] = [
    ["the default profile", [], byDefault(DEFAULT_CAPABILITIES)],
    ["with --cap-add SYS_ADMIN", ["--cap-add", "SYS_ADMIN"], byDefault([...DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"])],
    ["with --cap-drop ALL", ["--cap-drop", "ALL"], byDefault([])],
    [
      "with several capabilities",
      ["--cap-drop", "ALL", "--cap-add", "BPF", "--cap-add", "sys_time", "--cap-add", "CAP_SYS_NICE"],
      byDefault(capabilitiesFromFlags(["BPF", "SYS_TIME", "SYS_NICE"], ["ALL"])),
    ],
    ["as another user", ["-u", "1000"], byDefault(DEFAULT_CAPABILITIES)],
    ["privileged: no filter", ["--privileged"], () => "let"],
    ["unconfined: no filter", ["--security-opt", "seccomp=unconfined"], () => "let"],
  ];
  for (const [name, flags, wanted] of cases) {
    onX64(name, async () => {
      expect(await differences(inside(flags), everyCall(randomNumbers(7), 2), wanted)).toEqual([]);
    });
  }

  onX64("builtin, asked for, holds for a privileged container", async () => {
    const { stdout } = await engine.ctrWith(
      { stdin: "x86_64 250\nx86_64 425\nx86_64 165\n" },
      ...inside(["--privileged", "--security-opt", "seccomp=builtin"]),
    );
    // Every capability: what belongs to one is open, what belongs to none is not.
    expect(stdout).toBe("errno 1\nerrno 1\nlet\n");
  });

  onX64("exec has the container's filter, with --privileged too", async () => {
    const id = await engine.ok("run", "-d", "--network", "none", ...MOUNT, image, "probe", "pause");
    try {
      const calls = everyCall(randomNumbers(11), 1);
      const wanted = byDefault(DEFAULT_CAPABILITIES);
      expect(await differences(["exec", "-i", id, "seccomp-probe"], calls, wanted)).toEqual([]);
      expect(await differences(["exec", "-i", "--privileged", id, "seccomp-probe"], calls, wanted)).toEqual([]);
    } finally {
      await engine.ok("rm", "-f", id);
    }
  });

  // What a program needs to begin and the probe to ask: random profiles leave it alone. And what answers for others.
  const NEEDED = new Set(
    `read write close fstat newfstatat mmap mprotect munmap brk ioctl execve arch_prctl set_tid_address set_robust_list
    rseq prlimit64 readlink readlinkat getrandom futex clone clone3 prctl seccomp rt_sigaction rt_sigprocmask
    clock_nanosleep madvise exit exit_group ipc socketcall`.split(/\s+/),
  );
  // More with CTR_FUZZ_ROUNDS.
  const rounds = Math.ceil(Number(process.env["CTR_FUZZ_ROUNDS"] ?? 100) / 20);
  for (let seed = 1; seed <= rounds; seed++) {
    onX64(`a random profile, seed ${seed}`, async () => {
      const random = randomNumbers(seed);
      const names = [...new Set(PROBED.flatMap(([name]) => [...abiOf(name).numbers().keys()]))];
      const filter = randomFilter(
        random,
        names.filter((name) => !NEEDED.has(name)),
        { architectures: PROBED.map(([name]) => name) },
      );
      // What ends the thread is for the tests beside the code: here each call must come back.
      const mild = (action: SeccompAction) => (/KILL|TRAP|NOTIFY/.test(action) ? "SCMP_ACT_ERRNO" : action);
      const profile: Seccomp = {
        ...filter,
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: (filter.syscalls ?? []).map((rule) => ({ ...rule, action: mild(rule.action) })),
      };
      const path = `${engine.scratch}/random-${seed}.json`;
      writeFileSync(path, stringifyJson(profile));
      const multiplexers = [102, 117];
      const calls = everyCall(random, 2).filter(
        ({ abi, nr }) => abi.name !== "SCMP_ARCH_X86" || !multiplexers.includes(nr),
      );
      expect(await differences(inside(["--security-opt", `seccomp=${path}`]), calls, reading(profile))).toEqual([]);
    });
  }
});

describe("a profile of one's own", () => {
  const write = (name: string, profile: unknown): string => {
    const path = `${engine.scratch}/${name}.json`;
    writeFileSync(path, typeof profile === "string" ? profile : JSON.stringify(profile));
    return path;
  };
  const run = (path: string, ...program: readonly string[]) =>
    engine.ctr("run", "--rm", "--network", "none", "--security-opt", `seccomp=${path}`, image, ...program);

  test("that is wrong is refused before anything is made, in one line that says where", async () => {
    const rule = (fields: object) => ({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["a"], ...fields }] });
    const rows: readonly (readonly [unknown, string])[] = [
      ["{", "compacting json for seccomp profile"],
      ["[]", "not a JSON object"],
      [{}, "defaultAction: is missing"],
      [rule({ action: "ALLOW" }), "syscalls[0].action: must be one of SCMP_ACT_ALLOW"],
      [
        rule({ action: "SCMP_ACT_LOG", args: [{ index: 9, value: 0, op: "SCMP_CMP_EQ" }] }),
        "syscalls[0].args[0].index: must be between 0 and 5",
      ],
      [{ defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_Z80"] }, 'unknown architecture "SCMP_ARCH_Z80"'],
      [{ defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_WHAT"] }, "unknown flag"],
      [{ defaultAction: "SCMP_ACT_NOTIFY" }, "SCMP_ACT_NOTIFY cannot be the default action"],
      [rule({ action: "SCMP_ACT_NOTIFY" }), "SCMP_ACT_NOTIFY needs listenerPath"],
    ];
    for (const [at, [profile, words]] of rows.entries()) {
      const path = write(`wrong-${at}`, profile);
      for (const command of ["run", "create"]) {
        const option = `seccomp=${path}`;
        const result = await engine.ctr(command, "--network", "none", "--security-opt", option, image, "true");
        expect(result.status).toBe(command === "create" && at > 1 ? 1 : 125);
        expect(result.stderr).toContain(words);
        // Docker's hint after what is a flag's fault; the reason itself is one line.
        expect(result.stderr.split("\n").filter((line) => line.startsWith("ctr:"))).toHaveLength(1);
      }
    }
    expect(await engine.ok("ps", "-aq")).toBe("");
  });

  test("may refuse what ctr itself used on the way: only execve is needed after the filter is in place", async () => {
    const names = ["capset", "prctl", "setresuid", "setgroups", "close_range", "seccomp", "rt_sigprocmask", "umask"];
    const strict = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names, action: "SCMP_ACT_KILL_PROCESS" }] };
    const { stdout, status } = await run(write("strict", strict), "probe", "caps");
    expect(status).toBe(0);
    expect(stdout).toContain("CapBnd:\t00000000a80425fb");
    expect(stdout).toContain("CapEff:\t00000000a80425fb");
    // A further program is born by clone, with what the filter took to install taken away before.
    const later = write("later", {
      ...strict,
      syscalls: [{ names: names.filter((name) => name !== "capset"), action: "SCMP_ACT_KILL_PROCESS" }],
    });
    const id = await engine.ok(
      ...["run", "-d", "--network", "none", "--security-opt", `seccomp=${later}`, image, "probe", "pause"],
    );
    try {
      expect(await engine.ok("exec", id, "probe", "caps")).toContain("CapEff:\t00000000a80425fb");
    } finally {
      await engine.ok("rm", "-f", id);
    }
  });

  test("that refuses execve ends the start with the kernel's word, or with the program's end", async () => {
    const refuse = (action: string) => ({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["execve", "execveat"], action, ...(action.endsWith("ERRNO") ? { errnoRet: 13 } : {}) }],
    });
    const denied = await run(write("no-exec", refuse("SCMP_ACT_ERRNO")), "true");
    expect([denied.status, denied.stderr]).toEqual([126, expect.stringContaining("permission denied")]);
    expect((await run(write("kill-exec", refuse("SCMP_ACT_KILL_PROCESS")), "true")).status).toBe(159); // 128 + SIGSYS
    const nothing = await run(write("nothing", { defaultAction: "SCMP_ACT_ERRNO" }), "true");
    expect(nothing.status).not.toBe(0);
  });

  test("may ask an agent: it is sent the listener and the container, for the program and for each exec", async () => {
    const socket = `${engine.scratch}/agent.sock`;
    const agent = Bun.spawn([probe, "agent", socket, "77", "2"], { stdout: "pipe" });
    const profile = {
      defaultAction: "SCMP_ACT_ALLOW",
      listenerPath: socket,
      listenerMetadata: "for the agent",
      syscalls: [{ names: ["sync"], action: "SCMP_ACT_NOTIFY" }],
    };
    const path = write("notify", profile);
    await waitFor("the agent", () => existsSync(socket));
    const id = await engine.ok(
      ...["run", "-d", "--network", "none", "--security-opt", `seccomp=${path}`, image],
      ...["sh", "-c", "probe syscall 162; exec probe pause"],
    );
    try {
      await waitFor("the program", async () => (await engine.ok("logs", id)).includes("ready"));
      expect(await engine.ok("logs", id)).toBe("errno 77\nready");
      expect(await engine.ok("exec", id, "probe", "syscall", "162")).toBe("errno 77");
      const pid = Number(await engine.ok("inspect", "-f", "{{.State.Pid}}", id));
      const [ready, first = "", call, second = "", again] = (await agent.stdout.text()).split("\n");
      expect([ready, call, again]).toEqual(["ready", "call 162", "call 162"]);
      const told = { ociVersion: "1.2.0", fds: ["seccompFd"], pid, metadata: "for the agent" };
      expect(JSON.parse(first)).toMatchObject({ ...told, state: { id, pid, status: "creating" } });
      expect(JSON.parse(second)).toMatchObject({ ...told, state: { id, pid, status: "running" } });
      expect(JSON.parse(first).state.bundle).toEndWith(id);
    } finally {
      await engine.ok("rm", "-f", id);
      agent.kill();
    }
    // Nobody listens any more.
    const alone = await run(path, "true");
    expect(alone.status).toBe(125);
    expect(alone.stderr).toContain("listenerPath");
  });

  test("may have flags", async () => {
    const flags = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"];
    const { stdout, status } = await run(
      write("flags", { defaultAction: "SCMP_ACT_ALLOW", flags }),
      "probe",
      "seccomp",
    );
    expect([status, stdout]).toEqual([0, "NoNewPrivs:\t0\nSeccomp:\t2\n"]);
  });

  test("every action is what the kernel makes of it", async () => {
    const act = async (action: string, more: object = {}) => {
      const path = write("action", {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["sync"], action, ...more }],
      });
      const result = await run(path, "sh", "-c", "probe syscall 162; echo $?");
      return result.stdout;
    };
    expect(await act("SCMP_ACT_ALLOW")).toBe("ok 0\n0\n");
    expect(await act("SCMP_ACT_LOG")).toBe("ok 0\n0\n");
    expect(await act("SCMP_ACT_ERRNO")).toBe("errno 1\n0\n");
    expect(await act("SCMP_ACT_ERRNO", { errnoRet: 44 })).toBe("errno 44\n0\n");
    expect(await act("SCMP_ACT_TRACE", { errnoRet: 44 })).toBe("errno 38\n0\n"); // nobody traces
    expect(await act("SCMP_ACT_TRAP")).toEndWith("159\n");
    expect(await act("SCMP_ACT_KILL")).toEndWith("159\n");
    expect(await act("SCMP_ACT_KILL_PROCESS")).toEndWith("159\n");
  });
});

onX64("the caller's keys are no container's: each has a session keyring of its own", async () => {
  const ring = ["probe", "syscall", "250", "0", "-3", "0"]; // keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING)
  const run = ["run", "--rm", "--network", "none", "--privileged", image];
  const [first, second] = [await engine.ok(...run, ...ring), await engine.ok(...run, ...ring)];
  expect(first).toMatch(/^ok \d+$/);
  expect(second).toMatch(/^ok \d+$/);
  expect(second).not.toBe(first);
});

describe("seccomp explain", () => {
  test("says what the profile answers, for which arguments, and by which rule", async () => {
    expect(await engine.ok("seccomp", "explain", "--arch", "x86_64", "clone")).toBe(
      `clone (56) on x86_64
  allowed if arg0 & 0x7e020000 is 0
    syscalls[60]
  EPERM (operation not permitted), otherwise
    the default: no rule about it holds
  syscalls[47] (SCMP_ACT_ALLOW) does not count here: it needs CAP_SYS_ADMIN`,
    );
    expect(
      await engine.ok("seccomp", "explain", "--arch", "x86_64", "--cap-add", "SYS_ADMIN", "clone", "0x10000011"),
    ).toStartWith("clone (56) on x86_64\n  allowed\n    syscalls[47]\n");
    expect(await engine.ok("seccomp", "explain", "--privileged", "--arch", "arm64", "mount")).toContain(
      "there is no filter",
    );
    const path = `${engine.scratch}/own.json`;
    writeFileSync(path, '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"mkdir","action":"SCMP_ACT_KILL"}]}');
    expect(await engine.ok("seccomp", "explain", "--profile", path, "--arch", "x86_64", "mkdir")).toBe(
      "mkdir (83) on x86_64\n  ends the thread\n    syscalls[0]",
    );
  });

  test("names what it does not know", async () => {
    const explain = (...words: readonly string[]) => engine.fails(1, "seccomp", "explain", ...words);
    expect(await explain("nope")).toBe('ctr: unknown system call "nope"\n');
    expect(await explain("--arch", "z80", "read")).toContain("ctr: unknown architecture z80: one of x86_64");
    expect(await explain("--cap-add", "nope", "read")).toContain('unknown capability: "CAP_NOPE"');
    expect(await explain("read", "x")).toContain('ctr: invalid argument "x": must be a number');
    writeFileSync(`${engine.scratch}/bad.json`, '{"defaultAction":7}');
    expect(await explain("--profile", `${engine.scratch}/bad.json`, "read")).toContain(
      "Decoding seccomp profile failed: defaultAction: must be one of",
    );
  });
});

test("nothing is left", () => engine.expectNothingLeft());
