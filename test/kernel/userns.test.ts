/** `--userns`: containers whose root is nobody on the host. */
import { describe, expect } from "bun:test";
import { chownSync, existsSync, mkdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { mountedFileSystem, unmountFileSystems } from "../lib/file-system.ts";
import { needs } from "../lib/needs.ts";
import { test as kernelTest } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const test = kernelTest.if(needs("root", "ctr"));
const engine = tempEngine();
const image = await engine.image("minimal");

const REMAP = 200_000;
const AUTO = 1_000_000;
const SIZE = 65_536;
const ids = `${engine.scratch}/subuid`;
writeFileSync(
  ids,
  `# comment\nctr:${REMAP}:${SIZE}\ncontainers:${AUTO}:${20 * SIZE}\nalice:500000:1000\n1001:600000:${SIZE}\n1001:700000:10\nbroken:12:x\n`,
);
const env = { CTR_SUBUID: ids, CTR_SUBGID: ids };
const ctrWith = (more: { readonly [name: string]: string }, ...words: readonly string[]) =>
  engine.ctrWith({ env: { ...env, ...more } }, ...words);
const ctr = (...words: readonly string[]) => ctrWith({}, ...words);
const ok = async (...words: readonly string[]): Promise<string> => {
  const result = await ctr(...words);
  if (result.status !== 0) throw new Error(`ctr ${words.join(" ")}: ${result.status}: ${result.stderr}`);
  return result.stdout.trimEnd();
};
/** Its standard error, without what the usage adds. */
const refused = async (...words: readonly string[]): Promise<string> => {
  const result = await ctr(...words);
  expect(result.status).toBe(125);
  return result.stderr.split("\n")[0] ?? "";
};
const run = (mode: string, ...words: readonly string[]) => ok("run", "--rm", `--userns=${mode}`, ...words);
const lines = (...parts: readonly string[]) => parts.join("\n");
const pidOf = async (name: string) => Number(await ok("inspect", "-f", "{{.State.Pid}}", name));
const owners = (path: string) => {
  const { uid, gid } = statSync(path);
  return `${uid}:${gid}`;
};

describe("remap", () => {
  test("root inside is the first subordinate id outside, and has a container's capabilities in its own namespace only", async () => {
    await ok("run", "-d", "--name", "seen", "--userns=remap", image, "sleep", "1000");
    const pid = await pidOf("seen");
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    expect(status).toContain(`Uid:\t${REMAP}\t${REMAP}\t${REMAP}\t${REMAP}\n`);
    expect(status).toContain(`Gid:\t${REMAP}\t${REMAP}\t${REMAP}\t${REMAP}\n`);
    expect(status).toMatch(/Groups:\t200000 \n/);
    expect(status).toContain("CapEff:\t00000000a80425fb\n");
    // Every namespace is its own, and those are owned by its user namespace: its root may set them up.
    for (const kind of ["user", "net", "mnt", "ipc", "uts", "pid"])
      expect(readlinkSync(`/proc/${pid}/ns/${kind}`)).not.toBe(readlinkSync(`/proc/self/ns/${kind}`));
    expect(
      await ok("exec", "seen", "sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups"),
    ).toBe(lines("0", ...[1, 2].map(() => `         0     ${REMAP}      ${SIZE}`), "allow"));
    // Another user, and what exec and inspect make of it.
    const inside = await ok(
      "exec",
      "-u",
      "alice",
      "seen",
      "sh",
      "-c",
      "id; echo again > /dev/stdout; sleep 1000 & readlink /proc/self/ns/user; kill $!",
    );
    expect(inside).toBe(
      lines(
        "uid=1000(alice) gid=1000(alice) groups=29(audio),44(video),1000(alice)",
        "again",
        readlinkSync(`/proc/${pid}/ns/user`),
      ),
    );
    expect(JSON.parse(await ok("inspect", "-f", "{{json .HostConfig}}", "seen"))).toMatchObject({
      UsernsMode: "remap",
      IDMappings: { UidMap: [`0:${REMAP}:${SIZE}`], GidMap: [`0:${REMAP}:${SIZE}`] },
    });
    await ok("rm", "-f", "seen");
  });

  test("the image, /dev, /etc and every mount look as they do without; proc and sysfs alone are nobody's", async () => {
    const look =
      "stat -c '%u:%g %a %n' / /bin /home/alice /etc/hosts /etc/passwd /dev /dev/null /dev/shm /dev/pts /tmp /run /.dockerenv";
    const shown = await ok("run", "--rm", image, "sh", "-c", look);
    expect(await run("remap", image, "sh", "-c", look)).toBe(shown);
    const mounts = "cut -d' ' -f2,3 /proc/mounts | grep -v cgroup | sort";
    expect(await run("remap", image, "sh", "-c", mounts)).toBe(await ok("run", "--rm", image, "sh", "-c", mounts));
    const use =
      "echo x > /dev/null && head -c 3 /dev/zero | wc -c && echo 127.0.0.9 me >> /etc/hosts && tail -1 /etc/hosts";
    expect(await run("remap", image, "sh", "-c", use)).toBe(lines("3", "127.0.0.9 me"));
    expect(
      await run("remap", image, "sh", "-c", "stat -c %u /proc /sys; mknod /tmp/x c 1 3 || echo refused"),
    ).toContain(lines("65534", "65534"));
  });

  test("what is written has the image's owners on the disk, through commit, diff, export and cp", async () => {
    const make =
      "test -e /d || { mkdir -p /d/e && echo one > /d/e/f && chown 1000:44 /d/e/f && chmod 4755 /d/e/f && ln -s f /d/e/l && rm /etc/motd && " +
      "echo more >> /etc/passwd && chown alice /home && mv /home/alice /home/bob; }; sleep 1000";
    await ok("run", "-d", "--name", "writer", "--userns=remap", image, "sh", "-c", make);
    await waitFor("the files", async () => (await ctr("exec", "writer", "test", "-d", "/home/bob")).status === 0);
    const inside = "stat -c '%u:%g %a %n' /d /d/e/f /d/e/l /etc/passwd /home /home/bob";
    const seen = await ok("exec", "writer", "sh", "-c", inside);
    expect(seen.split("\n")).toEqual([
      "0:0 755 /d",
      "1000:44 4755 /d/e/f",
      "0:0 777 /d/e/l",
      "0:0 644 /etc/passwd",
      "1000:0 755 /home",
      "1000:1000 755 /home/bob",
    ]);
    const id = await ok("inspect", "-f", "{{.Id}}", "writer");
    const upper = `${engine.root}/containers/${id}/upper`;
    expect([owners(`${upper}/d`), owners(`${upper}/d/e/f`), owners(`${upper}/etc/passwd`)]).toEqual([
      "0:0",
      "1000:44",
      "0:0",
    ]);
    expect((await ok("diff", "writer")).split("\n")).toEqual([
      "A /d",
      "A /d/e",
      "A /d/e/f",
      "A /d/e/l",
      "C /etc",
      "D /etc/motd",
      "C /etc/passwd",
      "C /home",
      "D /home/alice",
      "A /home/bob",
    ]);
    // An image of it: for a container of the host's ids, and for one of others.
    await ok("commit", "writer", "written");
    expect(await ok("run", "--rm", "written", "sh", "-c", inside)).toBe(seen);
    expect(await run("auto", "written", "sh", "-c", `${inside}; test ! -e /etc/motd && echo gone`)).toBe(
      `${seen}\ngone`,
    );
    const archive = (bytes: Uint8Array) =>
      Bun.spawnSync(["tar", "-tvf", "-", "--numeric-owner"], { stdin: bytes })
        .stdout.toString()
        .split("\n")
        .map((line) => line.replace(/^(\S+ \S+) .* (\S+)( -> .*)?$/, "$1 $2"));
    const exported = archive((await ctr("export", "writer")).bytes);
    expect(exported).toContain("-rwsr-xr-x 1000/44 d/e/f");
    expect(exported).toContain("drwxr-xr-x 1000/1000 home/bob/");
    const whole = ["drwxr-xr-x 0/0 d/", "drwxr-xr-x 0/0 d/e/", "-rwsr-xr-x 1000/44 d/e/f", "lrwxrwxrwx 0/0 l"];
    const copied = archive((await ctr("cp", "writer:/d", "-")).bytes).filter((line) => line !== "");
    expect(copied.slice(0, 3)).toEqual(whole.slice(0, 3));
    // Into it, while it runs and at rest.
    writeFileSync(`${engine.scratch}/new`, "new");
    chownSync(`${engine.scratch}/new`, 1000, 29);
    for (const state of ["running", "stopped"]) {
      if (state === "stopped") await ok("stop", "-t", "0", "writer");
      await ok("cp", `${engine.scratch}/new`, `writer:/d/${state}`);
      await ok("cp", "-a", `${engine.scratch}/new`, `writer:/d/${state}-a`);
      expect(owners(`${upper}/d/${state}`)).toBe("1000:29");
      expect(archive((await ctr("cp", "writer:/d/e", "-")).bytes)[1]).toBe("-rwsr-xr-x 1000/44 e/f");
    }
    await ok("start", "writer");
    expect(await ok("exec", "writer", "sh", "-c", "stat -c '%u:%g' /d/running /d/stopped; cat /d/running")).toBe(
      lines("1000:29", "1000:29", "new"),
    );
    chownSync(`${engine.scratch}/new`, 70_000, 0);
    const stranger = await ctr("cp", `${engine.scratch}/new`, "writer:/d/stranger");
    expect(stranger.stderr).toContain("its owner 70000:0 is nobody in the container's user namespace");
    await ok("rm", "-f", "writer");
    await ok("rmi", "written");
  });

  test("volumes belong to the container's root, binds to the host's unless idmap is asked for", async () => {
    const bind = `${engine.scratch}/bind`;
    mkdirSync(bind, { mode: 0o700 });
    writeFileSync(`${bind}/host`, "host's");
    const words = ["-v", "users:/home", "-v", `${bind}:/bind`, "-v", `${bind}:/shifted:idmap`];
    const mount = ["--mount", `type=bind,src=${bind},dst=/mount,idmap,readonly`, "--mount", "type=tmpfs,dst=/t"];
    const look =
      "stat -c '%u %n' /home /home/alice /bind /shifted /mount /t; touch /home/made /shifted/made /t/made; ls /bind; touch /mount/x";
    const { stdout, stderr } = await ctr("run", "--rm", "--userns=remap", ...words, ...mount, image, "sh", "-c", look);
    expect(stdout.trimEnd().split("\n")).toEqual([
      "0 /home",
      "1000 /home/alice",
      "65534 /bind",
      "0 /shifted",
      "0 /mount",
      "0 /t",
    ]);
    expect(stderr).toContain("/bind");
    expect(stderr).toContain("/mount/x: Read-only file system");
    expect(owners(`${bind}/made`)).toBe("0:0");
    // The same volume for other ids, and for the host's; files inside it, and a directory of it.
    const volume = await ok("volume", "inspect", "-f", "{{.Mountpoint}}", "users");
    expect([owners(volume), owners(`${volume}/made`), owners(`${volume}/alice`)]).toEqual(["0:0", "0:0", "1000:1000"]);
    for (const mode of ["auto", "host", "remap"])
      expect(
        await run(
          mode,
          "-v",
          "users:/v:ro",
          image,
          "sh",
          "-c",
          "stat -c %u /v /v/made /v/alice; touch /v/x 2> /dev/null || echo read-only",
        ),
      ).toBe(lines("0", "0", "1000", "read-only"));
    const part = "type=volume,src=users,dst=/part,volume-subpath=alice";
    expect(await run("remap", "--mount", part, image, "stat", "-c", "%u", "/part")).toBe("1000");
    expect(await refused("run", "--userns=remap", "-v", `${bind}:/b:rshared`, image, "true")).toContain("use rslave");
    expect(await refused("run", "--userns=host", "-v", `${bind}:/b:idmap`, image, "true")).toContain(
      "idmap needs a user namespace",
    );
    await ok("volume", "rm", "users");
  });

  test("network, ports, sysctls, limits, --init, --read-only, tmpfs, a health check and devices", async () => {
    await ok(
      "run",
      "-d",
      "--name",
      "server",
      "--userns=remap",
      "-p",
      "127.0.0.1::80",
      "--init",
      "--read-only",
      "--tmpfs",
      "/run:uid=1000",
      "--health-cmd",
      "test -e /run",
      "--health-interval",
      "100ms",
      "--sysctl",
      "net.ipv4.ip_forward=1",
      "--ulimit",
      "nofile=100:200",
      "--oom-score-adj",
      "500",
      "--hostname",
      "mapped",
      "--device",
      "/dev/null:/dev/other/null",
      image,
      "sh",
      "-c",
      "mkdir /run/www && echo served > /run/www/index.html && exec httpd -f -p 80 -h /run/www",
    );
    const port = (await ok("port", "server", "80")).split(":").at(-1);
    await waitFor("the server", async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined);
      return (await answer?.text()) === "served\n";
    });
    expect(
      await ok(
        "exec",
        "server",
        "sh",
        "-c",
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ping_group_range /proc/1/oom_score_adj; awk '/open files/ {print $4}' /proc/1/limits; hostname; stat -c '%u %t:%T' /dev/other/null; stat -c %u /run; touch /x 2>/dev/null || echo read-only; ping -c 1 127.0.0.1 > /dev/null && echo pinged; grep ctr-init /proc/1/comm",
      ),
    ).toBe(
      lines("1", `0\t${SIZE - 1}`, "500", "100", "mapped", "0 1:3", "1000", "read-only", "pinged", "memfd:ctr-init"),
    );
    await waitFor(
      "health",
      async () => (await ok("inspect", "-f", "{{.State.Health.Status}}", "server")) === "healthy",
    );
    await ok("pause", "server");
    await ok("unpause", "server");
    await ok("restart", "-t", "0", "server");
    expect(await ok("exec", "server", "id", "-u")).toBe("0");
    await ok("rm", "-f", "server");
  });

  test("a terminal belongs to the user, of run and of exec", async () => {
    const look = "stat -c '%u:%g' $(tty) && echo through > $(tty) && echo again > /dev/tty\n";
    const session = engine.sessionWith(
      { env },
      "run",
      "-it",
      "--name",
      "terminal",
      "--userns=remap",
      "-u",
      "alice",
      image,
      "sh",
    );
    session.type(look);
    await session.expect(/1000:5\r\nthrough\r\nagain/);
    const inside = engine.sessionWith({ env }, "exec", "-it", "terminal", "sh");
    inside.type(look);
    await inside.expect(/0:5\r\nthrough\r\nagain/);
    inside.type("exit\n");
    await inside.exited;
    session.type("exit\n");
    await session.exited;
    await ok("rm", "terminal");
  });

  test("what Docker refuses together is refused, in its words", async () => {
    expect(await refused("run", "--userns=remap", "--privileged", image, "true")).toBe(
      "ctr: privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
    );
    expect(await refused("create", "--userns=remap", "--network", "host", image).catch(() => "")).toBe("");
    expect(await refused("run", "--userns=remap", "--network", "host", image, "true")).toBe(
      "ctr: cannot share the host's network namespace when user namespaces are enabled",
    );
    expect(await refused("run", "--userns=remap", "--pid", "host", image, "true")).toBe(
      "ctr: cannot share the host PID namespace when user namespaces are enabled",
    );
    expect(await run("remap", "--ipc", "host", "--uts", "host", image, "readlink", "/proc/self/ns/ipc")).toBe(
      readlinkSync("/proc/self/ns/ipc"),
    );
  });

  test("root inside is nobody to the host's files and processes, whatever capabilities it is given", async () => {
    const secret = `${engine.scratch}/secret`;
    mkdirSync(secret);
    writeFileSync(`${secret}/root`, "root's", { mode: 0o600 });
    const all = [
      "--cap-add",
      "ALL",
      "--security-opt",
      "seccomp=unconfined",
      "--security-opt",
      "systempaths=unconfined",
    ];
    const attempts = [
      "cat /host/root",
      "chown 0:0 /host/root",
      "mknod /tmp/disk b 254 0",
      "mount -o remount,rw /host",
      "echo 1 > /proc/sys/kernel/panic",
      "echo b > /proc/sysrq-trigger",
      "dmesg -c",
    ];
    const script = attempts.map((line) => `(${line}) > /dev/null 2>&1 && echo '${line}'`).join("; ");
    // Its own namespaces it may rule: a mount of its own shows that it has the capabilities.
    const own = "mount -t tmpfs none /tmp && hostname changed && ip link set lo down && echo ruled; true";
    expect(await run("remap", ...all, "-v", `${secret}:/host`, image, "sh", "-c", `${own}; ${script}; true`)).toBe(
      "ruled",
    );
    expect(readFileSync(`${secret}/root`, "utf8")).toBe("root's");
  });
});

