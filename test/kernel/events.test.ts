/** Events: every change of state by any process, from the past and as it happens. */
import { expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { processes } from "../lib/host.ts";
import { isDocker } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");

interface Told {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: { readonly [name: string]: string } };
  readonly scope: string;
  readonly time: number;
  readonly timeNano: number;
}

const START = String(Math.floor(Date.now() / 1000) - 1);

/** What happened in this very moment is before it; a duration is cut to seconds by Docker. */
const now = () => `${(Date.now() / 1000).toFixed(3)}999999`;

/** What was recorded until now. */
async function past(...filters: readonly string[]): Promise<readonly Told[]> {
  const text = await engine.ok(
    "events",
    "--since",
    START,
    "--until",
    now(),
    "--format",
    "json",
    ...filters.flatMap((filter) => ["--filter", filter]),
  );
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line): Told => JSON.parse(line));
}

const words = (events: readonly Told[]) => events.map(({ Type, Action }) => `${Type} ${Action}`);

test("a container's life is told in Docker's order, with its labels, image and name", async () => {
  const id = await engine.ok("run", "-d", "--label", "tier=front", "--name", "life", image, "sleep", "100");
  await engine.ok("pause", "life");
  await engine.ok("unpause", "life");
  await engine.ok("stop", "-t", "0", "life");
  await engine.ok("rm", "life");
  const events = (await past()).filter(({ Actor }) => Actor.ID === id || Actor.Attributes["container"] === id);
  expect(words(events)).toEqual([
    "container create",
    "network connect",
    "container start",
    "container pause",
    "container unpause",
    "container kill",
    "container kill",
    "container die",
    "network disconnect",
    "container stop",
    "container destroy",
  ]);
  const of = (action: string) => events.filter(({ Action }) => Action === action).map(({ Actor }) => Actor.Attributes);
  expect(of("start")).toEqual([{ image, name: "life", tier: "front" }]);
  expect(of("kill").map(({ signal }) => signal)).toEqual(["15", "9"]);
  expect(of("die")[0]).toMatchObject({ exitCode: "137", name: "life" });
  expect(of("connect")[0]).toEqual({ container: id, name: "bridge", type: "bridge" });
  for (const { scope, time, timeNano } of events) {
    expect(scope).toBe("local");
    expect(time).toBe(Math.floor(timeNano / 1e9));
  }
});

test("a program that ends by itself dies with its status; --rm destroys it", async () => {
  const { status } = await engine.ctr("run", "--rm", "--name", "brief", image, "sh", "-c", "exit 7");
  expect(status).toBe(7);
  const events = await past("container=brief");
  expect(words(events)).toEqual([
    "container create",
    "container attach",
    "container start",
    "container die",
    "container destroy",
  ]);
  expect(events[3]?.Actor.Attributes["exitCode"]).toBe("7");
});

test("restart, exec, rename and kill are told", async () => {
  await engine.ok("run", "-d", "--network", "none", "--name", "busy", image, "sleep", "100");
  await engine.ctr("exec", "busy", "sh", "-c", "exit 3");
  await engine.ok("restart", "-t", "0", "busy");
  await engine.ok("kill", "-s", "USR2", "busy");
  await engine.ok("rename", "busy", "idle");
  await engine.ok("rm", "-f", "idle");
  const events = (await past("type=container")).filter(({ Actor }) => /busy|idle/.test(Actor.Attributes["name"] ?? ""));
  expect(words(events)).toEqual([
    "container create",
    "container start",
    "container exec_create: sh -c exit 3",
    "container exec_start: sh -c exit 3",
    "container exec_die",
    "container kill",
    "container kill",
    "container die",
    "container stop",
    "container start",
    "container restart",
    "container kill",
    "container rename",
    "container kill",
    "container die",
    "container destroy",
  ]);
  const died = events.find(({ Action }) => Action === "exec_die");
  expect(died?.Actor.Attributes).toMatchObject({ exitCode: "3", execID: expect.stringMatching(/^[0-9a-f]{64}$/) });
  const renamed = events.find(({ Action }) => Action === "rename");
  expect(renamed?.Actor.Attributes).toMatchObject({ name: "idle", oldName: "/busy" });
});

