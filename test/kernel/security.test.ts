/** What confines a container, beyond the basics in run.test.ts: each refusal as the kernel gives it inside. */
import { describe, expect } from "bun:test";
import { existsSync, lstatSync, readdirSync, writeFileSync } from "node:fs";
import { MASKED_PATHS, READONLY_PATHS } from "../../internal/security/paths.ts";
import { seccompFilter } from "../../internal/security/seccomp.ts";
import type { Spec } from "../../internal/spec/runtime.ts";
import { open } from "../../internal/sys/fd.ts";
import { waitChild } from "../../internal/sys/process.ts";
import { spawnProcess } from "../../internal/sys/spawn.ts";
import { tempEngine } from "../lib/engine.ts";
import { isDocker } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");

const inside = (flags: readonly string[], ...program: readonly string[]) =>
  engine.ok("run", "--rm", "--network", "none", ...flags, image, ...program);

/** Several calls in one container, one answer a line: `[["keyctl", 250, "0"]]` → `["errno 1"]`. */
async function calls(
  flags: readonly string[],
  rows: readonly (readonly [string, number, ...string[]])[],
): Promise<string[]> {
  const script = rows.map(([, number, ...args]) => `probe syscall ${number} ${args.join(" ")}`).join("; ");
  const answers = (await inside(flags, "sh", "-c", script)).split("\n");
  return rows.map(([name], at) => `${name}: ${answers[at]}`);
}

// Numbers of x86-64; the arguments do nothing even where the call is allowed.
const REFUSED: readonly (readonly [string, number, ...string[]])[] = [
  ["io_uring_setup", 425, "0", "0"],
  ["io_uring_enter", 426, "-1"],
  ["io_uring_register", 427, "-1"],
  ["add_key", 248],
  ["request_key", 249],
  ["keyctl", 250, "0"],
  ["bpf", 321, "-1"],
  ["perf_event_open", 298],
  ["userfaultfd", 323, "-1"],
  ["open_tree", 428, "-1"],
  ["move_mount", 429, "-1"],
  ["fsopen", 430],
  ["fsconfig", 431, "-1"],
  ["fsmount", 432, "-1"],
  ["mount_setattr", 442, "-1"],
  ["mount", 165],
  ["umount2", 166],
  ["pivot_root", 155],
  ["swapon", 167],
  ["swapoff", 168],
  ["reboot", 169, "0", "0", "0"],
  ["init_module", 175],
  ["delete_module", 176],
  ["finit_module", 313, "-1"],
  ["kexec_load", 246, "-1"],
  ["acct", 163, "1"],
  ["settimeofday", 164, "1", "1"],
  ["clock_settime", 227, "-1", "1"],
  ["iopl", 172, "0"],
  ["ioperm", 173],
  ["quotactl", 179, "-1"],
  ["setns", 308, "-1"],
  ["unshare", 272, "0"],
  ["open_by_handle_at", 304, "-1"],
  ["syslog", 103, "-1"],
  ["vhangup", 153],
  ["kcmp", 312],
  ["sethostname", 170],
  ["personality(ADDR_NO_RANDOMIZE)", 135, "0x0040000"],
  ["socket(AF_VSOCK)", 41, "40", "1", "0"],
  ["socket(AF_ALG)", 41, "38", "5", "0"],
  ["clone(CLONE_NEWUSER)", 56, "0x10000011"],
  ["clone(CLONE_NEWNET)", 56, "0x40000011"],
  ["x32 keyctl", 0x400000fa],
];