describe("joined", () => {
  test("who joins a container's namespaces joins its user namespace", async () => {
    await ok("run", "-d", "--name", "donor", "--userns=auto", image, "sleep", "1000");
    const user = readlinkSync(`/proc/${await pidOf("donor")}/ns/user`);
    for (const flag of ["--network", "--pid", "--userns"])
      expect(await ok("run", "--rm", flag, "container:donor", image, "readlink", "/proc/self/ns/user")).toBe(user);
    expect(
      await ok(
        "run",
        "--rm",
        "--network",
        "container:donor",
        "--pid",
        "container:donor",
        image,
        "sh",
        "-c",
        "id -u; cat /proc/1/cmdline | tr '\\0' ' '; touch /x && stat -c %u /x",
      ),
    ).toBe(lines("0", "sleep 1000 0"));
    expect(await refused("run", "--network", "container:donor", "--userns=remap", image, "true")).toContain(
      "cannot join namespaces of container donor: it has a user namespace of its own (use --userns=container:donor)",
    );
    await ok("run", "-d", "--name", "plain", image, "sleep", "1000");
    expect(await refused("run", "--network", "container:plain", "--userns=remap", image, "true")).toContain(
      "use --userns=host",
    );
    expect(await refused("run", "--network", "container:plain", "--pid", "container:donor", image, "true")).toContain(
      "different user namespaces",
    );
    // The ids stay taken as long as one of them has them.
    await ok("run", "-d", "--name", "guest", "--userns", "container:donor", image, "sleep", "1000");
    const first = await ok("inspect", "-f", "{{json .HostConfig.IDMappings.UidMap}}", "donor");
    await ok("rm", "-f", "donor");
    expect(await run("auto", image, "cat", "/proc/self/uid_map")).not.toContain(` ${AUTO} `);
    await ok("rm", "-f", "guest", "plain");
    expect(first).toBe(`["0:${AUTO}:${SIZE}"]`);
    expect(await run("auto", image, "cat", "/proc/self/uid_map")).toContain(` ${AUTO} `);
  });
});

