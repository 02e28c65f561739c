/** runtime.md, bundle.md, config.md#posix-platform-hooks, #specification-version, features.md */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type Bundle, type Json, merge, type Outcome, worldOf, worldProgram } from "../harness.ts";
import { check, includes, refuses, type Scene, type Stage, same, scene, that } from "../scene.ts";
import type { World } from "../world.ts";

const STATE = "runtime.md#state";
const OPERATIONS = "runtime.md#operations";
const LIFECYCLE = "runtime.md#lifecycle";
const HOOKS = "config.md#posix-platform-hooks";

const KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] as const;
type Kind = (typeof KINDS)[number];

interface Recorded {
  readonly kind: string;
  readonly state: Json;
  readonly world: World;
}

/** A hook that notes what it sees. startContainer's program and file are the container's. */
function recording(bundle: Bundle, kind: Kind, ...more: readonly string[]): Json {
  const isInside = kind === "startContainer";
  const path = isInside ? "/world" : worldProgram();
  const log = isInside ? "/hooks.log" : `${bundle.path}/hooks.log`;
  return { path, args: ["world", "--record", log, kind, ...more], env: [`HOOK=${kind}`, "ONLY=this"] };
}

function recorded(bundle: Bundle): readonly Recorded[] {
  const files = [`${bundle.path}/hooks.log`, `${bundle.rootfs}/hooks.log`].filter((file) => existsSync(file));
  return files
    .flatMap((file) => readFileSync(file, "utf8").trim().split("\n"))
    .map((line) => {
      const { input, world } = JSON.parse(line);
      return { kind: world.args[3], state: JSON.parse(input), world };
    });
}

function kindsOf(list: readonly Recorded[]): readonly string[] {
  return list.map(({ kind }) => kind);
}

function ofKind(list: readonly Recorded[], kind: Kind): Recorded {
  const found = list.find((entry) => entry.kind === kind);
  if (found === undefined) throw new Error(`the ${kind} hook did not run`);
  return found;
}

async function wholeLife({ driver, bundle }: Stage) {
  bundle.configure({
    annotations: { "org.example.key": "value" },
    process: { args: ["/world", "--record", "/program.log"] },
    hooks: Object.fromEntries(KINDS.map((kind) => [kind, [recording(bundle, kind)]])),
  });
  const created = driver.create(bundle, "--pid-file", `${bundle.path}/pid`);
  if (created.status !== 0) throw new Error(created.stderr);
  const state = driver.state(bundle.id);
  const afterCreate = recorded(bundle);
  const ranEarly = bundle.has("rootfs/program.log");
  const started = driver.command("start", bundle.id);
  if (started.status !== 0) throw new Error(started.stderr);
  await driver.until(bundle.id, "stopped");
  const stopped = driver.state(bundle.id);
  const afterStart = recorded(bundle);
  const deleted = driver.command("delete", bundle.id);
  return {
    bundle,
    state,
    pidFile: bundle.file("pid"),
    stopped,
    afterCreate,
    afterStart,
    ranEarly,
    hasRun: bundle.has("rootfs/program.log"),
    deleted,
    afterDelete: recorded(bundle),
    gone: driver.command("state", bundle.id),
    own: {
      mnt: readOwn("mnt"),
      pid: readOwn("pid"),
    },
  };
}

function readOwn(kind: string): string {
  return Bun.spawnSync(["readlink", `/proc/self/ns/${kind}`])
    .stdout.toString()
    .trim();
}

/** A life with one hook that fails. */
async function failing({ driver, bundle }: Stage, kind: Kind) {
  const hook = kind === "startContainer" ? { path: "/world" } : { path: worldProgram() };
  bundle.configure({
    process: { args: ["/world", "--record", "/program.log"] },
    hooks: {
      [kind]: [{ ...hook, args: ["world", "--exit", "7"] }, recording(bundle, kind, "second")],
      ...(kind === "poststop" ? {} : { poststop: [recording(bundle, "poststop")] }),
    },
  });
  const created = driver.create(bundle);
  const started = created.status === 0 ? driver.command("start", bundle.id) : undefined;
  if (created.status === 0) await Bun.sleep(0);
  const hasRun = bundle.has("rootfs/program.log");
  const afterwards = driver.command("state", bundle.id);
  const status = afterwards.status === 0 ? JSON.parse(afterwards.stdout).status : "gone";
  const deleted = driver.command("delete", "--force", bundle.id);
  return { created, started, hasRun, status, deleted, list: recorded(bundle) };
}