describe("seccomp", () => {
  const onX64 = test.if(process.arch === "x64");

  onX64("what the default filter forbids answers EPERM", async () => {
    const rows = REFUSED.filter(([name]) => !isDocker() || !/^io_uring|AF_/.test(name)); // 20.10 did not refuse these yet
    expect(await calls([], rows)).toEqual(rows.map(([name]) => `${name}: errno 1`));
  });

  onX64("clone3 and what is newer than the profile answer ENOSYS", async () => {
    const rows: (readonly [string, number])[] = [
      ["clone3", 435],
      ["open_tree_attr", 467],
      ["1000", 1000],
    ];
    expect(await calls([], rows)).toEqual(rows.map(([name]) => `${name}: errno 38`));
  });

  onX64("what programs need is allowed", async () => {
    const rows: (readonly [string, number, ...string[]])[] = [
      ["getpid", 39],
      ["personality(query)", 135, "0xffffffff"],
      ["membarrier(query)", 324, "0"],
      ["landlock(version)", 444, "0", "0", "1"],
    ];
    for (const answer of await calls([], rows)) expect(answer).toMatch(/: ok \d+|: errno (38|95)$/);
    // EFAULT and EBADF come from the call itself.
    expect(
      await calls(
        [],
        [
          ["chroot", 161, "1"],
          ["ptrace", 101, "16", "999999"],
          ["process_mrelease", 448, "-1"],
        ],
      ),
    ).toEqual(["chroot: errno 14", "ptrace: errno 3", "process_mrelease: errno 9"]);
  });

  onX64("a capability opens the calls that belong to it", async () => {
    expect(
      await calls(
        ["--cap-add", "SYS_ADMIN"],
        [
          ["mount", 165, "1", "1"],
          ["setns", 308, "-1"],
        ],
      ),
    ).toEqual(["mount: errno 14", "setns: errno 9"]);
    expect(await calls(["--cap-add", "SYS_TIME"], [["clock_settime", 227, "0", "1"]])).toEqual([
      "clock_settime: errno 14",
    ]);
    expect(await calls(["--cap-drop", "SYS_CHROOT"], [["chroot", 161, "1"]])).toEqual(["chroot: errno 1"]);
    expect(
      await calls(
        ["--cap-drop", "ALL"],
        [
          ["chroot", 161, "1"],
          ["getpid", 39],
        ],
      ),
    ).toEqual(["chroot: errno 1", "getpid: ok 1"]);
  });

  onX64("another user is filtered too", async () => {
    expect(
      await calls(
        ["-u", "alice"],
        [
          ["keyctl", 250, "0"],
          ["unshare", 272, "0x10000000"],
        ],
      ),
    ).toEqual(["keyctl: errno 1", "unshare: errno 1"]);
  });

  onX64("exec is filtered as the container is", async () => {
    const id = await engine.ok("run", "-d", "--network", "none", image, "probe", "pause");
    try {
      expect(await engine.ok("exec", id, "probe", "seccomp")).toBe("NoNewPrivs:\t0\nSeccomp:\t2");
      expect((await engine.ctr("exec", id, "probe", "syscall", "250", "0")).stdout).toBe("errno 1\n");
      expect((await engine.ctr("exec", id, "probe", "caps")).stdout).toContain("CapBnd:\t00000000a80425fb");
      expect(await engine.ok("exec", id, "probe", "fds")).toMatch(/^0 \S+\n1 \S+\n2 \S+$/);
    } finally {
      await engine.ok("rm", "-f", id);
    }
  });

  test("an option nobody knows, and a profile that does not parse, stop the start", async () => {
    writeFileSync(`${engine.scratch}/bad.json`, "{");
    writeFileSync(`${engine.scratch}/wrong.json`, '{"defaultAction":"SCMP_ACT_WHATEVER"}');
    for (const option of [
      "nonsense",
      "seccomp=/does/not/exist",
      `seccomp=${engine.scratch}/bad.json`,
      `seccomp=${engine.scratch}/wrong.json`,
    ]) {
      const result = await engine.ctr("run", "--rm", "--network", "none", "--security-opt", option, image, "true");
      expect(result.status).toBe(125);
    }
    expect(await engine.ok("ps", "-aq")).toBe("");
  });

  test("--security-opt seccomp=FILE: the profile is in force for the program and for exec", async () => {
    const profile = {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [
        { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 1 },
        { names: ["chroot"], action: "SCMP_ACT_ERRNO", excludes: { caps: ["CAP_SYS_CHROOT"] } },
      ],
    };
    const path = `${engine.scratch}/profile.json`;
    writeFileSync(path, JSON.stringify(profile, null, 2));
    const id = await engine.ok(
      ...["run", "-d", "--network", "none", "--security-opt", `seccomp=${path}`, image],
      ...["sh", "-c", "mkdir /x; chroot / true && echo chroot; exec probe pause"],
    );
    try {
      await waitFor("the program", async () => (await engine.ctr("logs", id)).stdout.includes("ready"));
      const { stdout, stderr } = await engine.ctr("logs", id);
      expect(stdout).toStartWith("chroot\n");
      expect(stderr).toContain("Operation not permitted");
      expect((await engine.ctr("exec", id, "mkdir", "/y")).stderr).toContain("Operation not permitted");
      if (!isDocker) {
        const shown = JSON.parse(await engine.ok("inspect", "-f", "{{json .HostConfig.SecurityOpt}}", id));
        expect(shown).toEqual([`seccomp=${JSON.stringify(profile)}`]);
      }
    } finally {
      await engine.ok("rm", "-f", id);
    }
  });

  /** The program that init would load for this spec, loaded here by a child with no_new_privs. */
  async function childStatus(
    spec: Pick<Spec, "linux" | "annotations" | "process">,
    program: string,
  ): Promise<number | undefined> {
    const seccomp = (await seccompFilter(spec))?.program;
    using input = open("/dev/null", 0);
    const child = spawnProcess(
      {
        uid: 0,
        gid: 0,
        groups: [],
        bounding: 0n,
        effective: 0n,
        permitted: 0n,
        inheritable: 0n,
        ambient: 0n,
        noNewPrivileges: true,
        ...(seccomp === undefined ? {} : { seccomp }),
        candidates: ["/bin/sh"],
        args: ["sh", "-c", program],
        env: ["PATH=/usr/bin:/bin"],
      },
      { fds: [input.number, 1, 2] },
    );
    return waitChild(child.pid, true)?.status;
  }

  test("the kernel takes the program of any filter, with every action and comparison", async () => {
    const base = { user: { uid: 0, gid: 0 }, args: ["sh"], cwd: "/" };
    expect(await childStatus({ process: base }, "exit 7")).toBe(7);
    expect(await childStatus({ process: base, annotations: { "ctr.seccomp": "default" } }, "exit 7")).toBe(7);
    const all = { ...base, capabilities: { bounding: ["CAP_SYS_ADMIN", "CAP_BPF", "CAP_SYS_NICE"] } };
    expect(await childStatus({ process: all, annotations: { "ctr.seccomp": "default" } }, "exit 7")).toBe(7);
    const linux = {
      seccomp: {
        defaultAction: "SCMP_ACT_ALLOW",
        architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"],
        syscalls: [
          { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 },
          { names: ["chdir"], action: "SCMP_ACT_KILL_PROCESS" },
          { names: ["kill"], action: "SCMP_ACT_ERRNO", args: [{ index: 1, value: 40, op: "SCMP_CMP_GT" }] },
        ],
      },
    } as const;
    expect(await childStatus({ process: base, linux }, "mkdir /tmp/x 2>&1 | grep -q 'No space left'")).toBe(0);
    expect(await childStatus({ process: base, linux }, "cd /tmp; exit 7")).toBe(159); // 128 + SIGSYS
    expect(await childStatus({ process: base, linux }, "kill -0 $$ && ! kill -41 $$ 2>/dev/null && exit 7")).toBe(7);
  });
});

