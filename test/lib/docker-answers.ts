/**
 * The same commands asked of docker with each runtime, run by test/kernel/oci-parents.test.ts inside with-dockerd. What
 * was said is printed as JSON; what differs from run to run (ids, numbers, times) is left out of it.
 *
 *   docker-answers.ts IMAGE.tar
 */
import { waitFor } from "./wait.ts";

export interface DockerAnswers {
  /** By runtime, then by the question's name. */
  readonly answers: { readonly [runtime: string]: { readonly [question: string]: unknown } };
  /** Of a swarm of one node whose services run by the default runtime. */
  readonly swarm: { readonly replicas: string; readonly scaled: string; readonly runtimes: readonly string[] };
}

interface Answer {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function docker(...words: readonly string[]): Promise<Answer> {
  const child = Bun.spawn(["docker", ...words], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { status: await child.exited, stdout, stderr };
}

/** On a terminal. */
async function onTerminal(...words: readonly string[]): Promise<string> {
  const child = Bun.spawn(["script", "-qec", ["docker", ...words].join(" "), "/dev/null"], {
    stdin: "ignore",
    stdout: "pipe",
  });
  return (await new Response(child.stdout).text()).replaceAll("\r", "");
}

/** Without the runtime's own words around those of Docker. */
function plain({ status, stdout, stderr }: Answer, ids: readonly string[]): Answer {
  const withoutIds = (text: string) => ids.reduce((rest, id) => rest.replaceAll(id, "ID"), text);
  const said = stderr
    .replaceAll(/(runc|ctr oci) (create|run) failed: (unable to start container process: )?/g, "")
    .replaceAll(/docker: Error response from daemon: /g, "");
  return { status, stdout: withoutIds(stdout), stderr: withoutIds(said) };
}

/** `option` chooses the runtime. */
async function ask(name: string, option: readonly string[]): Promise<{ readonly [question: string]: unknown }> {
  const run = async (...words: readonly string[]) => plain(await docker("run", "--rm", ...option, ...words), []);
  const web = `web-${name}`;
  const answers: { [question: string]: unknown } = {};
  answers["echo"] = await run("min", "echo", "hello");
  answers["status"] = await run("min", "sh", "-c", "exit 42");
  answers["missing"] = await run("min", "nope");
  answers["not executable"] = await run("min", "/etc/passwd");
  answers["confined"] = await run(
    ...["--user", "1000", "--read-only", "--workdir", "/tmp", "--ulimit", "nofile=77:88", "--hostname", "h"],
    ...["--cap-add", "NET_ADMIN", "--security-opt", "no-new-privileges", "--tmpfs", "/t", "min", "sh", "-c"],
    "id; pwd; touch /x; ulimit -n; hostname; grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; echo a > /dev/stderr; ls /dev",
  );
  answers["network"] = await run(
    "min",
    "sh",
    "-c",
    "ip -o addr | sed 's/.*inet /inet /; s/[0-9]*.16 brd/N brd/; s/scope.*//'",
  );
  answers["terminal"] = await onTerminal("run", "--rm", "-t", ...option, "min", "tty");

  const health = ["--health-cmd", "true", "--health-interval", "500ms"];
  const started = await docker("run", "--detach", "--name", web, ...health, ...option, "min", "sleep", "1000");
  const id = started.stdout.trim();
  const ids = [id, id.slice(0, 12)];
  const asked = async (...words: readonly string[]) => plain(await docker(...words), ids);
  const inspect = async (template: string) => (await docker("inspect", "--format", template, web)).stdout.trim();
  answers["health"] = await waitFor("a health check", async () => {
    const status = await inspect("{{.State.Health.Status}}");
    return status === "starting" ? undefined : status;
  });
  answers["exec"] = await asked("exec", "--user", "1000", "--env", "A=b", web, "sh", "-c", "id; echo $A; exit 3");
  answers["exec missing"] = await asked("exec", web, "nope");
  answers["exec terminal"] = await onTerminal("exec", "-t", web, "tty");
  // A health check may be running beside the program just then.
  const { stdout: processes } = await docker("stats", "--no-stream", "--format", "{{.PIDs}}", web);
  answers["stats"] = Number(processes) >= 1;
  answers["pause"] = (await docker("pause", web)).status;
  answers["paused"] = await inspect("{{.State.Status}}");
  answers["unpause"] = (await docker("unpause", web)).status;
  answers["update"] = (await docker("update", "--memory", "64m", "--memory-swap", "128m", web)).status;
  answers["limit"] = await asked("exec", web, "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes");
  answers["top"] = /^\s*\d+\s+sleep$/m.test((await docker("top", web, "-o", "pid,comm")).stdout);
  const before = await inspect("{{.State.Pid}}");
  answers["restart"] = (await docker("restart", "--time", "0", web)).status;
  answers["restarted"] = before !== (await inspect("{{.State.Pid}}")) && (await inspect("{{.State.Status}}"));
  answers["kill"] = (await docker("kill", "--signal", "KILL", web)).status;
  answers["killed"] = await waitFor("its end", async () => {
    const state = await inspect("{{.State.Status}} {{.State.ExitCode}}");
    return state.startsWith("exited") ? state : undefined;
  });
  answers["again"] = (await docker("start", web)).status;
  answers["rm"] = (await docker("rm", "--force", web)).status;
  return answers;
}

async function askSwarm(): Promise<DockerAnswers["swarm"]> {
  await docker("swarm", "init", "--advertise-addr", "127.0.0.1");
  const service = [
    "--name",
    "many",
    "--detach",
    "--network",
    "host",
    "--no-resolve-image",
    "--stop-grace-period",
    "0s",
  ];
  await docker("service", "create", ...service, "--replicas", "2", "min", "sleep", "1000");
  const replicas = async (wanted: string) =>
    await waitFor(
      `${wanted} replicas`,
      async () => {
        const { stdout } = await docker("service", "ls", "--format", "{{.Replicas}}");
        return stdout.trim() === wanted ? wanted : undefined;
      },
      30_000,
    );
  const first = await replicas("2/2");
  await docker("service", "scale", "--detach", "many=3");
  const scaled = await replicas("3/3");
  const { stdout } = await docker("ps", "--quiet");
  const running = stdout.trim().split("\n");
  const runtimes = await docker("inspect", "--format", "{{.HostConfig.Runtime}}", ...running);
  await docker("service", "rm", "many");
  await waitFor("the service's end", async () => (await docker("ps", "--quiet")).stdout === "", 20_000);
  await docker("swarm", "leave", "--force");
  return { replicas: first, scaled, runtimes: [...new Set(runtimes.stdout.trim().split("\n"))] };
}

const [archive = ""] = process.argv.slice(2);
await docker("import", archive, "min");
const [ctr, runc, named] = await Promise.all([
  ask("default", []),
  ask("runc", ["--runtime", "runc"]),
  docker("run", "--rm", "--runtime", "ctr", "min", "echo", "by name"),
]);
const answers = { ctr: { ...ctr, named: named.stdout }, runc: { ...runc, named: "by name\n" } };
const all: DockerAnswers = { answers, swarm: await askSwarm() };
console.log(JSON.stringify(all));
