/**
 * `ctr oci` under a service manager: sd_notify(3) by NOTIFY_SOCKET, signals that come before there is a program, and
 * `--pidfd-socket`.
 */
import { expect } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { type Config, tempOciRuntime } from "../lib/oci-runtime.ts";
import { openSession } from "../lib/terminal.ts";
import { test } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const runtime = tempOciRuntime();
const { oci, ociWith, ok, bundle, state } = runtime;

/** Takes datagrams as a manager does: prints them, and closes what comes with a barrier. */
const MANAGER = `
import os, socket, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\\0" + name[1:] if name.startswith("@") else name)
print("listening", flush=True)
while True:
    data, fds, _, _ = socket.recv_fds(s, 4096, 4)
    print(repr(data.decode()), flush=True)
    for fd in fds: os.close(fd)
    if data == b"BARRIER=1": break
`;

/** Says something first that nobody waits for, then that it is ready. */
const SERVICE = `
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
s.send(b"STATUS=starting")
time.sleep(0.2)
s.send(b"STATUS=up\\nREADY=1")
time.sleep(1000)
`;

/** The machine's own interpreter for the container. */
function withPython(config: Config): void {
  const binds = ["/usr", "/lib", "/lib64"].map((place) => ({
    destination: place,
    type: "bind",
    source: place,
    options: ["rbind", "ro"],
  }));
  config["mounts"] = [...(config["mounts"] as readonly object[]), ...binds];
}

interface Reader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
}

/** What is written until the end. */
async function rest(reader: Reader): Promise<string> {
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return text;
    text += new TextDecoder().decode(value);
  }
}

function manager(name: string) {
  const child = Bun.spawn(["python3", "-c", MANAGER, name], { stdout: "pipe", stderr: "inherit" });
  const reader = child.stdout.getReader();
  const heard = async () => (await rest(reader)).trim().split("\n");
  return { listening: reader.read(), heard, end: () => child.kill("SIGKILL") };
}

const service = () => bundle(["/usr/bin/python3", "-c", SERVICE], withPython);

test("a detached run, and a start, end when the program is ready; the service is its first process", async () => {
  for (const how of ["run", "create"] as const) {
    const socket = how === "run" ? `${runtime.home}/manager.sock` : `@ctr-test-${process.pid}`;
    const { listening, heard, end } = manager(socket);
    try {
      await listening;
      const env = { NOTIFY_SOCKET: socket };
      const flags = how === "run" ? ["run", "--detach"] : ["create"];
      expect((await ociWith({ env }, ...flags, "--bundle", service(), how)).stderr).toBe("");
      if (how === "create") expect(await ociWith({ env }, "start", how)).toEqual({ status: 0, stdout: "", stderr: "" });
      const { pid } = await state(how);
      expect(await heard()).toEqual([`'READY=1\\nMAINPID=${pid}'`, "'BARRIER=1'"]);
      await ok("delete", "--force", how);
    } finally {
      end();
    }
  }
});

test("a run in the foreground is the service itself, and goes on", async () => {
  const socket = `${runtime.home}/front.sock`;
  const { listening, heard, end } = manager(socket);
  try {
    await listening;
    const child = Bun.spawn([runtime.path, "--root", runtime.root, "run", "--bundle", service(), "front"], {
      env: { ...process.env, NOTIFY_SOCKET: socket },
    });
    expect(await heard()).toEqual([`'READY=1\\nMAINPID=${child.pid}'`, "'BARRIER=1'"]);
    expect((await state("front")).status).toBe("running");
    await ok("kill", "front", "KILL");
    expect(await child.exited).toBe(137);
  } finally {
    end();
  }
});

test("a run with a terminal tells the manager too", async () => {
  const socket = `${runtime.home}/terminal.sock`;
  const { listening, heard, end } = manager(socket);
  try {
    await listening;
    const directory = bundle(["/usr/bin/python3", "-c", SERVICE], (config) => {
      withPython(config);
      config.process.terminal = true;
    });
    const command = ["env", `NOTIFY_SOCKET=${socket}`, runtime.path, "--root", runtime.root];
    await using session = openSession([...command, "run", "--bundle", directory, "shown"], {});
    const [ready, barrier] = await heard();
    expect(ready).toMatch(/^'READY=1\\nMAINPID=\d+'$/);
    expect(barrier).toBe("'BARRIER=1'");
    await ok("kill", "shown", "KILL");
    expect(await session.exited).toBe(137);
  } finally {
    end();
  }
});

test("a program that ends without a word ends the wait", async () => {
  const socket = `${runtime.home}/silent.sock`;
  const { listening, end } = manager(socket);
  try {
    await listening;
    const env = { NOTIFY_SOCKET: socket };
    expect(await ociWith({ env }, "run", "--bundle", bundle(["sh", "-c", "exit 6"]), "silent")).toMatchObject({
      status: 6,
    });
  } finally {
    end();
  }
});

test("a signal that comes while the container is made is for the program, not for us", async () => {
  const directory = bundle(["sh", "-c", "exit 5"], (config) => {
    config["hooks"] = { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", "kill -TERM $PPID; kill -HUP $PPID"] }] };
  });
  // The first process of a PID namespace takes no notice of a signal that it has no handler for.
  expect((await oci("run", "--bundle", directory, "early")).status).toBe(5);
  expect(existsSync(`${runtime.root}/early`)).toBe(false);
});

/** Takes a descriptor, says what it came with, and ends its process. */
const RECEIVER = `
import os, signal, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
print("listening", flush=True)
c, _ = s.accept()
name, fds, _, _ = socket.recv_fds(c, 4096, 1)
signal.pidfd_send_signal(fds[0], signal.SIGKILL)
print(name.decode(), flush=True)
`;

test("--pidfd-socket: a pidfd of the first process, and of a further one", async () => {
  for (const [at, words] of [["create"], ["run", "--detach"], ["exec", "--detach"]].entries()) {
    const socket = `${runtime.home}/pidfd-${at}`;
    const receiver = Bun.spawn(["python3", "-c", RECEIVER, socket], { stdout: "pipe" });
    const reader = receiver.stdout.getReader();
    await reader.read();
    const isExec = words[0] === "exec";
    if (isExec) await ok("run", "--detach", "--bundle", bundle(["sleep", "1000"]), "held");
    const pidFile = `${runtime.home}/pid-${at}`;
    const what = isExec ? ["held", "sleep", "1000"] : ["--bundle", bundle(["sleep", "1000"]), "held"];
    await ok(...words, "--pidfd-socket", socket, "--pid-file", pidFile, ...what);
    expect((await rest(reader)).trim()).toBe("pidfd");
    const pid = Number(readFileSync(pidFile, "utf8"));
    const isGone = () =>
      !existsSync(`/proc/${pid}`) || /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
    await waitFor("the process to end", isGone);
    if (isExec) expect((await state("held")).status).toBe("running");
    else await waitFor("the container to stop", async () => (await state("held")).status === "stopped");
    await ok("delete", "--force", "held");
  }
  expect(readdirSync(runtime.root)).toEqual([]);
});