test("images and volumes: tag, untag, commit; create, mount, unmount, destroy", async () => {
  const id = await engine.ok("run", "-d", "--network", "none", "-v", "data:/data", "--name", "holder", image, "true");
  await engine.ok("wait", "holder");
  await engine.ok("commit", "holder", "made:1");
  await engine.ok("tag", "made:1", "made:2");
  await engine.ok("rmi", "made:2", "made:1");
  await engine.ok("rm", "holder");
  expect(words(await past("volume=data"))).toEqual(["volume create", "volume mount", "volume unmount"]);
  const [, mounted] = await past("volume=data");
  expect(mounted?.Actor.Attributes).toMatchObject({ container: id, destination: "/data", "read/write": "true" });
  expect(words(await past("event=commit", "container=holder"))).toEqual(["container commit"]);
  const images = await past("type=image");
  expect(words(images.slice(-5))).toEqual(["image tag", "image tag", "image untag", "image untag", "image delete"]);
  expect(images.slice(-5, -3).map(({ Actor }) => Actor.Attributes["name"])).toEqual(["made:1", "made:2"]);
});

test("export, cp, top and prune are told", async () => {
  await engine.ok("run", "-d", "--network", "none", "--name", "worked", image, "sleep", "100");
  await engine.ok("export", "-o", `${engine.scratch}/worked.tar`, "worked");
  await engine.ok("cp", "worked:/etc/passwd", `${engine.scratch}/passwd`);
  await engine.ok("top", "worked");
  await engine.ok("rm", "-f", "worked");
  expect(words(await past("container=worked")).slice(2, 5)).toEqual([
    "container export",
    "container archive-path",
    "container top",
  ]);
  await engine.ok("container", "prune", "-f");
  const [pruned] = await past("event=prune", "type=container");
  expect(pruned?.Actor).toEqual({ ID: "", Attributes: { reclaimed: expect.stringMatching(/^\d+$/) } });
});

test("filters: one key is any of its values, several keys are all of them, labels too", async () => {
  await engine.ok("create", "--network", "none", "--name", "one", "--label", "a=1", "--label", "b=2", image, "true");
  await engine.ok("create", "--network", "none", "--name", "two", "--label", "a=1", image, "true");
  const names = async (...filters: readonly string[]) =>
    (await past("event=create", "type=container", ...filters)).map(({ Actor }) => Actor.Attributes["name"]);
  expect(await names("container=one", "container=two")).toEqual(["one", "two"]);
  expect(await names("label=a", "container=one", "container=two")).toEqual(["one", "two"]);
  expect(await names("label=a=1", "label=b=2")).toEqual(["one"]);
  expect(await names("label=a=2")).toEqual([]);
  expect(await names(`image=${image}`, "container=two")).toEqual(["two"]);
  // Engines of old took any.
  if (!isDocker())
    expect(await engine.fails(1, "events", "--filter", "bogus=1", "--until", "0s")).toContain("invalid filter 'bogus'");
  expect(await engine.fails(1, "events", "--since", "never")).toContain(
    'invalid value for "since": failed to parse value as time or duration: "never"',
  );
  await engine.ok("rm", "one", "two");
});

test("text and templates", async () => {
  const id = await engine.ok("create", "--network", "none", "--name", "shown", "--label", "z=9", image, "true");
  const range = ["--since", START, "--until", now(), "--filter", "container=shown"];
  expect(await engine.ok("events", ...range)).toMatch(
    new RegExp(
      `^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{9}(Z|[+-]\\d\\d:\\d\\d) container create ${id} \\(image=${image}, name=shown, z=9\\)$`,
    ),
  );
  expect(
    await engine.ok("events", ...range, "--format", "{{.Type}}/{{.Action}} {{.Actor.Attributes.name}} {{.Scope}}"),
  ).toBe("container/create shown local");
  expect(await engine.fails(1, "events", ...range, "--format", "{{.Bogus}}")).toContain("can't evaluate field Bogus");
  await engine.ok("rm", "shown");
});