describe("privileges", () => {
  test("no-new-privileges: a set-user-ID program gains nothing; without it it does", async () => {
    const become = async (...flags: readonly string[]) => {
      const id = await engine.ok("run", "-d", "--network", "none", ...flags, image, "probe", "pause");
      try {
        await engine.ok("exec", id, "sh", "-c", "cp /bin/probe /root-probe && chmod 4755 /root-probe");
        return (await engine.ok("exec", "-u", "alice", id, "/root-probe", "ids")).split("\n")[0];
      } finally {
        await engine.ok("rm", "-f", id);
      }
    };
    expect(await become()).toMatch(/^uid [1-9]\d* 0 0$/);
    expect(await become("--security-opt", "no-new-privileges")).toMatch(/^uid ([1-9]\d*) \1 \1$/);
  });

  // runc asks for capabilities that the machine itself may lack; ctr grants what there is.
  test.if(!isDocker())("--cap-add ALL --cap-drop: everything but what is dropped", async () => {
    const caps = await inside(["--cap-add", "ALL", "--cap-drop", "CHOWN", "--cap-drop", "sys_admin"], "probe", "caps");
    const effective = BigInt(`0x${/CapEff:\t(\w+)/.exec(caps)?.[1]}`);
    expect(effective & 0x200001n).toBe(0n);
    expect(effective & 0x1000n).toBe(0x1000n);
  });

  test.each([
    ["--cap-add", 'invalid CapAdd: unknown capability: "CAP_NOPE"'],
    ["--cap-drop", 'invalid CapDrop: unknown capability: "CAP_NOPE"'],
  ])("%s: a name nobody knows is 125", async (flag, words) => {
    expect(await engine.fails(125, "run", "--rm", "--network", "none", flag, "nope", image, "true")).toContain(words);
  });

  test("the program is dumpable, ctr's own processes cannot be seen, and /proc/1/exe is the program", async () => {
    expect(await inside([], "sh", "-c", "exec probe process")).toContain("dumpable 1");
    const id = await engine.ok("run", "-d", "--network", "none", image, "probe", "pause");
    try {
      expect(await engine.ok("exec", id, "readlink", "/proc/1/exe")).toBe("/bin/probe");
      const commands = await engine.ok("exec", id, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
      expect(commands).not.toContain("ctr");
    } finally {
      await engine.ok("rm", "-f", id);
    }
  });
});

describe("paths", () => {
  test("every masked path is empty, and stays so for root", async () => {
    const paths = MASKED_PATHS.filter((path) => !isDocker() || !/interrupts|powercap/.test(path)); // masked since 25 and 28
    const script = paths
      .map(
        (path) =>
          `if [ -d ${path} ]; then ls -A ${path} | wc -l; elif [ -e ${path} ]; then wc -c < ${path}; else echo 0; fi`,
      )
      .join("; ");
    expect((await inside([], "sh", "-c", script)).split("\n").map((line) => line.trim())).toEqual(paths.map(() => "0"));
  });

  test("every read-only path answers EROFS, and cannot be made writable", async () => {
    const text = await inside([], "probe", "mounts");
    // A kernel without SysRq has no trigger for it, and so on.
    for (const path of READONLY_PATHS.filter((candidate) => existsSync(candidate))) {
      const line = text.split("\n").find((mount) => mount.split(" ")[4] === path);
      expect(`${path} ${line?.split(" ")[5]?.split(",").includes("ro")}`).toBe(`${path} true`);
    }
    expect(await inside([], "probe", "write", "/proc/sys/kernel/domainname")).toBe("errno 30");
    expect(await inside([], "probe", "write", "/proc/sysrq-trigger")).toMatch(/^errno (2|30)$/);
    expect(await inside([], "probe", "write", "/sys/kernel/uevent_helper")).toMatch(/^errno (2|30)$/);
  });

  test("a capable container without systempaths=unconfined is still masked; with it nothing is", async () => {
    expect(await inside(["--cap-add", "SYS_ADMIN"], "sh", "-c", "wc -c < /proc/keys")).toBe("0");
    expect(
      await inside(["--security-opt", "systempaths=unconfined"], "sh", "-c", "cat /proc/interrupts | wc -l"),
    ).not.toBe("0");
  });

  // Docker's root is a slave of the host's mount of it.
  test.if(!isDocker())("nothing of the host shows in the mounts", async () => {
    const mounts = (await inside([], "probe", "mounts")).split("\n");
    const propagating = mounts.filter((line) => / (shared|master):/.test(line));
    expect(propagating).toEqual([]);
  });

  test.if(!isDocker())("device nodes are on a file system of the container's own", async () => {
    const devices = (await inside([], "probe", "mounts")).split("\n").filter((line) => / devtmpfs /.test(line));
    expect(devices).toEqual([]);
  });
});

test("the engine's own files are closed to others, whatever the caller's umask", async () => {
  const usual = process.umask(0);
  const other = tempEngine();
  try {
    await other.ok("run", "-d", "--name", "web", await other.image("minimal"), "sleep", "1000");
    const open = [other.root, other.state].flatMap((top) =>
      readdirSync(top, { recursive: true, encoding: "utf8" })
        // The containers' own files, and what is bound into them for any user there to read.
        .filter((name) => !/^layers\/|^placeholders|\/(upper|work)(\/|$)|\/(hosts|hostname|resolv\.conf)$/.test(name))
        .map((name) => ({ name, stat: lstatSync(`${top}/${name}`) }))
        .filter(({ stat }) => (stat.mode & (stat.isDirectory() ? 0o066 : 0o077)) !== 0 && !stat.isSymbolicLink())
        .map(({ name, stat }) => `${name} ${(stat.mode & 0o7777).toString(8)}`),
    );
    // What the OCI layout says of itself, below a directory that is closed.
    expect(open.filter((line) => !/^content\/(oci-layout|index\.json) 644$/.test(line))).toEqual([]);
    await other.ok("rm", "-f", "web");
  } finally {
    process.umask(usual);
  }
});
