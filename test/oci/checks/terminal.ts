/** config.md#process, terminal and consoleSize; exec; the seccomp listener: what needs somebody at the other end */
import { writeFileSync } from "node:fs";
import { type Json, worldOf, worldProgram } from "../harness.ts";
import { check, type Scene, type Stage, same, scene, that } from "../scene.ts";
import type { World } from "../world.ts";

const TERMINAL = "config.md#process";
const EXEC = "runtime.md#exec";

/** The other end of a socket: a program that prints what it is sent. */
async function receiver(kind: "console" | "notify", path: string) {
  const child = Bun.spawn([worldProgram(), `--${kind}`, path], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  const reader = child.stdout.getReader();
  let text = "";
  const read = async () => {
    const { value } = await reader.read();
    if (value !== undefined) text += new TextDecoder().decode(value);
    return value !== undefined;
  };
  while (!text.includes("listening\n")) if (!(await read())) throw new Error("the receiver did not start");
  return {
    /** What came until its end, which is when nobody is at the other side any more. */
    async rest(): Promise<string> {
      const late = setTimeout(() => child.kill("SIGKILL"), 5000);
      while (await read());
      clearTimeout(late);
      return text.slice(text.indexOf("\n") + 1);
    },
    [Symbol.dispose]: () => child.kill("SIGKILL"),
  };
}

function lineOf(text: string): World {
  return worldOf({ status: 0, stdout: text.replaceAll("\r\n", "\n"), stderr: "" });
}

async function onTerminal({ driver, bundle }: Stage): Promise<World> {
  bundle.configure({ process: { terminal: true, consoleSize: { height: 33, width: 111 } } });
  const socket = `${bundle.path}/console.sock`;
  using console = await receiver("console", socket);
  const created = driver.create(bundle, "--console-socket", socket);
  if (created.status !== 0) throw new Error(created.stderr);
  const started = driver.command("start", bundle.id);
  if (started.status !== 0) throw new Error(started.stderr);
  await driver.until(bundle.id, "stopped");
  return lineOf(await console.rest());
}

/** A further process in a running container, from a process.json. */
async function inside(stage: Stage, patch: Json) {
  const { driver, bundle } = stage;
  bundle.configure({ process: { args: ["/world", "--pause"] }, hostname: "inner" });
  const created = driver.create(bundle);
  if (created.status !== 0) throw new Error(created.stderr);
  const started = driver.command("start", bundle.id);
  if (started.status !== 0) throw new Error(started.stderr);
  const { process: own } = JSON.parse(bundle.file("config.json"));
  writeFileSync(`${bundle.path}/process.json`, JSON.stringify({ ...own, ...patch }));
  const outcome = driver.command("exec", "--process", `${bundle.path}/process.json`, bundle.id);
  return { outcome, world: worldOf(outcome), missing: driver.command("exec", bundle.id, "/not-there") };
}

export const TERMINAL_SCENES: readonly Scene[] = [
  scene("a terminal", onTerminal)(
    check(TERMINAL, "MUST", "terminal: the process's three descriptors are a terminal", (world) =>
      same(world.terminal, true),
    ),
    check(TERMINAL, "MUST", "terminal: it is the process's controlling terminal", (world) =>
      same(world.controllingTerminal, true),
    ),
    check(TERMINAL, "MUST", "consoleSize: height and width in characters", (world) => same(world.size, [33, 111])),
    check("config-linux.md#default-devices", "MUST", "/dev/console is the terminal", (world) =>
      same([world.dev["console"]?.kind, world.dev["console"]?.major], ["char", 136]),
    ),
    check(TERMINAL, "MUST", "terminal: it is one of the container's own devpts", (world) =>
      same(world.fds["0"], "/dev/pts/0"),
    ),
  ),
  scene("a terminal without somebody to take it", ({ driver, bundle }) => {
    bundle.configure({ process: { terminal: true } });
    return driver.create(bundle);
  })(
    check(TERMINAL, "SHOULD", "create with a terminal needs a console socket", ({ status }) =>
      that(status !== 0, "it was created"),
    ),
  ),
  scene("a further process", (stage) =>
    inside(stage, {
      args: ["/world", "read:/proc/1/comm"],
      cwd: "/tmp",
      user: { uid: 1000, gid: 1000, additionalGids: [7], umask: 0o077 },
      env: ["PATH=/bin", "INNER=1"],
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }],
      oomScoreAdj: 77,
      capabilities: undefined,
      noNewPrivileges: true,
    }),
  )(
    check(EXEC, "SHOULD", "exec: user, groups and umask are the process's", ({ world }) => {
      same([world.uid[0], world.gid[0], world.umask], [1000, 1000, 0o077]);
      that(world.groups.includes(7), world.groups.join());
    }),
    check(EXEC, "SHOULD", "exec: cwd, args and env are the process's", ({ world }) => {
      same([world.cwd, world.args[0]], ["/tmp", "/world"]);
      that(world.env.includes("INNER=1"), world.env.join());
    }),
    check(EXEC, "SHOULD", "exec: rlimits are the process's", ({ world }) =>
      same(world.rlimits["RLIMIT_NOFILE"], [100, 200]),
    ),
    check(EXEC, "SHOULD", "exec: oomScoreAdj is the process's", ({ world }) => same(world.oomScoreAdj, "77")),
    check(EXEC, "SHOULD", "exec: noNewPrivileges is the process's", ({ world }) => same(world.noNewPrivileges, 1)),
    check(EXEC, "SHOULD", "exec: the process is in the container's namespaces", ({ world }) => {
      same(world.hostname, "inner");
      same(world.answers[0], "world\n");
    }),
    check(EXEC, "SHOULD", "exec of a program that is not there is an error", ({ missing }) =>
      that(missing.status !== 0, "status 0"),
    ),
  ),
  scene("scheduling of a further process", (stage) =>
    inside(stage, {
      args: ["/world"],
      scheduler: { policy: "SCHED_BATCH", nice: 3 },
      ioPriority: { class: "IOPRIO_CLASS_BE", priority: 6 },
    }),
  )(
    check(EXEC, "SHOULD", "exec: scheduler is the process's", ({ world }) =>
      same([world.scheduler["policy"], world.scheduler["nice"]], [3, 3]),
    ),
    check(EXEC, "SHOULD", "exec: ioPriority is the process's", ({ world }) => same(world.ioPriority, [2, 6])),
  ),
];