describe("auto", () => {
  test("of sixteen at once no two have an id in common; they are free again when the containers are gone", async () => {
    const names = Array.from({ length: 16 }, (_, number) => `auto-${number}`);
    await Promise.all(
      names.map((name) => ok("create", "--name", name, "--userns=auto", image, "cat", "/proc/self/uid_map")),
    );
    const taken = await Promise.all(
      names.map(async (name) => {
        const [map = ""] = JSON.parse(await ok("inspect", "-f", "{{json .HostConfig.IDMappings.UidMap}}", name));
        return Number(map.split(":")[1]);
      }),
    );
    expect(taken.toSorted((a, b) => a - b)).toEqual(names.map((_, number) => AUTO + number * SIZE));
    expect(await ok("start", "-a", "auto-3")).toContain(` ${taken[3]} `);
    // 4 times 65536 are left.
    expect(await refused("run", "--userns=auto:size=300000", image, "true")).toContain("no 300000 in a row are free");
    expect(await run("auto:size=2000", image, "cat", "/proc/self/uid_map")).toMatch(/ 0 +\d+ +2000$/);
    // A gap in the middle is used again once it is wide enough.
    const [fifth = "", sixth = "", ...others] = names
      .toSorted((a, b) => (taken[names.indexOf(a)] ?? 0) - (taken[names.indexOf(b)] ?? 0))
      .toSpliced(0, 4);
    await ok("rm", fifth, sixth);
    expect(await run("auto:size=131072", image, "cat", "/proc/self/uid_map")).toContain(` ${AUTO + 4 * SIZE} `);
    expect(others.length).toBe(10);
    await ok("rm", ...names.filter((name) => name !== fifth && name !== sixth));
  });

  test("a command that is killed at any moment leaves no id taken", async () => {
    for (let round = 0; round < 12; round++) {
      const child = Bun.spawn(
        [
          process.env["CTR_BIN"] ?? `${import.meta.dir}/../../dist/ctr`,
          "run",
          "--rm",
          "--userns=auto:size=1000",
          image,
          "true",
        ],
        { env: { ...process.env, ...engine.env, ...env }, stdout: "ignore", stderr: "ignore" },
      );
      await Bun.sleep(8 * round);
      child.kill("SIGKILL");
      await child.exited;
    }
    // What was recorded ends by itself, or the next command finds it.
    await waitFor("the containers to end", async () => (await ok("ps", "-aq")) === "");
    expect(await run("auto", image, "cat", "/proc/self/uid_map")).toContain(` ${AUTO} `);
  });
});

