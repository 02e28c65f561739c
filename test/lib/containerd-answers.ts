/**
 * What containerd's own client does with its runc shim and a runtime, run by test/kernel/oci-parents.test.ts in a mount
 * namespace of its own, as JSON. Debian's client is called ctr too: it is named by its path.
 *
 *   containerd-answers.ts IMAGE.tar RUNTIME HOME
 */
import { existsSync } from "node:fs";
import { waitFor } from "./wait.ts";

const [archive = "", runtime = "", home = ""] = process.argv.slice(2);
const SOCKET = "/run/containerd-test.sock";
const RUN = ["--runtime", "io.containerd.runc.v2", "--runc-binary", runtime];
const IMAGE = "docker.io/library/min:latest";

const log = Bun.file(`${home}/containerd.log`);
const daemon = Bun.spawn(
  ["containerd", "--root", `${home}/containerd`, "--state", "/run/containerd-test", "--address", SOCKET],
  { stdout: log, stderr: log },
);
await waitFor("containerd", () => existsSync(SOCKET));

async function client(...words: readonly string[]): Promise<readonly [status: number, stdout: string, stderr: string]> {
  const command = ["/usr/bin/ctr", "--address", SOCKET, ...words];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return [await child.exited, stdout, stderr];
}

/** On a terminal. */
async function onTerminal(...words: readonly string[]): Promise<string> {
  const command = ["/usr/bin/ctr", "--address", SOCKET, ...words].join(" ");
  const child = Bun.spawn(["script", "-qec", command, "/dev/null"], { stdin: "ignore", stdout: "pipe" });
  return (await new Response(child.stdout).text()).replaceAll("\r", "");
}

const status = async (...words: readonly string[]): Promise<number> => (await client(...words))[0];
const task = async (): Promise<string> => /^web\s+\d+\s+(\w+)/m.exec((await client("task", "ls"))[1])?.[1] ?? "";

await waitFor("containerd's answer", async () => (await status("version")) === 0);
const [imported, , why] = await client("images", "import", archive);
if (imported !== 0) throw new Error(why);
const answers = {
  echo: await client("run", "--rm", ...RUN, IMAGE, "once", "echo", "hello"),
  status: await status("run", "--rm", ...RUN, IMAGE, "once", "sh", "-c", "exit 42"),
  missing: (await client("run", "--rm", ...RUN, IMAGE, "once", "nope"))[2],
  detached: await status("run", "-d", ...RUN, "--memory-limit", "67108864", IMAGE, "web", "sleep", "1000"),
  exec: await client("task", "exec", "--exec-id", "e1", "web", "sh", "-c", "id -u; exit 3"),
  terminal: await onTerminal("run", "--rm", "--tty", ...RUN, IMAGE, "shown", "tty"),
  execTerminal: await onTerminal("task", "exec", "--tty", "--exec-id", "e2", "web", "tty"),
  limits: await client(
    ...[
      "run",
      "--rm",
      ...RUN,
      "--rootfs-propagation",
      "rslave",
      "--no-pivot",
      "--privileged",
      "--pid-file",
      `${home}/pid`,
    ],
    ...["--cwd", "/tmp", "--env", "A=b", "--allow-new-privs", "--seccomp", IMAGE, "odd", "sh", "-c", "pwd; echo $A"],
  ),
  checkpoint: (await client("task", "checkpoint", "web"))[2],
  pause: await status("task", "pause", "web"),
  paused: await task(),
  resume: await status("task", "resume", "web"),
  processes: (await client("task", "ps", "web"))[1].trim().split("\n").length,
  metrics: (await client("task", "metrics", "web"))[1].includes("memory.usage_in_bytes"),
  kill: await status("task", "kill", "-s", "KILL", "web"),
  killed: await waitFor("the task's end", async () => ((await task()) === "STOPPED" ? "STOPPED" : undefined)),
  rm: await status("task", "rm", "web"),
  forget: await status("container", "rm", "web"),
};
daemon.kill();
await daemon.exited;
console.log(JSON.stringify(answers));
