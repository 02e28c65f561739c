/**
 * What podman does with a runtime, run by test/kernel/oci-parents.test.ts in a mount namespace of its own, as JSON.
 *
 *   podman-answers.ts IMAGE.tar RUNTIME HOME
 */
const [archive = "", runtime = "", home = ""] = process.argv.slice(2);
const PODMAN = [
  ...["podman", "--root", `${home}/podman`, "--runroot", `${home}/podman-run`, "--events-backend", "none"],
  ...["--cgroup-manager", "cgroupfs", "--runtime", runtime],
];
const RUN = ["--network", "none", "--cgroup-parent", process.env["CTR_CGROUP_PARENT"] ?? ""];

async function podman(...words: readonly string[]): Promise<readonly [status: number, stdout: string, stderr: string]> {
  const child = Bun.spawn([...PODMAN, ...words], {
    stdin: new TextEncoder().encode("typed\n"),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return [await child.exited, stdout, stderr];
}

const status = async (...words: readonly string[]): Promise<number> => (await podman(...words))[0];
const output = async (...words: readonly string[]): Promise<string> => (await podman(...words))[1];

const [imported, , why] = await podman("import", archive, "min");
if (imported !== 0) throw new Error(why);
const answers = {
  echo: await podman("run", "--rm", ...RUN, "min", "echo", "hello"),
  status: await status("run", "--rm", ...RUN, "min", "sh", "-c", "exit 42"),
  input: await output("run", "--rm", "-i", ...RUN, "min", "cat"),
  missing: await status("run", "--rm", ...RUN, "min", "nope"),
  notExecutable: await status("run", "--rm", ...RUN, "min", "/etc/passwd"),
  user: await output(
    "run",
    "--rm",
    ...RUN,
    "-u",
    "1000",
    "-w",
    "/tmp",
    "min",
    "sh",
    "-c",
    "id -u; pwd; echo a > /dev/stdout",
  ),
  detached: await status("run", "-d", "--name", "web", ...RUN, "min", "sleep", "1000"),
  runtime: (await output("inspect", "--format", "{{.OCIRuntime}}", "web")).trim(),
  exec: await podman("exec", "web", "sh", "-c", "id -u; exit 3"),
  execMissing: await status("exec", "web", "nope"),
  execTerminal: await output("exec", "-t", "web", "tty"),
  pause: await status("pause", "web"),
  paused: (await output("inspect", "--format", "{{.State.Status}}", "web")).trim(),
  unpause: await status("unpause", "web"),
  top: await output("top", "web", "comm"),
  userns: await output("run", "--rm", ...RUN, "--userns", "container:web", "min", "id", "-u"),
  mode: await output("run", "--rm", ...RUN, "--tmpfs", "/t:mode=700", "min", "stat", "-c", "%a", "/t"),
  systemd: await output("run", "--rm", ...RUN, "--systemd", "always", "min", "ls", "-d", "/sys/fs/cgroup/systemd"),
  stop: await status("stop", "-t", "0", "web"),
  stopped: (await output("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "web")).trim(),
  start: await status("start", "web"),
  rm: await status("rm", "-f", "-t", "0", "web"),
  pod: await status(
    ...[
      "pod",
      "create",
      "--name",
      "pod",
      "--infra-image",
      "min",
      "--infra-command",
      "sleep 1000",
      "--share",
      "ipc,uts",
    ],
    ...["--hostname", "podhost", "--cgroup-parent", process.env["CTR_CGROUP_PARENT"] ?? ""],
  ),
  inPod: await output("run", "--rm", "--pod", "pod", "--network", "none", "min", "hostname"),
  podRemoved: await status("pod", "rm", "-f", "-t", "0", "pod"),
};
console.log(JSON.stringify(answers));