describe("keep-id", () => {
  const SUDO = { SUDO_UID: "1001", SUDO_GID: "1002", SUDO_USER: "bob" };

  test("the caller's ids are its own inside, and the process has them", async () => {
    const maps = "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map";
    const words = ["run", "--rm", "--userns=keep-id", image, "sh", "-c", maps];
    const { stdout } = await ctrWith(SUDO, ...words);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.trim().replace(/ +/g, " ")),
    ).toEqual([
      "1001",
      "1002",
      "0 600000 1001",
      "1001 1001 1",
      `1002 601001 ${SIZE - 1001}`,
      `${SIZE + 1} 700000 10`,
      "0 600000 1002",
      "1002 1002 1",
      `1003 601002 ${SIZE - 1002}`,
      `${SIZE + 1} 700000 10`,
    ]);
    const home = `${engine.scratch}/home`;
    mkdirSync(home);
    chownSync(home, 1001, 1002);
    const made = await ctrWith(
      SUDO,
      "run",
      "--rm",
      "--userns=keep-id:uid=7,gid=8",
      "-v",
      `${home}:/w`,
      image,
      "sh",
      "-c",
      "id -u; stat -c %u:%g /w; touch /w/x",
    );
    expect([made.stdout, made.stderr]).toEqual(["7\n7:8\n", ""]);
    expect(owners(`${home}/x`)).toBe("1001:1002");
    const asRoot = await ctrWith(SUDO, "run", "--rm", "--userns=keep-id", "-u", "0", image, "id", "-u");
    expect(asRoot.stdout).toBe("0\n");
  });

  test("root has no id to keep", async () => {
    expect(await refused("run", "--userns=keep-id", image, "true")).toBe(
      "ctr: --userns=keep-id: root called, whose id a container is not to have: call ctr through sudo, or use --userns=remap",
    );
  });
});