export const LISTENER_SCENES: readonly Scene[] = [
  scene("processors of a further process", (stage) =>
    inside(stage, { args: ["/world"], execCPUAffinity: { initial: "0-1", final: "1" } }),
  )(
    check("config.md#linux-process", "MUST", "execCPUAffinity.final is what the process runs on", ({ world }) =>
      same(world.affinity, [1]),
    ),
  ),
  scene("a listener for system calls", async ({ driver, bundle }) => {
    const socket = `${bundle.path}/notify.sock`;
    using agent = await receiver("notify", socket);
    bundle.configure({
      annotations: { "org.example.key": "value" },
      process: { args: ["/world", "syscall:140,0,0"] },
      linux: {
        seccomp: {
          defaultAction: "SCMP_ACT_ALLOW",
          architectures: ["SCMP_ARCH_X86_64"],
          listenerPath: socket,
          listenerMetadata: "some metadata",
          syscalls: [{ names: ["getpriority"], action: "SCMP_ACT_NOTIFY" }],
        },
      },
    });
    const world = worldOf(driver.run(bundle));
    const [message = ""] = (await agent.rest()).split("\n");
    const state: Json = JSON.parse(message);
    return { world, state, inner: state["state"] as Json, bundle };
  })(
    check("config-linux.md#seccomp", "MUST", "listenerPath: the listener gets the notifications", ({ world }) =>
      same(world.answers[0], "errno 71"),
    ),
    check("config-linux.md#the-container-process-state", "MUST", "fds names the descriptor seccompFd", ({ state }) =>
      same(state["fds"], ["seccompFd"]),
    ),
    check("config-linux.md#the-container-process-state", "MUST", "metadata is listenerMetadata", ({ state }) =>
      same(state["metadata"], "some metadata"),
    ),
    check("config-linux.md#the-container-process-state", "MUST", "ociVersion and pid are there", ({ state }) =>
      that(typeof state["ociVersion"] === "string" && typeof state["pid"] === "number", JSON.stringify(state)),
    ),
    check("config-linux.md#the-container-process-state", "MUST", "state is the container's", ({ inner, bundle }) =>
      same([inner["id"], inner["bundle"]], [bundle.id, bundle.path]),
    ),
  ),
];
