/** `update`: limits of a living and of a stopped container, in the kernel's files and in the record. */
import { expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { cgroupParent, cgroupsBelow, kernelFile } from "../lib/host.ts";
import { isDocker, needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const parent = cgroupParent();

/** One file of a container's cgroup; v1's controller and name. */
function file(id: string, controller: string, name: string): string {
  const path = cgroupsBelow(parent).find((found) => found.endsWith(`/${id}`) && found.includes(`/${controller}/`));
  return path === undefined ? "" : kernelFile(`${path}/${name}`).trim();
}

const field = (id: string, name: string) => engine.ok("inspect", "-f", `{{.HostConfig.${name}}}`, id);

async function running(flags: readonly string[], body: (id: string) => Promise<void>): Promise<void> {
  const id = await engine.ok("run", "-d", "--network", "none", ...flags, image, "sleep", "1000");
  try {
    await body(id);
  } finally {
    await engine.ok("rm", "-f", id);
  }
}

test("a running container has its new limits at once, and a restart keeps them", async () => {
  if (!needs("cgroup-v1")) return;
  await running(["--name", "web", "-m", "64m"], async (id) => {
    expect(
      await engine.ok(
        ...["update", "-m", "128m", "--memory-swap", "256m", "--memory-reservation", "32m", "--cpus", "0.5"],
        ...["--cpu-shares", "512", "--pids-limit", "77", "--cpuset-cpus", "0", "web"],
      ),
    ).toBe("web");
    const limits = () => ({
      memory: file(id, "memory", "memory.limit_in_bytes"),
      swap: file(id, "memory", "memory.memsw.limit_in_bytes"),
      reservation: file(id, "memory", "memory.soft_limit_in_bytes"),
      quota: file(id, "cpu", "cpu.cfs_quota_us"),
      shares: file(id, "cpu", "cpu.shares"),
      pids: file(id, "pids", "pids.max"),
      cpus: file(id, "cpuset", "cpuset.cpus"),
    });
    const wanted = {
      memory: String(128 << 20),
      swap: String(256 << 20),
      reservation: String(32 << 20),
      quota: "50000",
      shares: "512",
      pids: "77",
      cpus: "0",
    };
    expect(limits()).toEqual(wanted);
    expect(await field(id, "Memory")).toBe(String(128 << 20));
    expect(await field(id, "NanoCpus")).toBe("500000000");
    await engine.ok("restart", "-t", "0", "web");
    expect(limits()).toEqual(wanted);
    await engine.ok("stop", "-t", "0", "web");
    // The cpuset's directory was made by the update: it goes with the others.
    expect(cgroupsBelow(parent).filter((path) => path.includes(id))).toEqual([]);
    await engine.ok("start", "web");
    expect(limits()).toEqual(wanted);
  });
});

test("processes that run already are in a controller that an update brings in, and those of exec later", async () => {
  if (!needs("cgroup-v1")) return;
  await running([], async (id) => {
    await engine.ok("update", "--cpuset-cpus", "0", id);
    expect(await engine.ok("exec", id, "grep", "Cpus_allowed_list", "/proc/1/status")).toBe("Cpus_allowed_list:\t0");
    const pids = file(id, "cpuset", "cgroup.procs").split("\n");
    expect(pids.length).toBe(1);
  });
});

test("a stopped container is changed in its record, and has the limits at its start", async () => {
  if (!needs("cgroup-v1")) return;
  const id = await engine.ok("create", "--network", "none", "--name", "later", image, "sleep", "1000");
  expect(await engine.ok("update", "--pids-limit", "33", "--restart", "on-failure:3", "later")).toBe("later");
  expect(await field(id, "RestartPolicy.Name")).toBe("on-failure");
  expect(await field(id, "RestartPolicy.MaximumRetryCount")).toBe("3");
  await engine.ok("start", "later");
  expect(file(id, "pids", "pids.max")).toBe("33");
  await engine.ok("update", "--pids-limit", "-1", "later");
  expect(file(id, "pids", "pids.max")).toBe("max");
  await engine.ok("rm", "-f", "later");
});

test("a paused one too; several at once, each named when done", async () => {
  await running(["--name", "one"], async () => {
    await running(["--name", "two"], async () => {
      await engine.ok("pause", "one");
      expect(await engine.ok("update", "--cpu-shares", "100", "one", "two")).toBe("one\ntwo");
      const { stdout, stderr, status } = await engine.ctr("update", "--cpu-shares", "200", "one", "nosuch", "two");
      expect(stdout).toBe("one\ntwo\n");
      expect(stderr).toContain("No such container: nosuch");
      expect(status).toBe(1);
      expect(await field("two", "CpuShares")).toBe("200");
    });
  });
});

test("what Docker refuses is refused in its words, and nothing is recorded", async () => {
  await running(["--name", "fixed", "-m", "64m", "--cpus", "0.5"], async (id) => {
    const fails = (...flags: readonly string[]) => engine.fails(1, "update", ...flags, "fixed");
    expect(await engine.fails(1, "update", "fixed")).toContain(
      "you must provide one or more flags when using this command",
    );
    expect(await fails("-m", "1g")).toContain(
      `Cannot update container ${id}: Memory limit should be smaller than already set memoryswap limit, ` +
        "update the memoryswap at the same time",
    );
    const alone = await fails("-m", "1m");
    expect(alone).toContain(": Minimum memory limit allowed is 6MB");
    expect(alone).not.toContain("Cannot update");
    expect(await fails("--cpu-quota", "20000")).toContain(
      "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
    );
    expect(await fails("--cpu-period", "20000")).toContain(
      "CPU Period cannot be updated as NanoCPUs has already been set",
    );
    // Engines before 25 began with a capital.
    expect(await fails("--cpus", "1000")).toMatch(/[Rr]ange of CPUs is from 0.01 to/);
    expect(await fails("--cpuset-cpus", "4095")).toContain("Requested CPUs are not available - requested 4095");
    expect(await fails("--restart", "sometimes")).toContain("invalid restart policy: unknown policy 'sometimes'");
    expect(await engine.fails(125, "update", "--restart", "on-failure:x", "fixed")).toContain(
      "invalid restart policy format: maximum retry count must be an integer",
    );
    expect(await engine.fails(125, "update", "--memory", "x", "fixed")).toContain(
      'invalid argument "x" for "-m, --memory" flag',
    );
    expect(await engine.fails(125, "update", "--bogus", "fixed")).toContain("unknown flag: --bogus");
    expect(await field(id, "Memory")).toBe(String(64 << 20));
    expect(await field(id, "RestartPolicy.Name")).toBe("no");
  });
  await running(["--rm", "--name", "brief"], async () => {
    expect(await engine.fails(1, "update", "--restart", "always", "brief")).toContain(
      "Restart policy cannot be updated because AutoRemove is enabled for the container",
    );
  });
});

test("a limit that the kernel refuses is not recorded", async () => {
  // Docker passes on runc's words.
  if (!needs("cgroup-v1") || isDocker()) return;
  await running(["-m", "128m", "--memory-swap", "128m"], async (id) => {
    await engine.ok("exec", id, "sh", "-c", "head -c 60000000 /dev/zero > /dev/shm/full");
    const stderr = await engine.fails(1, "update", "-m", "16m", "--memory-swap", "16m", id);
    expect(stderr).toContain("bytes are in use and could not be reclaimed");
    expect(await field(id, "Memory")).toBe(String(128 << 20));
  });
});

test("a limit that this machine cannot give is a warning", async () => {
  // Docker's stands on standard output, behind the name.
  if (!needs("cgroup-v1") || isDocker()) return;
  await running(["--name", "warned"], async (id) => {
    const { stdout, stderr, status } = await engine.ctr("update", "--blkio-weight", "300", "warned");
    expect({ stdout, status }).toEqual({ stdout: "warned\n", status: 0 });
    const hasWeight = kernelFile("/sys/fs/cgroup/blkio/blkio.bfq.weight") !== "";
    expect(stderr).toBe(
      hasWeight
        ? ""
        : "WARNING: Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.\n",
    );
    expect(await field(id, "BlkioWeight")).toBe(hasWeight ? "300" : "0");
  });
});

test("--restart of a running container holds from its next end on", async () => {
  const script = "while [ ! -e /go ]; do sleep 0.05; done; rm /go; exit 3";
  await engine.ok("run", "-d", "--network", "none", "--name", "again", image, "sh", "-c", script);
  await engine.ok("update", "--restart", "on-failure:5", "again");
  await engine.ok("exec", "again", "touch", "/go");
  await waitFor(
    "the restart",
    async () => (await engine.ok("inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "again")) === "1 running",
  );
  await engine.ok("update", "--restart", "no", "again");
  await engine.ok("exec", "again", "touch", "/go");
  expect(await engine.ok("wait", "again")).toBe("3");
  expect(await engine.ok("inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "again")).toBe("1 exited");
  await engine.ok("rm", "again");
});