describe("the files and the configuration", () => {
  test("a user without ids is told what to write, a line that means nothing is told", async () => {
    expect(await refused("run", "--userns=remap:nobody-has", image, "true")).toBe(
      `ctr: --userns=remap:nobody-has: nobody-has has no subordinate ids in ${ids}: add a line like "nobody-has:100000:65536", with ids that nobody else has`,
    );
    expect(await refused("run", "--userns=remap:broken", image, "true")).toBe(
      `ctr: ${ids}: line 7 is no name:first:count of ids below 4294967295`,
    );
    expect(await run("remap:alice", image, "cat", "/proc/self/uid_map")).toMatch(/^ +0 +500000 +1000$/);
    expect(await run("remap:1001", image, "cat", "/proc/self/uid_map")).toMatch(
      /^ +0 +600000 +65536\n +65536 +700000 +10$/,
    );
    for (const mode of ["remap:", "nonsense", "host:x", "auto:size=0", "auto:length=3", "keep-id:name=x", "container:"])
      if (mode !== "remap:")
        expect(await refused("run", `--userns=${mode}`, image, "true")).toStartWith("ctr: --userns");
  });

  test("userns-remap makes it the default, --userns=host opts out, and info says so", async () => {
    const config = `${engine.scratch}/engine.toml`;
    writeFileSync(config, 'userns-remap = "default"\nuserns-auto-user = "alice"\n');
    const configured = { CTR_CONFIG: config };
    const words = (...more: readonly string[]) => ["run", "--rm", ...more, image, "cat", "/proc/self/uid_map"];
    expect((await ctrWith(configured, ...words())).stdout).toMatch(/^ +0 +200000 +65536\n$/);
    expect((await ctrWith(configured, ...words("--userns=host"))).stdout).toMatch(/^ +0 +0 +4294967295\n$/);
    expect((await ctrWith(configured, ...words("--userns=auto:size=500"))).stdout).toMatch(/^ +0 +500000 +500\n$/);
    expect((await ctrWith(configured, ...words("--privileged"))).stderr).toContain("privileged mode is incompatible");
    expect((await ctrWith(configured, ...words("--privileged", "--userns=host"))).status).toBe(0);
    expect((await ctrWith(configured, "info", "-f", "{{json .SecurityOptions}}")).stdout).toContain('"name=userns"');
    expect(await ok("info", "-f", "{{json .SecurityOptions}}")).not.toContain("userns");
    writeFileSync(config, "userns-remap = 3\n");
    expect((await ctrWith(configured, "info")).stderr).toContain("userns-remap is not a string");
  });
});