test("from now on: a follower hears of every process at once, and ends at --until or with its reader", async () => {
  await engine.ok("run", "-d", "--network", "none", "--name", "before", image, "sleep", "100");
  const follower = engine.spawn(
    "events",
    "--filter",
    "type=container",
    "--format",
    "{{.Action}} {{.Actor.Attributes.name}}",
  );
  let heard = "";
  void (async () => {
    for await (const chunk of follower.stdout) heard += Buffer.from(chunk).toString();
  })();
  // The follower listens once it hears a first event.
  await waitFor("the follower", async () => {
    await engine.ok("exec", "before", "true");
    return heard.includes("exec_die before");
  });
  const names = Array.from({ length: 8 }, (_, index) => `many${index}`);
  await Promise.all(names.map((name) => engine.ok("run", "--rm", "--network", "none", "--name", name, image, "true")));
  await waitFor("every event", () => names.every((name) => heard.includes(`destroy ${name}\n`)));
  for (const name of names) {
    const own = heard.split("\n").filter((line) => line.endsWith(` ${name}`));
    expect(own).toEqual(["create", "attach", "start", "die", "destroy"].map((action) => `${action} ${name}`));
  }
  expect(heard).not.toContain("create before");
  follower.kill("SIGTERM");
  await follower.exited;
  await engine.ok("rm", "-f", "before");
});

test("a container that runs out of memory: it is told at once, while it lives on, and of every run", async () => {
  const until = (file: string) => `while [ ! -e ${file} ]; do sleep 0.1; done; rm ${file}`;
  const eats = `${until("/eat")}; tail /dev/zero; touch /eaten; ${until("/end")}; exit 3`;
  const flags = ["--network", "none", "-m", "16m", "--memory-swap", "16m", "--restart", "on-failure:3"];
  const id = await engine.ok("run", "-d", ...flags, "--name", "hungry", image, "sh", "-c", eats);
  const inspect = (template: string) => engine.ok("inspect", "-f", template, id);
  const told = async () =>
    words((await past(`container=${id}`)).filter(({ Action }) => /^(oom|die|destroy)/.test(Action)));
  const eat = async () => {
    // It is watched once it has lived for a moment; until then its end would tell.
    await waitFor("a moment", async () => Date.now() - Date.parse(await inspect("{{.State.StartedAt}}")) > 300);
    await engine.ok("exec", id, "touch", "/eat");
    await waitFor("its answer", async () => (await engine.ctr("exec", id, "rm", "/eaten")).status === 0);
  };
  await eat();
  await waitFor("the event", async () => (await told()).includes("container oom"));
  expect(await inspect("{{.State.OOMKilled}} {{.State.Running}}")).toBe("true true");
  // Again, after its policy has started it anew.
  await engine.ok("exec", id, "touch", "/end");
  await waitFor("another run", async () => (await inspect("{{.RestartCount}} {{.State.Status}}")) === "1 running");
  expect(await inspect("{{.State.OOMKilled}}")).toBe("false");
  await eat();
  await waitFor("the event", async () => (await told()).at(-1) === "container oom");
  await engine.ok("rm", "-f", id);
  const kinds = (await told()).filter((word, at, all) => word !== all[at - 1]);
  expect(kinds).toEqual(["oom", "die", "oom", "die", "destroy"].map((action) => `container ${action}`));
});

test("a follower sees what has just been committed, however short the moment", async () => {
  await engine.ok("run", "-d", "--network", "none", "--name", "paced", image, "sleep", "100");
  const follower = engine.spawn(
    "events",
    "--filter",
    "event=pause",
    "--filter",
    "event=unpause",
    "--format",
    "{{.Action}}",
  );
  const reader = follower.stdout.getReader();
  // Every answer is awaited before the next change: one that was missed would hang here.
  const first = reader.read();
  let isListening = false;
  void first.then(() => {
    isListening = true;
  });
  while (!isListening) {
    await engine.ok("pause", "paced");
    await engine.ok("unpause", "paced");
    await Bun.sleep(10);
  }
  let rest = Buffer.from((await first).value ?? []).toString();
  const next = async (word: string) => {
    while (!rest.includes(`${word}\n`)) rest += Buffer.from((await reader.read()).value ?? []).toString();
    rest = "";
  };
  for (let round = 0; round < 15; round++) {
    rest = "";
    await engine.ok("pause", "paced");
    await next("pause");
    await engine.ok("unpause", "paced");
    await next("unpause");
  }
  follower.kill("SIGTERM");
  await follower.exited;
  await engine.ok("rm", "-f", "paced");
});

