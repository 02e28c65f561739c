/** config.md#process, #user, #linux-process, #posix-process */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { worldOf } from "../harness.ts";
import { check, includes, type Run, refuses, runs, type Scene, same, scene, that } from "../scene.ts";

const PROCESS = "config.md#process";
const POSIX = "config.md#posix-process";
const LINUX = "config.md#linux-process";
const USER = "config.md#posix-platform-user";

/** CAP_KILL, by number 5. */
const KILL = "20";
const CAPABILITIES = ["CAP_KILL"];
const FIVE_SETS = {
  bounding: CAPABILITIES,
  effective: CAPABILITIES,
  permitted: CAPABILITIES,
  inheritable: CAPABILITIES,
  ambient: CAPABILITIES,
};

export const PROCESS_SCENES: readonly Scene[] = [
  runs(
    "a user with everything",
    {
      process: {
        user: { uid: 1000, gid: 1001, additionalGids: [5, 6], umask: 0o027 },
        cwd: "/home/user",
        env: ["PATH=/bin", "KEY=value", "LONG_KEY_1=with spaces = and more", "EMPTY="],
        rlimits: [
          { type: "RLIMIT_NOFILE", soft: 512, hard: 1024 },
          { type: "RLIMIT_CORE", soft: 0, hard: 0 },
          { type: "RLIMIT_STACK", soft: 4194304, hard: 8388608 },
        ],
        oomScoreAdj: 123,
        noNewPrivileges: true,
        capabilities: FIVE_SETS,
      },
    },
    ["a", "read:/proc/self/setgroups"],
    check(USER, "MUST", "uid specifies the user ID in the container namespace", ({ world }) =>
      same(world.uid, [1000, 1000, 1000]),
    ),
    check(USER, "MUST", "gid specifies the group ID in the container namespace", ({ world }) =>
      same(world.gid, [1001, 1001, 1001]),
    ),
    check(USER, "MUST", "additionalGids are added to the process", ({ world }) =>
      includes(world.groups.map(String), "5", "6"),
    ),
    check(USER, "MUST", "no other group is added to the process", ({ world }) =>
      same(
        world.groups.filter((group) => ![5, 6, 1001].includes(group)),
        [],
      ),
    ),
    check(USER, "MUST", "umask is the process's", ({ world }) => same(world.umask, 0o027)),
    check(PROCESS, "MUST", "cwd is the working directory of the executable", ({ world }) =>
      same(world.cwd, "/home/user"),
    ),
    check(PROCESS, "MUST", "env has the semantics of environ: what is given is there, as given", ({ world }) =>
      includes(world.env, "PATH=/bin", "KEY=value", "LONG_KEY_1=with spaces = and more", "EMPTY="),
    ),
    check(PROCESS, "MUST", "nothing of the runtime's own environment reaches the process", ({ world }) =>
      same(
        world.env.filter((word) => !/^(PATH|KEY|LONG_KEY_1|EMPTY|HOME)=/.test(word)),
        [],
      ),
    ),
    check(PROCESS, "MUST", "args has the semantics of execvp's argv", ({ world }) =>
      same(world.args, ["/world", "a", "read:/proc/self/setgroups"]),
    ),
    check(POSIX, "MUST", "rlimits: the soft limit corresponds to rlim.rlim_cur", ({ world }) =>
      same(world.rlimits["RLIMIT_NOFILE"]?.[0], 512),
    ),
    check(POSIX, "MUST", "rlimits: the hard limit corresponds to rlim.rlim_max", ({ world }) =>
      same(world.rlimits["RLIMIT_NOFILE"]?.[1], 1024),
    ),
    check(POSIX, "MUST", "rlimits: every entry of the list is set", ({ world }) =>
      same(
        [world.rlimits["RLIMIT_CORE"], world.rlimits["RLIMIT_STACK"]],
        [
          [0, 0],
          [4194304, 8388608],
        ],
      ),
    ),
    check(LINUX, "MUST", "oomScoreAdj: /proc/[pid]/oom_score_adj holds the given value", ({ world }) =>
      same(world.oomScoreAdj, "123"),
    ),
    check(LINUX, "MUST", "noNewPrivileges prevents the process from gaining additional privileges", ({ world }) =>
      same(world.noNewPrivileges, 1),
    ),
    ...(["bounding", "effective", "permitted", "inheritable", "ambient"] as const).map((set) =>
      check<Run>(LINUX, "MUST", `capabilities.${set} is the process's set, with a user that is not root`, ({ world }) =>
        same(world.capabilities[set], KILL),
      ),
    ),
    check(PROCESS, "MUST", "terminal defaults to false: the process has no terminal", ({ world }) =>
      same([world.terminal, world.controllingTerminal], [false, false]),
    ),
  ),
  runs(
    "root with few capabilities",
    {
      process: {
        capabilities: {
          bounding: ["CAP_KILL", "CAP_CHOWN"],
          effective: ["CAP_KILL"],
          permitted: ["CAP_KILL", "CAP_CHOWN"],
          inheritable: ["CAP_CHOWN"],
        },
        noNewPrivileges: false,
      },
    },
    [],
    check(LINUX, "MUST", "capabilities.bounding limits what root has", ({ world }) => {
      same(world.capabilities["bounding"], "21");
      same(world.capabilities["permitted"], "21");
    }),
    check(LINUX, "MUST", "capabilities.inheritable is the process's set, with root", ({ world }) =>
      same(world.capabilities["inheritable"], "1"),
    ),
    check(LINUX, "MUST", "an absent set of capabilities is empty", ({ world }) =>
      same(world.capabilities["ambient"], "0"),
    ),
    check(LINUX, "MUST", "noNewPrivileges false leaves the process as it is", ({ world }) =>
      same(world.noNewPrivileges, 0),
    ),
  ),
  runs(
    "a process without capabilities",
    { process: { capabilities: undefined, noNewPrivileges: undefined } },
    ["sethostname:other"],
    check(LINUX, "SHOULD", "without capabilities the process has none", ({ world, answers }) => {
      same(world.capabilities["permitted"], "0");
      same(answers.get("sethostname:other"), "errno 1");
    }),
  ),
  runs(
    "capabilities that cannot be granted",
    {
      process: {
        capabilities: { bounding: ["CAP_KILL", "CAP_SYS_RESOURCE"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"] },
      },
    },
    [],
    check(
      LINUX,
      "SHOULD",
      "a runtime does not fail for a capability that cannot be granted in the bounding set",
      ({ world }) => that((BigInt(`0x${world.capabilities["bounding"]}`) & 0x20n) === 0x20n, "CAP_KILL is not there"),
    ),
  ),
  runs(
    "a capability the kernel does not know",
    {
      process: {
        capabilities: {
          bounding: ["CAP_KILL", "CAP_UNKNOWN"],
          effective: ["CAP_KILL", "CAP_UNKNOWN"],
          permitted: ["CAP_KILL", "CAP_UNKNOWN"],
        },
      },
    },
    [],
    check(LINUX, "SHOULD", "a runtime does not fail for an unknown capability", ({ world }) =>
      same(world.capabilities["bounding"], KILL),
    ),
    check(LINUX, "MUST", "a capability that cannot be mapped is logged as a warning", ({ outcome }) =>
      that(/CAP_UNKNOWN/.test(outcome.stderr), `the warning is missing: ${outcome.stderr}`),
    ),
  ),
  runs(
    "defaults",
    { process: { env: ["PATH=/bin"] }, hostname: undefined },
    [],
    check(USER, "SHOULD", "without additionalGids no other group is added", ({ world }) =>
      same(
        world.groups.filter((group) => group !== 0),
        [],
      ),
    ),
    check(USER, "SHOULD", "without umask it is 0022", ({ world }) => same(world.umask, 0o022)),
    check(LINUX, "MUST", "without oomScoreAdj the runtime does not change it", ({ world }) =>
      same(world.oomScoreAdj, "0"),
    ),
    check(PROCESS, "SHOULD", "no signal is blocked or ignored", ({ world }) =>
      same([world.blocked, world.ignored], [[], []]),
    ),
    check(PROCESS, "SHOULD", "the process has its three descriptors and no others", ({ world }) =>
      same(Object.keys(world.fds), ["0", "1", "2"]),
    ),
    check(PROCESS, "SHOULD", "no parent-death signal is left set", ({ world }) => same(world.parentDeathSignal, 0)),
    check("config.md#process", "SHOULD", "the process leads a session of its own", ({ world }) =>
      same(world.session, world.pid),
    ),
  ),
  scene("the search of PATH", ({ driver, bundle }) => {
    mkdirSync(`${bundle.rootfs}/usr/bin`, { recursive: true });
    bundle.copy("usr/bin/found");
    bundle.configure({ process: { args: ["found", "x"], env: ["PATH=/bin:/usr/bin"] } });
    const found = driver.run(bundle);
    bundle.configure({ process: { args: ["not-there"] } });
    return { found, missing: driver.run(bundle), bundle };
  })(
    check(PROCESS, "MUST", "args[0] is searched in PATH, as execvp does", ({ found }) =>
      same(worldOf(found).args, ["found", "x"]),
    ),
    check(PROCESS, "MUST", "an executable that is not there is an error", ({ missing }) =>
      that(missing.status !== 0 && /not-there/.test(missing.stderr), missing.stderr),
    ),
  ),
  scene("a working directory that is not there", ({ driver, bundle }) => {
    symlinkSync("/home/user", `${bundle.rootfs}/link`);
    bundle.configure({ process: { cwd: "/link" } });
    return driver.run(bundle);
  })(
    check(PROCESS, "MUST", "cwd may be a link inside the container", (outcome) =>
      same(worldOf(outcome).cwd, "/home/user"),
    ),
  ),
  refuses(
    "a relative working directory",
    { process: { cwd: "home" } },
    PROCESS,
    "MUST",
    "cwd is an absolute path",
    /cwd/i,
  ),
  refuses("no arguments", { process: { args: [] } }, PROCESS, "MUST", "args has one or more strings", /args/),
  refuses(
    "an unknown resource limit",
    { process: { rlimits: [{ type: "RLIMIT_NOTHING", soft: 1, hard: 1 }] } },
    POSIX,
    "MUST",
    "rlimits: a type that maps to nothing is an error",
    /RLIMIT_NOTHING/,
  ),
  refuses(
    "a resource limit given twice",
    {
      process: {
        rlimits: [
          { type: "RLIMIT_NOFILE", soft: 1, hard: 1 },
          { type: "RLIMIT_NOFILE", soft: 2, hard: 2 },
        ],
      },
    },
    POSIX,
    "MUST",
    "rlimits: duplicated entries of one type are an error",
    /RLIMIT_NOFILE|rlimit/,
  ),
  refuses(
    "a soft limit above the hard one",
    { process: { rlimits: [{ type: "RLIMIT_NOFILE", soft: 20, hard: 10 }] } },
    POSIX,
    "MUST",
    "rlimits: a limit that the kernel refuses is an error",
    /NOFILE|rlimit|limit/i,
  ),
  runs(
    "scheduling",
    { process: { scheduler: { policy: "SCHED_BATCH", nice: 7, flags: ["SCHED_FLAG_RESET_ON_FORK"] } } },
    [],
    check(LINUX, "MUST", "scheduler.policy is the process's", ({ world }) => same(world.scheduler["policy"], 3)),
    check(LINUX, "MUST", "scheduler.nice is the process's", ({ world }) => same(world.scheduler["nice"], 7)),
    check(LINUX, "MUST", "scheduler.flags are set", ({ world }) => same((world.scheduler["flags"] ?? 0) & 1, 1)),
  ),
  runs(
    "idle scheduling",
    { process: { scheduler: { policy: "SCHED_IDLE" } } },
    [],
    check(LINUX, "MUST", "scheduler.policy SCHED_IDLE", ({ world }) => same(world.scheduler["policy"], 5)),
  ),
  refuses(
    "an unknown scheduling policy",
    { process: { scheduler: { policy: "SCHED_UNKNOWN" } } },
    LINUX,
    "MUST",
    "scheduler.policy has one of the listed values",
    /SCHED_UNKNOWN/,
  ),
  ...(
    [
      ["IOPRIO_CLASS_BE", 5, [2, 5]],
      ["IOPRIO_CLASS_RT", 1, [1, 1]],
      ["IOPRIO_CLASS_IDLE", 0, [3, 0]],
    ] as const
  ).map(([kind, priority, expected]) =>
    runs(
      `I/O priority ${kind}`,
      { process: { ioPriority: { class: kind, priority } } },
      [],
      check(LINUX, "MUST", `ioPriority: ${kind} ${priority} is the process's`, ({ world }) =>
        same(world.ioPriority, expected),
      ),
    ),
  ),
  refuses(
    "an unknown I/O class",
    { process: { ioPriority: { class: "IOPRIO_CLASS_UNKNOWN", priority: 0 } } },
    LINUX,
    "MUST",
    "ioPriority.class has one of the listed values",
    /IOPRIO_CLASS_UNKNOWN/,
  ),
  scene("an environment and a home", ({ driver, bundle }) => {
    writeFileSync(`${bundle.rootfs}/etc/passwd`, "user:x:1000:1000::/home/user:/bin/sh\n");
    bundle.configure({ process: { user: { uid: 1000, gid: 1000 }, env: ["HOME=/given", "PATH=/bin"] } });
    return worldOf(driver.run(bundle));
  })(
    check(PROCESS, "MUST", "HOME is the one that env gives", (world) =>
      same(
        world.env.filter((word) => word.startsWith("HOME=")),
        ["HOME=/given"],
      ),
    ),
  ),
];
