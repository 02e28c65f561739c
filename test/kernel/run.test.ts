/** `ctr run`: each flag, seen from inside the container and in the kernel's own files. */
import { describe, expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { cgroupParent, cgroupsBelow, kernelFile } from "../lib/host.ts";
import { binary, isDocker, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");

/** Runs a program in a container without a network: `inside(["-u", "alice"], "probe", "ids")`. */
const inside = (flags: readonly string[], ...program: readonly string[]) =>
  engine.ok("run", "--rm", "--network", "none", ...flags, image, ...program);

/** Values of a limit file, from whichever hierarchy has it, for the one container that runs. */
function limit(v1: readonly [controller: string, file: string], v2: string): readonly string[] {
  const text = cgroupsBelow(cgroupParent())
    .map((path) => (path.includes(`/${v1[0]}/`) ? kernelFile(`${path}/${v1[1]}`) : kernelFile(`${path}/${v2}`)))
    .filter((value) => value !== "");
  return text.map((value) => value.trim());
}

describe("program", () => {
  test("run: everything after the image belongs to the program", async () => {
    expect(await inside([], "probe", "args", "-h", "--rm", "-e", "x", "--", "")).toBe(
      "[-h]\n[--rm]\n[-e]\n[x]\n[--]\n[]",
    );
  });

  test("run: the program's status is the command's", async () => {
    expect((await engine.ctr("run", "--rm", "--network", "none", image, "probe", "exit", "7")).status).toBe(7);
  });

  test("run: a program ended by a signal gives 128 + its number", async () => {
    const result = await engine.ctr("run", "--rm", "--network", "none", image, "sh", "-c", "probe raise 15; exit $?");
    expect(result.status).toBe(143);
  });

  test("run: the program is PID 1 and leads its session", async () => {
    expect(await inside([], "probe", "session")).toBe("pid 1 ppid 0 pgid 1 sid 1");
  });

  test("--entrypoint: replaces the image's, and the arguments follow it", async () => {
    expect(await inside(["--entrypoint", "/bin/probe"], "args", "a b", "c")).toBe("[a b]\n[c]");
  });

  test("--init: PID 1 reaps orphans and passes signals on", async () => {
    const id = await engine.ok(
      "run",
      "-d",
      "--init",
      "--network",
      "none",
      image,
      "sh",
      "-c",
      "(sleep 0.1 & echo $! > /tmp/pid); exec probe pause",
    );
    await waitFor("the program", async () => (await engine.ctr("logs", id)).stdout.includes("ready"));
    const pid = await engine.ok("exec", id, "cat", "/tmp/pid");
    await waitFor(
      "the orphan to be reaped",
      async () => (await engine.ctr("exec", id, "ls", `/proc/${pid}`)).status !== 0,
    );
    expect(await engine.ok("exec", id, "pidof", "probe")).not.toBe("1");
    await engine.ok("kill", "-s", "TERM", id);
    expect(await engine.ok("wait", id)).toBe("143");
    await engine.ok("rm", id);
  });

  test.if(needs("ctr"))("--init: a program that it cannot start is told, with its status", async () => {
    const scripts = `${engine.scratch}/scripts`;
    mkdirSync(scripts);
    for (const [name, text] of [
      ["no-interpreter", "#!/nosuch\n"],
      ["no-format", "garbage"],
    ] as const)
      writeFileSync(`${scripts}/${name}`, text, { mode: 0o755 });
    const run = ["run", "--rm", "--network", "none", "--init", "-v", `${scripts}:/s`] as const;
    expect(await engine.fails(127, ...run, image, "/s/no-interpreter")).toContain('"/s/no-interpreter": no such file');
    expect(await engine.fails(126, ...run, image, "/s/no-format")).toContain('"/s/no-format": exec format error');
    expect(await engine.fails(125, ...run, "--pids-limit", "1", image, "true")).toContain("no process more is allowed");
  });

  test("-w: the working directory is made when it is missing", async () => {
    expect(await inside(["-w", "/a/b/c"], "probe", "cwd")).toBe("/a/b/c");
    expect(await inside(["-w", "/a/b"], "probe", "stat", "/a/b")).toStartWith("mode 40755 uid 0 gid 0");
  });

  test("nothing but descriptors 0, 1 and 2 reaches the program", async () => {
    expect((await inside([], "probe", "fds")).split("\n").map((line) => line.split(" ")[0])).toEqual(["0", "1", "2"]);
  });

  test("the caller's signal mask, dispositions, nice and umask do not reach the program", async () => {
    expect(await inside([], "probe", "signals")).toBe("blocked:\nignored:");
    expect(await inside([], "probe", "process")).toBe("umask 0022\nnice 0\ndumpable 1\npdeathsig 0");
    const patient = ["sh", "-c", 'umask 077; trap "" USR1; exec nice -n 7 "$@"', "sh", binary(), "run", "--rm"];
    const child = Bun.spawn([...patient, "--network", "none", image, "sh", "-c", "probe signals; probe process"], {
      env: { ...process.env, ...engine.env },
      stderr: "inherit",
    });
    expect(await child.stdout.text()).toBe("blocked:\nignored:\numask 0022\nnice 0\ndumpable 1\npdeathsig 0\n");
  });
});

describe("environment", () => {
  test("-e: PATH, HOSTNAME, what is given, HOME", async () => {
    const lines = (await inside(["-h", "box", "-e", "A=1", "-e", "B=x y", "-e", "C="], "probe", "env")).split("\n");
    expect(lines).toEqual([
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "HOSTNAME=box",
      "A=1",
      "B=x y",
      "C=",
      "HOME=/root",
    ]);
  });

  test("-e NAME: copied from the caller, or left out", async () => {
    const result = await engine.ctrWith(
      { env: { GIVEN: "from outside" } },
      "run",
      "--rm",
      "--network",
      "none",
      "-e",
      "GIVEN",
      "-e",
      "NOT_SET_HERE",
      image,
      "probe",
      "env",
    );
    expect(result.stdout).toContain("GIVEN=from outside\n");
    expect(result.stdout).not.toContain("NOT_SET_HERE");
  });

  test("-e: a repeated name is replaced, and PATH can be", async () => {
    const lines = (await inside(["-e", "A=1", "-e", "A=2", "-e", "PATH=/bin"], "/bin/probe", "env")).split("\n");
    expect(lines.filter((line) => line.startsWith("A="))).toEqual(["A=2"]);
    expect(lines.filter((line) => line.startsWith("PATH="))).toEqual(["PATH=/bin"]);
  });

  test("--env-file: comments, blanks, no quotes; -e wins", async () => {
    const file = `${engine.scratch}/env`;
    writeFileSync(file, "# comment\n  A=1\nB='q' \n\nGIVEN\nC=file\n");
    const result = await engine.ctrWith(
      { env: { GIVEN: "yes" } },
      "run",
      "--rm",
      "--network",
      "none",
      "--env-file",
      file,
      "-e",
      "C=flag",
      image,
      "probe",
      "env",
    );
    expect(result.stdout).toContain("\nA=1\nB='q' \nGIVEN=yes\nC=flag\n");
  });

  test("the caller's environment does not reach the container", async () => {
    const result = await engine.ctrWith(
      { env: { SECRET_OF_CALLER: "1" } },
      "run",
      "--rm",
      "--network",
      "none",
      image,
      "probe",
      "env",
    );
    expect(result.stdout).not.toContain("SECRET_OF_CALLER");
    expect(result.stdout).not.toMatch(/BUN|CTR_|NODE_/);
  });
});

describe("user", () => {
  test("-u name: uid, gid and supplementary groups from the image", async () => {
    expect(await inside(["-u", "alice"], "probe", "ids")).toMatch(
      /^uid 1000 1000 1000\ngid 1000 1000 1000\ngroups (1000 29 44|29 44 1000)$/,
    );
  });

  test("-u name: HOME is the user's", async () => {
    expect(await inside(["-u", "alice"], "probe", "env")).toContain("HOME=/home/alice");
  });

  test("-u uid:gid: numbers need no entry, and an explicit group means no others", async () => {
    expect(await inside(["-u", "4242:4343"], "probe", "ids")).toStartWith(
      "uid 4242 4242 4242\ngid 4343 4343 4343\ngroups",
    );
    expect(await inside(["-u", "alice:audio"], "probe", "ids")).not.toContain("44");
  });

  test("-u: a name that does not resolve is 125", async () => {
    expect(await engine.fails(125, "run", "--rm", "--network", "none", "-u", "nosuch", image, "true")).toContain(
      "nosuch",
    );
  });

  test("-u and --group-add on the bridge: the reason is init's, however netd fares meanwhile", async () => {
    const refused = async (...flags: readonly string[]) =>
      (await engine.fails(125, "run", "--rm", ...flags, image, "true")).split("\n")[0];
    for (let round = 0; round < 8; round++) {
      expect(await refused("-u", "nosuch")).toContain("unable to find user nosuch: no matching entries in passwd file");
      expect(await refused("--group-add", "nosuch")).toMatch(
        /nable to find group nosuch: no matching entries in group/,
      );
    }
  });

  test("the primary group is among the supplementary ones: a set-gid program cannot shed it", async () => {
    expect(await inside(["-u", "4242:4343"], "probe", "ids")).toEndWith("groups 4343");
    expect(await inside(["-u", "4242:4343", "--group-add", "55"], "probe", "ids")).toMatch(/groups (4343 55|55 4343)$/);
    expect(await inside([], "probe", "ids")).toEndWith("groups 0");
  });
});

describe("mounts", () => {
  test("-v: a host directory, read-write and read-only", async () => {
    const dir = `${engine.scratch}/shared`;
    mkdirSync(dir);
    await inside(["-v", `${dir}:/mnt/a`], "sh", "-c", "echo hello > /mnt/a/file");
    expect(readFileSync(`${dir}/file`, "utf8")).toBe("hello\n");
    expect(await inside(["-v", `${dir}:/mnt/a:ro`], "sh", "-c", "cat /mnt/a/file; probe create /mnt/a/new")).toBe(
      "hello\nerrno 30",
    );
  });

  test("-v: a missing host directory is made", async () => {
    await inside(["-v", `${engine.scratch}/made/here:/mnt`], "touch", "/mnt/x");
    expect(readFileSync(`${engine.scratch}/made/here/x`, "utf8")).toBe("");
  });

  test("-v: a file can be mounted on a file", async () => {
    writeFileSync(`${engine.scratch}/motd`, "mine\n");
    expect(await inside(["-v", `${engine.scratch}/motd:/etc/motd:ro`], "cat", "/etc/motd")).toBe("mine");
  });

  test("-v: a named volume keeps its content between containers, and takes the image's first", async () => {
    await inside(["-v", "kept:/home/alice"], "sh", "-c", "echo 1 > /home/alice/n");
    expect(await inside(["-v", "kept:/v"], "sh", "-c", "cat /v/n; stat -c %u /v")).toBe("1\n1000");
  });

  test("--tmpfs: an empty file system with its options", async () => {
    const line = (await inside(["--tmpfs", "/scratch:size=1m,mode=1770"], "probe", "mounts"))
      .split("\n")
      .find((mount) => mount.includes(" /scratch "));
    expect(line).toMatch(/nosuid,nodev,noexec.* - tmpfs .*size=1024k.*mode=1770/);
  });

  test("--read-only: the root cannot be written, a tmpfs can", async () => {
    expect(
      await inside(
        ["--read-only", "--tmpfs", "/tmp"],
        "sh",
        "-c",
        "probe create /x; probe create /etc/x; probe create /tmp/x",
      ),
    ).toBe("errno 30\nerrno 30\nok");
  });

  test("the default mounts are Docker's, and nothing of the host's shows", async () => {
    const mounts = (await inside([], "probe", "mounts")).split("\n").map((line) => line.split(" "));
    const targets = mounts.map((fields) => fields[4]);
    for (const target of [
      "/",
      "/proc",
      "/dev",
      "/dev/pts",
      "/dev/shm",
      "/dev/mqueue",
      "/sys",
      "/etc/hosts",
      "/etc/hostname",
      "/etc/resolv.conf",
    ]) {
      expect(targets).toContain(target);
    }
    expect(targets.join(" ")).not.toContain(engine.root);
  });

  test("masked paths are empty and read-only paths cannot be written", async () => {
    expect(
      await inside(
        [],
        "sh",
        "-c",
        "cat /proc/kcore | wc -c; ls /sys/firmware | wc -l; probe write /proc/sys/kernel/domainname",
      ),
    ).toBe("0\n0\nerrno 30");
  });

  test("/dev has the usual nodes, a private shm, and no console without -t", async () => {
    // /dev/core is there if the kernel has /proc/kcore.
    expect((await inside([], "sh", "-c", "echo /dev/*")).replace("/dev/core ", "")).toBe(
      "/dev/fd /dev/full /dev/mqueue /dev/null /dev/ptmx /dev/pts /dev/random /dev/shm /dev/stderr /dev/stdin /dev/stdout /dev/tty /dev/urandom /dev/zero",
    );
    expect(
      await inside([], "sh", "-c", "echo x > /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c"),
    ).toBe("4\n4");
  });
});

describe("identity", () => {
  test("-h: hostname, /etc/hostname and /etc/hosts agree", async () => {
    expect(await inside(["-h", "web.example.com"], "sh", "-c", "probe hostname; cat /etc/hostname")).toBe(
      "web.example.com\nweb.example.com",
    );
  });

  test("without -h the hostname is the first 12 digits of the id", async () => {
    const id = await engine.ok("run", "-d", "--network", "none", image, "probe", "hostname");
    await engine.ok("wait", id);
    expect(await engine.ok("logs", id)).toBe(id.slice(0, 12));
    await engine.ok("rm", id);
  });

  test("every namespace is the container's own", async () => {
    const mine = new Set(
      Bun.spawnSync([
        "sh",
        "-c",
        "readlink /proc/self/ns/ipc /proc/self/ns/mnt /proc/self/ns/net /proc/self/ns/pid /proc/self/ns/uts",
      ])
        .stdout.toString()
        .trim()
        .split("\n"),
    );
    const theirs = (await inside([], "probe", "ns")).split("\n");
    expect(theirs.length).toBeGreaterThanOrEqual(6);
    expect(theirs.filter((ns) => mine.has(ns))).toEqual([]);
  });

  test("--name and -l: found by name, shown by inspect", async () => {
    const id = await engine.ok(
      "run",
      "-d",
      "--name",
      "named",
      "-l",
      "tier=web",
      "-l",
      "empty",
      "--network",
      "none",
      image,
      "true",
    );
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(await engine.ok("inspect", "-f", "{{.Name}} {{.Config.Labels.tier}}", "named")).toBe("/named web");
    expect(await engine.ok("ps", "-aq", "--no-trunc", "--filter", "label=tier=web")).toBe(id);
    await engine.ok("wait", "named");
    await engine.ok("rm", "named");
  });

  test("--rm: nothing is left of the container", async () => {
    await engine.ok("run", "--rm", "--name", "gone", "--network", "none", image, "true");
    expect(await engine.ok("ps", "-aq", "--filter", "name=gone")).toBe("");
  });

  test("-d --rm: gone once it has ended", async () => {
    await engine.ok("run", "-d", "--rm", "--name", "gone", "--network", "none", image, "true");
    await waitFor("the container to go", async () => (await engine.ok("ps", "-aq", "--filter", "name=gone")) === "");
  });
});

describe("security", () => {
  test("the default capabilities are Docker's fourteen", async () => {
    expect(await inside([], "probe", "caps")).toBe(
      [
        "CapInh:\t0000000000000000",
        "CapPrm:\t00000000a80425fb",
        "CapEff:\t00000000a80425fb",
        "CapBnd:\t00000000a80425fb",
        "CapAmb:\t0000000000000000",
      ].join("\n"),
    );
  });

  test("another user keeps only the bounding set", async () => {
    const caps = await inside(["-u", "alice"], "probe", "caps");
    expect(caps).toContain("CapEff:\t0000000000000000");
    expect(caps).toContain("CapBnd:\t00000000a80425fb");
  });

  test("--cap-drop and --cap-add: in any spelling", async () => {
    expect(await inside(["--cap-drop", "ALL"], "probe", "caps")).toContain("CapBnd:\t0000000000000000");
    expect(
      await inside(["--cap-drop", "all", "--cap-add", "net_admin", "--cap-add", "CAP_SYS_TIME"], "probe", "caps"),
    ).toContain("CapEff:\t0000000002001000");
    expect(await inside(["--cap-drop", "CHOWN"], "probe", "caps")).toContain("CapBnd:\t00000000a80425fa");
  });

  test("a seccomp filter is on, and what it forbids answers as Docker's does", async () => {
    expect(await inside([], "probe", "seccomp")).toContain("Seccomp:\t2");
    const forbidden = (number: number, ...args: readonly string[]) =>
      inside([], "probe", "syscall", String(number), ...args);
    if (process.arch === "x64") {
      expect(await forbidden(272, "0x10000000")).toBe("errno 1"); // unshare(CLONE_NEWUSER)
      expect(await forbidden(250, "0")).toBe("errno 1"); // keyctl
      expect(await forbidden(165)).toBe("errno 1"); // mount
      expect(await forbidden(246)).toBe("errno 1"); // kexec_load
      expect(await forbidden(435)).toBe("errno 38"); // clone3: ENOSYS, so that the C library falls back
      expect(await forbidden(39)).toBe("ok 1"); // getpid
    }
  });

  test("--security-opt no-new-privileges and seccomp=unconfined", async () => {
    expect(await inside(["--security-opt", "no-new-privileges"], "probe", "seccomp")).toContain("NoNewPrivs:\t1");
    expect(await inside(["--security-opt", "seccomp=unconfined"], "probe", "seccomp")).toContain("Seccomp:\t0");
  });

  // runc asks for capabilities that the machine itself may lack; ctr grants what there is.
  test.if(!isDocker())("--privileged: every capability, no filter, host devices, nothing masked", async () => {
    const all = kernelFile("/proc/self/status").match(/CapBnd:\t(\w+)/)?.[1];
    const text = await inside(
      ["--privileged"],
      "sh",
      "-c",
      "probe caps; probe seccomp; probe write /proc/sys/kernel/domainname",
    );
    expect(text).toContain(`CapEff:\t${all}`);
    expect(text).toContain("Seccomp:\t0");
    expect(text).toEndWith("ok");
  });

  test("a device that is not in the list cannot be made and opened", async () => {
    const text = await inside([], "sh", "-c", "mknod /tmp/vda b 254 0 && probe read /tmp/vda");
    expect(text).toBe("errno 1");
  });
});

describe("resources", () => {
  /** Starts a container that stays, gives its limits to `body`, removes it. */
  async function limited(flags: readonly string[], body: (id: string) => void | Promise<void>): Promise<void> {
    const id = await engine.ok("run", "-d", "--network", "none", ...flags, image, "probe", "pause");
    try {
      await body(id);
    } finally {
      await engine.ok("rm", "-f", id);
    }
  }

  test("-m: in the kernel's file, and swap is twice that", async () => {
    await limited(["-m", "32m"], async (id) => {
      expect(limit(["memory", "memory.limit_in_bytes"], "memory.max")).toContain("33554432");
      expect(await engine.ok("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}", id)).toBe(
        "33554432 67108864",
      );
    });
  });

  test("-m: exceeding it is an OOM kill, 137 and OOMKilled", async () => {
    const id = await engine.ok("create", "-m", "16m", "--network", "none", image, "probe", "alloc", "200");
    expect((await engine.ctr("start", "-a", id)).status).toBe(137);
    expect(await engine.ok("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", id)).toBe("true 137");
    await engine.ok("rm", id);
  });

  test("-m: below the limit nothing happens", async () => {
    expect(await inside(["-m", "64m"], "probe", "alloc", "32")).toBe("allocated 32");
  });

  test("--cpus: the quota is in the kernel's file and holds", async () => {
    await limited(["--cpus", "0.5"], () => {
      const quota = [...limit(["cpu", "cpu.cfs_quota_us"], "cpu.max")];
      expect(quota.some((value) => value === "50000" || value === "50000 100000")).toBe(true);
    });
    const used = Number(await inside(["--cpus", "0.25"], "probe", "burn", "1000"));
    expect(used).toBeLessThan(45);
  });

  test("--cpu-shares: in the kernel's file", async () => {
    await limited(["--cpu-shares", "512"], () => {
      // cgroup v2 has weights: 59 by the curve of runc 1.3, on which 1024 shares are 100.
      expect(limit(["cpu", "cpu.shares"], "cpu.weight").some((value) => value === "512" || value === "59")).toBe(true);
    });
  });

  test("--cpuset-cpus: the program runs there only", async () => {
    expect(await inside(["--cpuset-cpus", "0"], "probe", "status")).toContain("Cpus_allowed_list:\t0\n");
  });

  test("--pids-limit: in the kernel's file, and fork fails beyond it", async () => {
    await limited(["--pids-limit", "20"], () => {
      expect(limit(["pids", "pids.max"], "pids.max")).toContain("20");
    });
    const id = await engine.ok("run", "-d", "--network", "none", "--pids-limit", "10", image, "probe", "forks", "50");
    await waitFor("the forks", async () => (await engine.ok("logs", id)) === "forked 9 limited");
    await engine.ok("rm", "-f", id);
  });
});

describe("network", () => {
  test("--network none: only the loopback device, and it is up", async () => {
    expect(await inside([], "sh", "-c", "ip -o link | wc -l; ip -o addr show lo | grep -c 127.0.0.1")).toBe("1\n1");
  });

  test("--network host: the host's own links", async () => {
    const mine = Bun.spawnSync(["readlink", "/proc/self/ns/net"]).stdout.toString().trim();
    expect(await engine.ok("run", "--rm", "--network", "host", image, "probe", "ns")).toContain(mine);
  });

  test("--network bridge: eth0 with an address, a default route and its name in /etc/hosts", async () => {
    const text = await engine.ok(
      "run",
      "--rm",
      "-h",
      "box",
      image,
      "sh",
      "-c",
      "ip -4 -o addr show eth0; ip route; cat /etc/hosts",
    );
    expect(text).toMatch(/eth0 .*inet 172\.\d+\.\d+\.\d+\/16/);
    expect(text).toMatch(/default via 172\.\d+\.0\.1 dev eth0/);
    expect(text).toMatch(/172\.\d+\.\d+\.\d+\tbox/);
  });

  test("--network bridge: containers reach each other by address, and the gateway answers", async () => {
    const id = await engine.ok(
      "run",
      "-d",
      image,
      "sh",
      "-c",
      "mkdir /www && echo from-the-other > /www/index.html && httpd -f -h /www",
    );
    const address = await engine.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", id);
    expect(address).toMatch(/^172\./);
    await waitFor(
      "the server",
      async () =>
        (await engine.ctr("run", "--rm", image, "wget", "-q", "-O", "-", `http://${address}/`)).stdout ===
        "from-the-other\n",
    );
    await engine.ok("rm", "-f", id);
  });

  test("--network container: shares the namespace, hosts and hostname", async () => {
    const id = await engine.ok("run", "-d", "-h", "donor", image, "probe", "pause");
    const address = await engine.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", id);
    const text = await engine.ok(
      "run",
      "--rm",
      "--network",
      `container:${id}`,
      image,
      "sh",
      "-c",
      "ip -4 -o addr show eth0; probe hostname",
    );
    expect(text).toContain(`${address}/16`);
    expect(text).toEndWith("donor");
    await engine.ok("rm", "-f", id);
  });

  test("-p: reachable on every address of the host, and from another container", async () => {
    const id = await engine.ok(
      "run",
      "-d",
      "-p",
      "0:80",
      image,
      "sh",
      "-c",
      "mkdir /www && echo published > /www/index.html && httpd -f -h /www",
    );
    const port = (await engine.ok("port", id, "80")).split("\n")[0]?.split(":").at(-1) ?? "";
    expect(port).toMatch(/^\d+$/);
    const fetchFrom = async (host: string) =>
      fetch(`http://${host}:${port}/`, { signal: AbortSignal.timeout(5000) }).then(
        (response) => response.text(),
        () => "no answer",
      );
    await waitFor("the server", async () => (await fetchFrom("127.0.0.1")) === "published\n");
    const gateway = await engine.ok("inspect", "-f", "{{.NetworkSettings.Gateway}}", id);
    expect(await fetchFrom(gateway)).toBe("published\n");
    expect(await engine.ok("run", "--rm", image, "wget", "-q", "-O", "-", `http://${gateway}:${port}/`)).toBe(
      "published",
    );
    await engine.ok("rm", "-f", id);
  });

  test("-p: UDP, and on one address of the host only", async () => {
    const id = await engine.ok("run", "-d", "-p", "127.0.0.1:18125:8125/udp", image, "probe", "udp", "8125");
    expect(await engine.ok("port", id)).toBe("8125/udp -> 127.0.0.1:18125");
    await waitFor("the server", async () => (await engine.ok("logs", id)) === "ready");
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = await Bun.udpSocket({
      connect: { hostname: "127.0.0.1", port: 18125 },
      socket: { data: (_socket, bytes) => resolve(bytes.toString()) },
    });
    socket.send("ping");
    expect(await promise).toBe("ping");
    socket.close();
    await engine.ok("rm", "-f", id);
  });

  test("-p: a port that is taken is refused with 125, and nothing is left", async () => {
    const first = await engine.ok("run", "-d", "-p", "18080:80", image, "probe", "pause");
    expect(
      await engine.fails(125, "run", "-d", "--name", "second", "-p", "18080:80", image, "probe", "pause"),
    ).toContain("port is already allocated");
    await engine.ok("rm", "-f", first);
    await engine.ctr("rm", "-f", "second");
  });

  test("after all of it nothing is left but the bridge", async () => {
    await engine.expectNothingLeft();
  });
});

describe("forms of flags", () => {
  test.if(needs("ctr"))("a thousand-process container is stopped cleanly", async () => {
    const id = await engine.ok("run", "-d", "--network", "none", image, "probe", "forks", "1000");
    await waitFor("the forks", async () => (await engine.ok("logs", id)) === "forked 1000");
    const started = performance.now();
    await engine.ok("stop", "-t", "0", id);
    expect(performance.now() - started).toBeLessThan(5000);
    await engine.ok("rm", id);
    await engine.expectNothingLeft();
  });

  test("short flags may be joined, and values may follow an equals sign", async () => {
    expect(await engine.ok("run", "--rm", "--network=none", "-eA=1", "-w/tmp", image, "sh", "-c", "echo $A $PWD")).toBe(
      "1 /tmp",
    );
    expect(await engine.ok("run", "-i", "--rm=true", "--network=none", image, "echo", "x")).toBe("x");
  });

  test("a pretty name is given when none is", async () => {
    const id = await engine.ok("create", "--network", "none", image, "true");
    expect(await engine.ok("inspect", "-f", "{{.Name}}", id)).toMatch(/^\/[a-z]+_[a-z]+\d*$/);
    await engine.ok("rm", id);
  });

  test.if(!isDocker())("containers started at once get names and addresses of their own", async () => {
    const ids = await Promise.all(Array.from({ length: 6 }, () => engine.ok("run", "-d", image, "probe", "pause")));
    const addresses = await Promise.all(
      ids.map((id) => engine.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", id)),
    );
    expect(new Set(addresses).size).toBe(6);
    await engine.ok("rm", "-f", ...ids);
  });
});