test("a container whose supervisor was killed died, and that is told once", async () => {
  if (isDocker()) return;
  await engine.ok("run", "-d", "--network", "none", "--name", "orphan", image, "sleep", "100");
  const supervisor = processes().find(({ command }) => / supervisor /.test(`${command} `));
  if (supervisor === undefined) throw new Error("no supervisor runs");
  process.kill(supervisor.pid, "SIGKILL");
  await waitFor("the row to be put right", async () => (await engine.ok("ps", "-q")) === "");
  await engine.ok("ps", "-a");
  const events = await past("container=orphan");
  expect(words(events)).toEqual(["container create", "container start", "container die"]);
  expect(events[2]?.Actor.Attributes["exitCode"]).toBe("137");
  await engine.ok("rm", "-f", "orphan");
});

test("kill -9 of any of our processes at any moment: what is told is what happened", async () => {
  if (isDocker()) return;
  let seed = 5;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed % below;
  };
  const started = new Date().toISOString();
  for (let round = 0; round < 32; round++) {
    const name = `shot${round}`;
    const operands = [
      ["run", "-d", "--network", "none", "--name", name, image, "sleep", "100"],
      ["run", "--rm", "--network", "none", "--name", name, image, "true"],
      ["stop", "-t", "0", `shot${round - 1}`],
      ["rm", "-f", `shot${round - 2}`],
    ][round % 4];
    const child = engine.spawn(...(operands ?? []));
    await Bun.sleep(10 + random(110));
    const ours = processes().filter(({ command }) => /(^|\/)ctr (supervisor|init|run|stop|rm)\b/.test(command));
    const shot = ours[random(Math.max(1, ours.length))];
    try {
      if (shot !== undefined) process.kill(shot.pid, "SIGKILL");
    } catch {
      // it was faster
    }
    await child.exited;
  }
  // The next command puts right what was left.
  await engine.ok("ps", "-aq");
  await waitFor("every supervisor that ends to have ended", async () => {
    const running = (await engine.ok("ps", "-q")).split("\n").filter((id) => id !== "").length;
    return processes().filter(({ command }) => /(^|\/)ctr supervisor\b/.test(command)).length === running;
  });
  const states = new Map(
    (await engine.ok("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}}"))
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => [line.split(" ")[0] ?? "", line.split(" ")[1] ?? ""] as const),
  );
  const text = await engine.ok(
    ...["events", "--since", started, "--until", now(), "--filter", "type=container", "--format", "json"],
  );
  const told = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const event: Told = JSON.parse(line);
    if (!event.Actor.Attributes["name"]?.startsWith("shot")) continue;
    if (!["create", "start", "die", "destroy"].includes(event.Action)) continue;
    told.set(event.Actor.ID, [...(told.get(event.Actor.ID) ?? []), event.Action]);
  }
  expect(told.size).toBeGreaterThan(0);
  for (const [id, actions] of told) {
    const story = actions.join(" ");
    expect(story).toMatch(/^create( start die)*( start)?( destroy)?$/);
    const state = states.get(id);
    if (state === undefined) expect(story).toMatch(/^create( start die)* destroy$/);
    else if (state === "running") expect(story).toMatch(/ start$/);
    else expect(story).toMatch(/^create( start die)*$/);
  }
  for (const id of states.keys()) expect(told.has(id)).toBe(true);
  const left = [...states.keys()];
  if (left.length > 0) await engine.ok("rm", "-f", ...left);
}, 60_000);