function failed(outcome: Outcome | undefined): void {
  that(outcome !== undefined && outcome.status !== 0, `status ${outcome?.status}`);
}

/** A container that waits to be killed. */
function waiting({ driver, bundle }: Stage): void {
  bundle.configure({ process: { args: ["/world", "--pause"] } });
  const created = driver.create(bundle);
  if (created.status !== 0) throw new Error(created.stderr);
}

/** A configuration with something wrong that no patch of the base can say. */
function malformed(name: string, text: string | ((whole: Json) => string), says: string, words: RegExp): Scene {
  return scene(name, ({ driver, bundle }) => {
    bundle.configure({});
    const whole = JSON.parse(bundle.file("config.json"));
    writeFileSync(`${bundle.path}/config.json`, typeof text === "string" ? text : text(whole));
    return { outcome: driver.create(bundle), after: driver.command("state", bundle.id) };
  })(
    check("config.md", "MUST", says, ({ outcome, after }) => {
      failed(outcome);
      that(words.test(outcome.stderr), `the error is ${outcome.stderr.trim()}`);
      failed(after);
    }),
  );
}

function patched(patch: Json): (whole: Json) => string {
  return (whole) => JSON.stringify(merge(whole, patch));
}

export const LIFECYCLE_SCENES: readonly Scene[] = [
  scene("a whole life with hooks", wholeLife)(
    check(STATE, "MUST", "ociVersion is a version", ({ state }) =>
      that(/^1\.\d+\.\d+/.test(String(state["ociVersion"])), String(state["ociVersion"])),
    ),
    check(STATE, "MUST", "id is the container's", ({ state, bundle }) => same(state["id"], bundle.id)),
    check(STATE, "MUST", "status is created after create", ({ state }) => same(state["status"], "created")),
    check(STATE, "MUST", "pid is the process's, as the host sees it", ({ state, pidFile }) =>
      same(String(state["pid"]), pidFile),
    ),
    check(STATE, "MUST", "bundle is the absolute path of the bundle", ({ state, bundle }) =>
      same(state["bundle"], bundle.path),
    ),
    check(STATE, "MUST", "annotations are the configuration's", ({ state }) =>
      same((state["annotations"] as Json)["org.example.key"], "value"),
    ),
    check(STATE, "MUST", "status is stopped when the process has ended", ({ stopped }) =>
      same(stopped["status"], "stopped"),
    ),
    check(LIFECYCLE, "MUST", "create does not run the program", ({ ranEarly }) => same(ranEarly, false)),
    check(LIFECYCLE, "MUST", "start runs the program", ({ hasRun }) => same(hasRun, true)),
    check(
      LIFECYCLE,
      "MUST",
      "prestart, createRuntime and createContainer hooks run in create, in this order",
      ({ afterCreate }) => same(kindsOf(afterCreate), ["prestart", "createRuntime", "createContainer"]),
    ),
    check(LIFECYCLE, "MUST", "startContainer and poststart hooks run in start", ({ afterStart }) =>
      includes(kindsOf(afterStart), "startContainer", "poststart"),
    ),
    check(LIFECYCLE, "MUST", "poststop hooks run in delete, and not before", ({ afterStart, afterDelete }) =>
      same([kindsOf(afterStart).includes("poststop"), kindsOf(afterDelete).includes("poststop")], [false, true]),
    ),
    check(LIFECYCLE, "MUST", "delete removes the container", ({ deleted, gone }) => {
      same(deleted.status, 0);
      failed(gone);
    }),
    check(HOOKS, "MUST", "each hook runs once", ({ afterDelete }) =>
      same([...kindsOf(afterDelete)].sort(), [...KINDS].sort()),
    ),
    check(HOOKS, "MUST", "every hook reads the state on its standard input", ({ afterDelete, bundle }) => {
      for (const { state, kind } of afterDelete)
        that(state["id"] === bundle.id && state["bundle"] === bundle.path, kind);
    }),
    check(HOOKS, "MUST", "the state has the process's pid while there is one", ({ afterCreate, state }) => {
      for (const { state: given, kind } of afterCreate.slice(0, 2))
        that(given["pid"] === state["pid"], `${kind}: ${given["pid"]}`);
    }),
    check(HOOKS, "MUST", "the state has the annotations", ({ afterDelete }) => {
      for (const { state, kind } of afterDelete)
        that((state["annotations"] as Json | undefined)?.["org.example.key"] === "value", kind);
    }),
    check(STATE, "MUST", "status is creating for createRuntime and createContainer hooks", ({ afterCreate }) =>
      same(
        [ofKind(afterCreate, "createRuntime").state["status"], ofKind(afterCreate, "createContainer").state["status"]],
        ["creating", "creating"],
      ),
    ),
    check(STATE, "MUST", "status is created for startContainer hooks", ({ afterStart }) =>
      same(ofKind(afterStart, "startContainer").state["status"], "created"),
    ),
    check(STATE, "MUST", "status is running for poststart hooks", ({ afterStart }) =>
      same(ofKind(afterStart, "poststart").state["status"], "running"),
    ),
    check(STATE, "MUST", "status is stopped for poststop hooks", ({ afterDelete }) =>
      same(ofKind(afterDelete, "poststop").state["status"], "stopped"),
    ),
    check(HOOKS, "MUST", "args have the semantics of execv's argv", ({ afterCreate }) =>
      same(ofKind(afterCreate, "createRuntime").world.args.slice(0, 2), ["world", "--record"]),
    ),
    check(HOOKS, "MUST", "env is the hook's environment", ({ afterDelete }) => {
      for (const { world, kind } of afterDelete) includes(world.env, `HOOK=${kind}`, "ONLY=this");
    }),
    check(HOOKS, "SHOULD", "nothing else is in the hook's environment", ({ afterDelete }) => {
      for (const { world, kind } of afterDelete) that(world.env.length === 2, `${kind}: ${world.env.join(" ")}`);
    }),
    ...(["prestart", "createRuntime", "poststart", "poststop"] as const).map((kind) =>
      check<Awaited<ReturnType<typeof wholeLife>>>(
        HOOKS,
        "MUST",
        `${kind} hooks run in the runtime namespace`,
        ({ afterDelete, own }) => {
          const { namespaces } = ofKind(afterDelete, kind).world;
          same([namespaces["mnt"], namespaces["pid"]], [own.mnt, own.pid]);
        },
      ),
    ),
    ...(["createContainer", "startContainer"] as const).map((kind) =>
      check<Awaited<ReturnType<typeof wholeLife>>>(
        HOOKS,
        "MUST",
        `${kind} hooks run in the container namespace`,
        ({ afterDelete, own }) => {
          const { namespaces } = ofKind(afterDelete, kind).world;
          that(namespaces["mnt"] !== own.mnt, "the mount namespace is the runtime's");
        },
      ),
    ),
    check(HOOKS, "MUST", "startContainer: path resolves in the container", ({ afterDelete }) =>
      includes(Object.keys(ofKind(afterDelete, "startContainer").world.root), "world"),
    ),
    check(HOOKS, "MUST", "createContainer: path resolves in the runtime namespace", ({ afterDelete }) =>
      that(ofKind(afterDelete, "createContainer").world.args.length > 3, "it did not run"),
    ),
  ),
  scene("several hooks of one kind", ({ driver, bundle }) => {
    bundle.configure({
      hooks: { createRuntime: ["1", "2", "3"].map((number) => recording(bundle, "createRuntime", number)) },
    });
    const outcome = driver.run(bundle);
    return { outcome, list: recorded(bundle) };
  })(
    check(HOOKS, "MUST", "hooks are called in the listed order", ({ list }) =>
      same(
        list.map(({ world }) => world.args[4]),
        ["1", "2", "3"],
      ),
    ),
  ),
  ...(["prestart", "createRuntime", "createContainer"] as const).map((kind) =>
    scene(`a ${kind} hook that fails`, (stage) => failing(stage, kind))(
      check(
        LIFECYCLE,
        "MUST",
        `a ${kind} hook that fails is an error of create, and nothing is left`,
        ({ created, status }) => {
          failed(created);
          same(status, "gone");
        },
      ),
      check(LIFECYCLE, "MUST", `after a failed ${kind} hook the poststop hooks run`, ({ list }) =>
        includes(kindsOf(list), "poststop"),
      ),
      check(HOOKS, "MUST", `after a failed ${kind} hook no further one of the kind runs`, ({ list }) =>
        that(!kindsOf(list).includes(kind), "the second one ran"),
      ),
    ),
  ),
  scene("a startContainer hook that fails", (stage) => failing(stage, "startContainer"))(
    check(
      LIFECYCLE,
      "MUST",
      "a startContainer hook that fails is an error of start, and the program does not run",
      ({ started, hasRun }) => {
        failed(started);
        same(hasRun, false);
      },
    ),
    check(LIFECYCLE, "MUST", "after a failed startContainer hook the container is stopped", ({ status }) =>
      that(status === "stopped" || status === "gone", status),
    ),
  ),
  scene("a poststart hook that fails", (stage) => failing(stage, "poststart"))(
    check(
      LIFECYCLE,
      "MUST",
      "a poststart hook that fails is an error of start (1.2 goes on with a warning)",
      ({ started }) => {
        failed(started);
        that(/hook/i.test(started?.stderr ?? ""), `nothing was said: ${started?.stderr}`);
      },
    ),
    check(LIFECYCLE, "MUST", "after a failed poststart hook the container is stopped", ({ status }) =>
      that(status === "stopped" || status === "gone", status),
    ),
    check(LIFECYCLE, "MUST", "after a failed poststart hook the poststop hooks run", ({ list }) =>
      same(kindsOf(list), ["poststop"]),
    ),
  ),
  scene("a poststop hook that fails", (stage) => failing(stage, "poststop"))(
    check(LIFECYCLE, "MUST", "after a poststop hook that fails the others and delete go on", ({ deleted, list }) => {
      same(deleted.status, 0);
      includes(kindsOf(list), "poststop");
    }),
    check(LIFECYCLE, "MUST", "a poststop hook that fails is logged as a warning", ({ deleted }) =>
      that(/hook/i.test(deleted.stderr), `nothing was said: ${deleted.stderr}`),
    ),
  ),
  scene("a hook that takes too long", ({ driver, bundle }) => {
    bundle.configure({
      hooks: { createRuntime: [{ path: worldProgram(), args: ["world", "--pause"], timeout: 1 }] },
    });
    const begin = Date.now();
    const outcome = driver.create(bundle);
    return { outcome, seconds: (Date.now() - begin) / 1000 };
  })(
    check(
      HOOKS,
      "MUST",
      "timeout: the hook is aborted after so many seconds, which is an error",
      ({ outcome, seconds }) => {
        failed(outcome);
        that(seconds > 0.9 && seconds < 15, `${seconds} s`);
      },
    ),
  ),
  refuses(
    "a hook with a relative path",
    { hooks: { createRuntime: [{ path: "world" }] } },
    HOOKS,
    "MUST",
    "path is absolute",
  ),
  refuses(
    "a hook with a timeout of 0",
    { hooks: { createRuntime: [{ path: "/bin/true", timeout: 0 }] } },
    HOOKS,
    "MUST",
    "timeout, if set, is greater than zero",
    /timeout/,
  ),
  refuses(
    "a hook that is not there",
    { hooks: { createRuntime: [{ path: "/no/such/hook" }] } },
    HOOKS,
    "MUST",
    "a hook that cannot be run is an error",
    /no\/such\/hook/,
  ),
  scene("operations on a container", async (stage) => {
    const { driver, bundle } = stage;
    waiting(stage);
    const again = driver.create(bundle);
    bundle.configure({ process: { args: ["/world", "--exit", "3"] } });
    const started = driver.command("start", bundle.id);
    const running = driver.state(bundle.id)["status"];
    const twice = driver.command("start", bundle.id);
    const stillRunning = driver.state(bundle.id)["status"];
    const early = driver.command("delete", bundle.id);
    const kept = driver.state(bundle.id)["status"];
    const killed = driver.command("kill", bundle.id, "KILL");
    await driver.until(bundle.id, "stopped");
    const late = driver.command("kill", bundle.id, "KILL");
    const restarted = driver.command("start", bundle.id);
    const deleted = driver.command("delete", bundle.id);
    const unknown = ["state", "start", "delete"].map((verb) => driver.command(verb, bundle.id));
    const reused = driver.create(bundle);
    return {
      again,
      started,
      running,
      twice,
      stillRunning,
      early,
      kept,
      killed,
      late,
      restarted,
      deleted,
      unknown,
      reused,
    };
  })(
    check("runtime.md#create", "MUST", "an ID that is taken is an error", ({ again }) => failed(again)),
    check(LIFECYCLE, "MUST", "a change of config.json after create has no effect", ({ running }) =>
      same(running, "running"),
    ),
    check(
      "runtime.md#start",
      "MUST",
      "start of a created container succeeds, and it is running",
      ({ started, running }) => same([started.status, running], [0, "running"]),
    ),
    check(
      "runtime.md#start",
      "MUST",
      "start of a running container is an error and has no effect",
      ({ twice, stillRunning }) => {
        failed(twice);
        same(stillRunning, "running");
      },
    ),
    check(
      "runtime.md#delete",
      "MUST",
      "delete of a running container is an error and has no effect",
      ({ early, kept }) => {
        failed(early);
        same(kept, "running");
      },
    ),
    check("runtime.md#kill", "MUST", "kill sends the signal to the container's process", ({ killed }) =>
      same(killed.status, 0),
    ),
    check("runtime.md#kill", "MUST", "kill of a stopped container is an error", ({ late }) => failed(late)),
    check("runtime.md#start", "MUST", "start of a stopped container is an error", ({ restarted }) => failed(restarted)),
    check("runtime.md#delete", "MUST", "delete of a stopped container succeeds", ({ deleted }) =>
      same(deleted.status, 0),
    ),
    ...["state", "start", "delete"].map((verb, at) =>
      check<{ unknown: readonly Outcome[] }>(
        OPERATIONS,
        "MUST",
        `${verb} of a container that does not exist is an error`,
        ({ unknown }) => failed(unknown[at]),
      ),
    ),
    check("runtime.md#delete", "MAY", "the ID of a deleted container may be used again", ({ reused }) =>
      same(reused.status, 0),
    ),
  ),
  scene("operations without an ID", ({ driver }) =>
    ["state", "create", "start", "kill", "delete"].map((verb) => ({ verb, outcome: driver.command(verb) })),
  )(
    ...["state", "create", "start", "kill", "delete"].map((verb) =>
      check<{ verb: string; outcome: Outcome }[]>(OPERATIONS, "MUST", `${verb} without an ID is an error`, (list) =>
        failed(list.find((entry) => entry.verb === verb)?.outcome),
      ),
    ),
  ),
  scene("IDs that are none", ({ driver, bundle }) => {
    bundle.configure({});
    return ["../up", "a/b", "."].map((id) => driver.command("create", "--bundle", bundle.path, id));
  })(
    check("runtime.md#create", "MUST", "an ID that is not valid is an error", (list) => {
      for (const outcome of list) failed(outcome);
    }),
  ),
  scene("exit status", ({ driver, bundle }) => {
    bundle.configure({ process: { args: ["/world", "--exit", "42"] } });
    return driver.run(bundle);
  })(check(LIFECYCLE, "SHOULD", "run ends with the program's status", ({ status }) => same(status, 42))),
  scene("no bundle", ({ driver, bundle }) => {
    rmSync(`${bundle.path}/config.json`, { force: true });
    return { empty: driver.create(bundle), missing: driver.command("create", "--bundle", "/no/such/bundle", "x1") };
  })(
    check("bundle.md", "MUST", "a bundle without config.json is an error", ({ empty }) => failed(empty)),
    check("bundle.md", "MUST", "a bundle that is not there is an error", ({ missing }) => failed(missing)),
  ),
  malformed("not JSON", "{ not json", "a configuration that is no JSON is an error", /./),
  malformed("an empty file", "", "an empty configuration is an error", /./),
  malformed("a list", "[]", "a configuration that is no object is an error", /./),
  ...(
    [
      ["process.args", { process: { args: "a string" } }, /args/],
      ["process.user.uid", { process: { user: { uid: "0" } } }, /uid/],
      ["process.cwd", { process: { cwd: 5 } }, /cwd/],
      ["root.path", { root: { path: 5 } }, /path/],
      ["mounts", { mounts: {} }, /mounts/],
      ["mounts[].options", { mounts: [{ destination: "/x", type: "tmpfs", options: "ro" }] }, /options/],
      ["linux.namespaces", { linux: { namespaces: "pid" } }, /namespaces/],
      ["linux.resources.memory.limit", { linux: { resources: { memory: { limit: "1g" } } } }, /limit/],
      ["hooks.prestart", { hooks: { prestart: "x" } }, /prestart/],
      ["annotations", { annotations: { key: 5 } }, /annotations/],
      ["process.terminal", { process: { terminal: "no" } }, /terminal/],
    ] as const
  ).map(([field, patch, words]) =>
    malformed(`${field} of a wrong type`, patched(patch), `${field} of a wrong type is an error that names it`, words),
  ),
  malformed("no version", patched({ ociVersion: undefined }), "ociVersion is required", /version/i),
  malformed("a version that is none", patched({ ociVersion: "one" }), "ociVersion is in SemVer format", /version|one/i),
  malformed(
    "a version of the future",
    patched({ ociVersion: "2.0.0" }),
    "a major version that is not supported is an error",
    /version|2\.0\.0/i,
  ),
  scene("extensions", ({ driver, bundle }) => {
    bundle.configure({
      unknownField: { deep: [1, 2] },
      process: { unknownFlag: true },
      linux: { unknownLimit: 5, resources: { unknownController: { a: 1 } } },
      annotations: { "org.example.unknown": "x", big: "y".repeat(5000) },
      ociVersion: "1.3.0",
    });
    return { world: worldOf(driver.run(bundle)) };
  })(
    check("config.md#extensibility", "MUST", "an unknown property is no error", ({ world }) => same(world.uid[0], 0)),
    check("config.md#annotations", "MUST", "an unknown annotation key is no error", ({ world }) =>
      same(world.uid[0], 0),
    ),
    check("config.md#specification-version", "MUST", "a configuration of version 1.3.0 is taken", ({ world }) =>
      same(world.uid[0], 0),
    ),
  ),
  scene("features", ({ driver }): Json => {
    const { status, stdout, stderr } = driver.command("features");
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout);
  })(
    check(
      "features.md#specification-version",
      "MUST",
      "ociVersionMin and ociVersionMax are there, in order",
      (features) => {
        const [least, most] = [String(features["ociVersionMin"]), String(features["ociVersionMax"])];
        that(/^1\.0\.0/.test(least) && /^1\.\d+\.\d+/.test(most) && least <= most, `${least} to ${most}`);
      },
    ),
    check("features.md#hooks", "SHOULD", "hooks are the six", (features) =>
      same([...(features["hooks"] as string[])].sort(), [...KINDS].sort()),
    ),
    check("features.md#mount-options", "SHOULD", "mountOptions are named", (features) =>
      includes(features["mountOptions"] as string[], "ro", "rbind", "rro", "tmpcopyup", "rshared"),
    ),
    check("features-linux.md#namespaces", "SHOULD", "the namespaces are named", (features) =>
      includes(
        (features["linux"] as Json)["namespaces"] as string[],
        "pid",
        "network",
        "mount",
        "ipc",
        "uts",
        "user",
        "cgroup",
      ),
    ),
    check("features-linux.md#capabilities", "SHOULD", "the capabilities are named", (features) =>
      includes((features["linux"] as Json)["capabilities"] as string[], "CAP_CHOWN", "CAP_SYS_ADMIN"),
    ),
    check("features-linux.md#seccomp", "SHOULD", "seccomp's actions are named", (features) => {
      const seccomp = (features["linux"] as Json)["seccomp"] as Json;
      same(seccomp["enabled"], true);
      includes(seccomp["actions"] as string[], "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_NOTIFY");
    }),
  ),
];