describe("storage", () => {
  for (const driver of ["vfs", "btrfs"] as const) {
    kernelTest.if(needs("root", "ctr", ...(driver === "btrfs" ? (["btrfs"] as const) : [])))(
      `${driver}: the tree of a container is shown with shifted owners, and kept without`,
      async () => {
        const place =
          driver === "btrfs" ? mountedFileSystem(engine.scratch, "btrfs", 512 << 20) : `${engine.scratch}/vfs`;
        const store = { CTR_ROOT: `${place}/root`, ...env };
        const on = (...words: readonly string[]) => engine.ctrWith({ env: store }, "-s", driver, ...words);
        const archive = Bun.spawnSync([`${import.meta.dir}/../images/make`, "minimal"])
          .stdout.toString()
          .trim();
        expect((await on("import", archive, "flat")).status).toBe(0);
        const made = await on(
          "run",
          "--name",
          "flat",
          "--userns=remap",
          "flat",
          "sh",
          "-c",
          "touch /made; chown alice /made; stat -c %u / /made /home/alice",
        );
        expect([made.stdout, made.stderr]).toEqual(["0\n1000\n1000\n", ""]);
        expect((await on("diff", "flat")).stdout).toBe("A /made\n");
        await on("commit", "flat", "again");
        expect((await on("run", "--rm", "again", "stat", "-c", "%u", "/made")).stdout).toBe("1000\n");
        await on("rm", "-f", "flat");
        await on("system", "prune", "-af");
      },
    );
  }

  test("a file system that cannot show other owners is refused by its name", async () => {
    const place = `${engine.scratch}/proc-bind`;
    expect(await refused("run", "--userns=remap", "-v", "/proc/self/fdinfo:/b:idmap", image, "true")).toContain(
      "/proc/self/fdinfo: its file system cannot show its files with other owners",
    );
    expect(existsSync(place)).toBe(false);
    unmountFileSystems();
  });
});
