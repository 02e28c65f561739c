/** From create to rm: each state, what every command says, and what is left. */
import { describe, expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { filesBelow } from "../lib/host.ts";
import { isDocker } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const NONE = ["--network", "none"] as const;

const state = (name: string) => engine.ok("inspect", "-f", "{{.State.Status}}", name);

/** Makes a running container for the time of `body`. */
async function withContainer(
  flags: readonly string[],
  program: readonly string[],
  body: (id: string) => Promise<void>,
): Promise<void> {
  const id = await engine.ok("run", "-d", ...NONE, ...flags, image, ...program);
  try {
    await body(id);
  } finally {
    await engine.ctr("rm", "-f", id);
  }
}

describe("states", () => {
  test("create, start, stop, start, rm: each step is what ps and inspect say", async () => {
    const id = await engine.ok("create", "--name", "steps", ...NONE, image, "probe", "on-signal");
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(await state("steps")).toBe("created");
    expect(await engine.ok("ps", "-a", "--format", "{{.Names}} {{.Status}}")).toBe("steps Created");
    expect(await engine.ok("start", "steps")).toBe("steps");
    expect(await state("steps")).toBe("running");
    expect(await engine.ok("ps", "--format", "{{.Names}} {{.Status}}")).toMatch(/^steps Up /);
    await waitFor("the program", async () => (await engine.ok("logs", "steps")).includes("ready"));
    expect(await engine.ok("stop", "steps")).toBe("steps");
    expect(await state("steps")).toBe("exited");
    expect(await engine.ok("ps", "-a", "--format", "{{.Status}}")).toMatch(/^Exited \(0\) /);
    expect(await engine.ok("logs", "steps")).toBe("ready\nsignal 15");
    expect(await engine.ok("start", id.slice(0, 8))).toBe(id.slice(0, 8));
    expect(await state("steps")).toBe("running");
    expect(await engine.ok("rm", "-f", "steps")).toBe("steps");
    expect(await engine.ok("ps", "-aq")).toBe("");
  });

  test("the writable layer survives stop and start, and goes with rm", async () => {
    const id = await engine.ok("create", ...NONE, image, "sh", "-c", "echo x >> /tmp/n; wc -l < /tmp/n");
    expect((await engine.ctr("start", "-a", id)).stdout).toBe("1\n");
    expect((await engine.ctr("start", "-a", id)).stdout).toBe("2\n");
    await engine.ok("rm", id);
  });

  test("--rm: its layer is not synced to the disk, and is there after a restart; any other is synced", async () => {
    const options = (name: string) => engine.ok("exec", name, "sh", "-c", "grep ' / / ' /proc/self/mountinfo");
    await withContainer(["--rm", "--name", "fleeting"], ["probe", "on-signal"], async () => {
      expect(await options("fleeting")).toMatch(/[,=]volatile(,|$)/);
      await engine.ok("exec", "fleeting", "sh", "-c", "echo kept > /tmp/n");
      await engine.ok("restart", "-t", "0", "fleeting");
      expect(await engine.ok("exec", "fleeting", "cat", "/tmp/n")).toBe("kept");
      expect(await options("fleeting")).toMatch(/[,=]volatile(,|$)/);
    });
    await withContainer(["--name", "lasting"], ["probe", "on-signal"], async () => {
      expect(await options("lasting")).not.toContain("volatile");
    });
  });

  test("start: of several at once each succeeds, and one starts it; of what cannot run each fails", async () => {
    await engine.ok(
      "create",
      "--network",
      "none",
      "--name",
      "wanted",
      image,
      "sh",
      "-c",
      "echo started; exec sleep 100",
    );
    const six = Array.from({ length: 6 });
    expect(await Promise.all(six.map(() => engine.ok("start", "wanted")))).toEqual(six.map(() => "wanted"));
    expect(await engine.ok("logs", "wanted")).toBe("started");
    await engine.ok("rm", "-f", "wanted");
    await engine.ok("create", "--network", "none", "--name", "cannot", image, "nosuch");
    for (const why of await Promise.all(six.map(() => engine.fails(1, "start", "cannot"))))
      expect(why).toContain('exec: "nosuch": executable file not found in $PATH');
    await engine.ok("rm", "cannot");
  });

  test("stop: SIGKILL after the time given, 137; 0 means at once", async () => {
    await withContainer([], ["probe", "pause"], async (id) => {
      const started = performance.now();
      await engine.ok("stop", "-t", "1", id);
      expect(performance.now() - started).toBeGreaterThan(900);
      expect(await engine.ok("inspect", "-f", "{{.State.ExitCode}}", id)).toBe("137");
    });
  });

  test("stop of a stopped container succeeds", async () => {
    await withContainer([], ["true"], async (id) => {
      await engine.ok("wait", id);
      expect(await engine.ok("stop", id)).toBe(id);
    });
  });

  test("kill: SIGKILL by default, any signal by name or number; a stopped one is refused", async () => {
    await withContainer([], ["probe", "on-signal"], async (id) => {
      await waitFor("the program", async () => (await engine.ok("logs", id)) === "ready");
      for (const signal of ["HUP", "SIGUSR1", "12"]) await engine.ok("kill", "-s", signal, id);
      await waitFor("the signals", async () => (await engine.ok("logs", id)).includes("signal 12"));
      expect((await engine.ok("logs", id)).split("\n").sort()).toEqual(["ready", "signal 1", "signal 10", "signal 12"]);
      expect(await engine.ok("kill", id)).toBe(id);
      expect(await engine.ok("wait", id)).toBe("137");
      expect(await engine.fails(1, "kill", id)).toContain("is not running");
    });
  });

  test("restart: a new process, the same container", async () => {
    await withContainer([], ["sh", "-c", "echo start; exec probe pause"], async (id) => {
      await waitFor("the first start", async () => (await engine.ok("logs", id)).includes("ready"));
      expect(await engine.ok("restart", "-t", "0", id)).toBe(id);
      await waitFor("the second start", async () => (await engine.ok("logs", id)) === "start\nready\nstart\nready");
      expect(await state(id)).toBe("running");
    });
  });

  test("wait: one status per line, in the order of the arguments", async () => {
    const ids = await Promise.all(
      ["3", "0", "255"].map((status) => engine.ok("run", "-d", ...NONE, image, "probe", "exit", status)),
    );
    expect(await engine.ok("wait", ...ids)).toBe("3\n0\n255");
    await engine.ok("rm", ...ids);
  });

  test("wait: waits for a running one", async () => {
    await withContainer([], ["sh", "-c", "sleep 0.5; exit 4"], async (id) => {
      expect(await engine.ok("wait", id)).toBe("4");
    });
  });

  test("rm: refuses a running container, -f does not; several are all tried", async () => {
    await withContainer(["--name", "busy"], ["probe", "pause"], async (id) => {
      expect(await engine.fails(1, "rm", id)).toContain("running");
      const other = await engine.ok("create", ...NONE, image, "true");
      const result = await engine.ctr("rm", "nosuch", other, "busy");
      expect(result.status).toBe(1);
      expect(result.stdout).toBe(`${other}\n`);
      expect(result.stderr).toContain("No such container: nosuch");
      expect(await engine.ok("rm", "-f", "busy")).toBe("busy");
    });
  });

  test("rm -f of what is not there: status 0, and says so", async () => {
    expect((await engine.ctr("rm", "-f", "nosuch")).status).toBe(0);
  });

  test("start of a running container succeeds and changes nothing", async () => {
    await withContainer([], ["probe", "pause"], async (id) => {
      const pid = await engine.ok("inspect", "-f", "{{.State.Pid}}", id);
      await engine.ok("start", id);
      expect(await engine.ok("inspect", "-f", "{{.State.Pid}}", id)).toBe(pid);
    });
  });
});

describe("exec", () => {
  test("exec: container's namespaces, user, environment, directory and cgroup", async () => {
    await withContainer(
      ["-u", "alice", "-e", "A=1", "-w", "/home/alice", "-h", "box"],
      ["probe", "pause"],
      async (id) => {
        expect(await engine.ok("exec", id, "probe", "ids")).toStartWith("uid 1000");
        expect(await engine.ok("exec", id, "probe", "env")).toContain("A=1");
        expect(await engine.ok("exec", id, "probe", "cwd")).toBe("/home/alice");
        expect(await engine.ok("exec", id, "probe", "hostname")).toBe("box");
        const inside = await engine.ok(
          "exec",
          id,
          "sh",
          "-c",
          "for p in 1 self; do for ns in pid net mnt; do readlink /proc/$p/ns/$ns; done; done",
        );
        const lines = inside.split("\n");
        expect(lines.slice(0, 3)).toEqual(lines.slice(3));
        const cgroups = await engine.ok("exec", id, "sh", "-c", "cmp /proc/1/cgroup /proc/self/cgroup && echo same");
        expect(cgroups).toBe("same");
      },
    );
  });

  test("exec -e -w -u: for this program only", async () => {
    await withContainer([], ["probe", "pause"], async (id) => {
      expect(await engine.ok("exec", "-e", "B=2", id, "probe", "env")).toContain("B=2");
      expect(await engine.ok("exec", "-w", "/etc", id, "probe", "cwd")).toBe("/etc");
      expect(await engine.ok("exec", "-u", "nobody", id, "probe", "ids")).toStartWith("uid 65534");
      expect(await engine.ok("exec", id, "probe", "ids")).toStartWith("uid 0");
    });
  });

  test("exec: confined as the container is", async () => {
    await withContainer(["--cap-drop", "CHOWN"], ["probe", "pause"], async (id) => {
      expect(await engine.ok("exec", id, "probe", "caps")).toContain("CapBnd:\t00000000a80425fa");
      expect(await engine.ok("exec", id, "probe", "seccomp")).toContain("Seccomp:\t2");
      expect((await engine.ok("exec", id, "probe", "fds")).split("\n").map((line) => line.split(" ")[0])).toEqual([
        "0",
        "1",
        "2",
      ]);
      expect(await engine.ok("exec", id, "probe", "signals")).toBe("blocked:\nignored:");
    });
  });

  test("exec: 126, 127, the program's own status, 128 + signal", async () => {
    await withContainer([], ["probe", "pause"], async (id) => {
      await engine.fails(isDocker() ? 126 : 127, "exec", id, "no-such-program"); // Docker 20.10 said 126
      await engine.fails(126, "exec", id, "/etc/motd");
      await engine.fails(126, "exec", id, "/etc");
      await engine.fails(42, "exec", id, "probe", "exit", "42");
      await engine.fails(137, "exec", id, "probe", "raise", "9");
    });
  });

  test("exec -d: returns at once, the program goes on", async () => {
    await withContainer([], ["probe", "pause"], async (id) => {
      expect(await engine.ok("exec", "-d", id, "sh", "-c", "sleep 0.2; touch /tmp/done")).toBe("");
      await waitFor("the file", async () => (await engine.ctr("exec", id, "ls", "/tmp/done")).status === 0);
    });
  });

  test("exec in a stopped container is refused with 1", async () => {
    await withContainer([], ["true"], async (id) => {
      await engine.ok("wait", id);
      expect(await engine.fails(1, "exec", id, "true")).toContain("is not running");
    });
  });

  test("what exec started ends with the container", async () => {
    await withContainer([], ["probe", "pause"], async (id) => {
      const child = engine.ctr("exec", id, "probe", "pause");
      await waitFor("the program", async () => (await engine.ok("top", id)).split("\n").length === 3);
      await engine.ok("kill", id);
      expect((await child).status).toBe(137);
    });
  });
});

describe("looking", () => {
  test("ps: the table, newest first, quoted and cut command", async () => {
    const first = await engine.ok("run", "-d", "--name", "first", ...NONE, image, "probe", "pause");
    await engine.ok("run", "-d", "--name", "second", ...NONE, image, "sh", "-c", "exec probe pause # a long command");
    const lines = (await engine.ok("ps")).split("\n");
    expect(lines[0]).toMatch(/^CONTAINER ID {3}IMAGE {5}COMMAND +CREATED +STATUS +PORTS +NAMES$/);
    expect(lines.slice(1).map((line) => line.split(/\s+/).at(-1))).toEqual(["second", "first"]);
    expect(lines[1]).toContain('"sh -c \'exec probe p…"');
    expect(lines[2]).toContain('"probe pause"');
    expect(lines[2]).toContain(first.slice(0, 12));
    expect(await engine.ok("ps", "-q", "--no-trunc", "--filter", "name=first")).toBe(first);
    expect(await engine.ok("ps", "-aq", "--filter", "status=exited")).toBe("");
    expect(await engine.ok("ps", "--format", "table {{.Names}}\t{{.Image}}")).toMatch(
      /^NAMES +IMAGE\nsecond +minimal\nfirst +minimal$/,
    );
    expect(
      JSON.parse((await engine.ok("ps", "--format", "json", "--filter", "name=first")).split("\n")[0] ?? ""),
    ).toMatchObject({ Names: "first", State: "running" });
    expect((await engine.ctr("ps", "--filter", "nonsense=1")).status).toBe(1);
    await engine.ok("rm", "-f", "first", "second");
  });

  test("ps with nothing to show prints its header", async () => {
    expect(await engine.ok("ps", "-a")).toMatch(/^CONTAINER ID .*NAMES$/);
    expect(await engine.ok("ps", "-aq")).toBe("");
  });

  test("inspect: Docker's fields", async () => {
    await withContainer(
      ["--name", "looked-at", "-e", "A=1", "-l", "k=v", "-m", "32m"],
      ["probe", "pause"],
      async (id) => {
        const [found] = JSON.parse(await engine.ok("inspect", "looked-at"));
        expect(found).toMatchObject({
          Id: id,
          Name: "/looked-at",
          Path: "probe",
          Args: ["pause"],
          RestartCount: 0,
          State: {
            Status: "running",
            Running: true,
            Paused: false,
            Restarting: false,
            OOMKilled: false,
            Dead: false,
            ExitCode: 0,
            FinishedAt: "0001-01-01T00:00:00Z",
          },
          Config: {
            Cmd: ["probe", "pause"],
            Image: image,
            Labels: { k: "v" },
            Tty: false,
            OpenStdin: false,
            Entrypoint: null,
          },
          HostConfig: {
            Memory: 33554432,
            NetworkMode: "none",
            AutoRemove: false,
            Privileged: false,
            CapAdd: null,
            RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
          },
          Mounts: [],
        });
        expect(found.State.Pid).toBeGreaterThan(0);
        expect(found.Config.Env).toContain("A=1");
        expect(found.Image).toMatch(/^sha256:[0-9a-f]{64}$/);
        expect(found.Created).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
      },
    );
  });

  test("inspect: with one missing, the others are printed and the status is 1", async () => {
    const result = await engine.ctr("inspect", "nosuch");
    expect([result.status, result.stdout.trim()]).toEqual([1, "[]"]);
    expect(result.stderr).toContain("No such object: nosuch");
  });

  test("inspect -f: a field that does not exist is an error", async () => {
    await withContainer([], ["true"], async (id) => {
      expect(await engine.fails(1, "inspect", "-f", "{{.NoSuchField}}", id)).toContain("template");
    });
  });

  test("top: the container's processes", async () => {
    await withContainer([], ["sh", "-c", "probe pause & exec probe forks 2"], async (id) => {
      await waitFor("the processes", async () => (await engine.ok("top", id)).split("\n").length === 5);
      const lines = (await engine.ok("top", id)).split("\n");
      expect(lines[0]).toMatch(/^UID +PID +PPID +C +STIME +TTY +TIME +CMD$/);
      expect(lines.slice(1).filter((line) => line.includes("probe")).length).toBe(4);
    });
  });

  test("port: all of them, and one", async () => {
    const id = await engine.ok(
      "run",
      "-d",
      "-p",
      "127.0.0.1:18081:81",
      "-p",
      "127.0.0.1:18082:82/udp",
      image,
      "probe",
      "pause",
    );
    expect((await engine.ok("port", id)).split("\n").sort()).toEqual([
      "81/tcp -> 127.0.0.1:18081",
      "82/udp -> 127.0.0.1:18082",
    ]);
    expect(await engine.ok("port", id, "81")).toBe("127.0.0.1:18081");
    expect(await engine.fails(1, "port", id, "9999")).toContain("No public port '9999");
    await engine.ok("rm", "-f", id);
  });

  test("a name, a full id and a unique prefix find the same container; others are named in the error", async () => {
    await withContainer(["--name", "unique"], ["probe", "pause"], async (id) => {
      for (const name of ["unique", "/unique", id, id.slice(0, 12), id.slice(0, 5)])
        expect(await engine.ok("inspect", "-f", "{{.Id}}", name)).toBe(id);
      expect(await engine.fails(1, "logs", "uniq")).toContain("No such container: uniq");
    });
  });
});

describe("images", () => {
  test("images, tag, rmi: names come and go, the image with the last of them", async () => {
    expect(await engine.ok("images", "--format", "{{.Repository}}:{{.Tag}}")).toBe("minimal:latest");
    expect((await engine.ok("images")).split("\n")[0]).toMatch(/^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE$/);
    await engine.ok("tag", image, "example.com:5000/team/app:v1");
    expect((await engine.ok("images", "-q")).split("\n").length).toBe(2);
    expect(await engine.ok("rmi", "example.com:5000/team/app:v1")).toBe("Untagged: example.com:5000/team/app:v1");
    expect(await engine.fails(1, "rmi", "nosuch")).toMatch(/No such image: nosuch/);
  });

  test("commit: a container changed by hand, run again from the new image", async () => {
    const id = await engine.ok(
      "run",
      "-d",
      ...NONE,
      image,
      "sh",
      "-c",
      "echo new > /etc/motd; rm /etc/not-executable; mkdir -p /data/sub; echo kept > /data/sub/file; chown 1000:1000 /data/sub/file; chmod 4755 /data/sub/file; ln /data/sub/file /data/hard; ln -s sub /data/soft",
    );
    await engine.ok("wait", id);
    const made = await engine.ok(
      "commit",
      "-m",
      "by hand",
      "-a",
      "me",
      "-c",
      'CMD ["cat", "/etc/motd"]',
      "-c",
      "ENV X=1",
      id,
      "changed:v1",
    );
    expect(made).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(await engine.ok("run", "--rm", ...NONE, "changed:v1")).toBe("new");
    const text = await engine.ok(
      "run",
      "--rm",
      ...NONE,
      "changed:v1",
      "sh",
      "-c",
      "echo $X; ls /etc/not-executable 2>/dev/null; cat /data/soft/file; stat -c '%u:%g %a %h' /data/hard",
    );
    expect(text).toBe("1\nkept\n1000:1000 4755 2");
    // The image it came from is as it was.
    expect(await engine.ok("run", "--rm", ...NONE, image, "cat", "/etc/motd")).toBe("hello from the image");
    await engine.ok("rm", id);
    await engine.ok("rmi", "changed:v1");
  });

  test("commit of a running container pauses it meanwhile, and it goes on", async () => {
    await withContainer([], ["probe", "pause"], async (id) => {
      await engine.ok("exec", id, "touch", "/made");
      await engine.ok("commit", id, "running-copy");
      expect(await state(id)).toBe("running");
      expect(await engine.ok("run", "--rm", ...NONE, "running-copy", "ls", "/made")).toBe("/made");
      await engine.ok("rmi", "running-copy");
    });
  });

  test("save and load: the same image under the same id", async () => {
    const archive = `${engine.scratch}/saved.tar`;
    await engine.ok("tag", image, "traveller:1");
    const id = await engine.ok("inspect", "-f", "{{.Id}}", "traveller:1");
    await engine.ok("save", "-o", archive, "traveller:1");
    await engine.ok("rmi", "traveller:1");
    expect(await engine.ok("load", "-i", archive)).toBe("Loaded image: traveller:1");
    expect(await engine.ok("inspect", "-f", "{{.Id}}", "traveller:1")).toBe(id);
    await engine.ok("rmi", "traveller:1");
  });

  test("ps shows an image by its id once its name means another one", async () => {
    await engine.ok("tag", image, "moving:1");
    await engine.ok("run", "-d", "--name", "first", "--network", "none", "moving:1", "probe", "pause");
    const shown = () => engine.ok("ps", "--filter", "name=first", "--format", "{{.Image}}");
    const id = (await engine.ok("inspect", "-f", "{{.Image}}", "first")).slice("sha256:".length, "sha256:".length + 12);
    expect(await shown()).toBe("moving:1");
    const other = await engine.ok("commit", "first");
    await engine.ok("tag", other, "moving:1");
    expect(await shown()).toBe(id);
    expect((await engine.ok("ps", "--filter", "name=first")).split("\n")[1]).toContain(` ${id} `);
    expect(await engine.ok("inspect", "-f", "{{.Config.Image}}", "first")).toBe("moving:1");
    await engine.ok("rmi", "moving:1");
    await engine.ok("tag", id, "moving:1");
    expect(await shown()).toBe("moving:1");
    await engine.ok("rmi", "moving:1");
    expect(await shown()).toBe(id);
    await engine.ok("rm", "-f", "first");
    // A name that stands somewhere in the id, but does not begin it, is a name.
    const part = id.slice(1, 4);
    await engine.ok("tag", image, `${part}:latest`);
    await engine.ok("run", "-d", "--name", "first", "--network", "none", part, "probe", "pause");
    expect(await shown()).toBe(part);
    await engine.ok("rmi", `${part}:latest`);
    expect(await shown()).toBe(id);
    await engine.ok("rm", "-f", "first");
  });

  test("rmi refuses the image of a container", async () => {
    await withContainer([], ["probe", "pause"], async () => {
      await engine.fails(1, "rmi", image);
    });
    expect(await engine.ok("images", "-q")).not.toBe("");
  });
});

test.if(!isDocker())("after rm no file of a container is left in the store", async () => {
  const files = () => filesBelow(engine.root).filter((path) => !/\.db(-wal|-shm)?$/.test(path));
  await engine.ok("run", "--rm", "-v", "/anonymous", image, "true");
  const before = files();
  for (let i = 0; i < 3; i++)
    await engine.ok("run", "--rm", "-v", "/anonymous", image, "sh", "-c", "echo x > /anonymous/x; echo y > /y");
  expect(files().filter((path) => !before.includes(path))).toEqual([]);
  await engine.expectNothingLeft();
});
