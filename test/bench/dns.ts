/**
 * How many answers a second container DNS gives, and what one container's sockets cost. The server is a process of its
 * own on one core, as netd is; the clients ask from inside a container's network namespace, by UDP, with so many questions
 * under way. One number per line.
 *
 *   scripts/bench dns
 */
import { inside } from "../../internal/network/dns/inside.ts";
import { createNameServer } from "../../internal/network/dns/name-server.ts";
import type { NamedEndpoint } from "../../internal/network/names.ts";
import { openSandbox, readBootId } from "../../internal/network/sandbox.ts";
import { O_RDONLY, open } from "../../internal/sys/fd.ts";
import { requirePrivateHost } from "../lib/host.ts";
import { holdNamespace } from "../lib/namespace.ts";

const SECONDS = 4;
const UNDER_WAY = 64;
const NAMES = 200;
const SANDBOXES = 20;

/** A process's time on a core so far, in seconds. */
function cpuSeconds(pid: number): number {
  const stat = new TextDecoder().decode(Bun.spawnSync(["cat", `/proc/${pid}/stat`]).stdout);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100; // USER_HZ
}

function residentMb(pid: number): number {
  const status = new TextDecoder().decode(Bun.spawnSync(["cat", `/proc/${pid}/status`]).stdout);
  return Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

/** The server's process: serves the given namespaces, says what that cost, and stays. */
async function serve(pids: readonly number[]): Promise<void> {
  const bootId = readBootId();
  const records = pids.map((pid) => {
    const opened = openSandbox({ pid }, bootId);
    opened.namespace.close();
    return opened.record;
  });
  const endpoints: NamedEndpoint[] = Array.from({ length: NAMES }, (_, index) => ({
    endpointId: `e${index}`,
    containerId: `c${index}`,
    containerName: `web${index}`,
    shortId: `c${index}`,
    hostname: `c${index}`,
    aliases: ["shared"],
    networkId: "n",
    networkName: "backend",
    addresses: [`172.18.0.${index + 2}`],
    isInternal: false,
    sandbox: records[index] ?? { inode: "0", bootId: "none" },
    servers: [],
  }));
  let shown: readonly NamedEndpoint[] = endpoints.slice(0, 1);
  const server = createNameServer({ names: () => shown, bootId, log: console.error });
  await server.changed(); // the first opens the C half's symbols
  const started = performance.now();
  shown = endpoints.slice(0, pids.length);
  await server.changed();
  const opening = (performance.now() - started) / (pids.length - 1);
  shown = endpoints;
  await server.changed();
  console.log(JSON.stringify({ opening }));
}

function query(name: string): Buffer {
  const labels = name.split(".").flatMap((label) => [label.length, ...Buffer.from(label)]);
  return Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1]);
}

/** A client's process, in its namespace: asks for SECONDS and prints how many answers came. */
async function load(pid: number): Promise<void> {
  const questions = Array.from({ length: NAMES }, (_, index) =>
    query(index % 2 === 0 ? `web${index}` : `web${index}.backend`),
  );
  let answers = 0;
  let empty = 0;
  const next = () => questions[answers % NAMES] ?? Buffer.alloc(0);
  using namespace = open(`/proc/${pid}/ns/net`, O_RDONLY);
  const socket = await inside(namespace, () =>
    Bun.udpSocket({
      connect: { hostname: "127.0.0.11", port: 53 },
      socket: {
        data: (_self, reply) => {
          answers += 1;
          if (reply.readUInt16BE(6) !== 1) empty += 1;
          socket.send(next());
        },
      },
    }),
  );
  for (let count = 0; count < UNDER_WAY; count++) socket.send(next());
  setTimeout(() => {
    if (empty > 0) throw new Error(`${empty} answers without an address`);
    console.log(answers);
    process.exit(0);
  }, SECONDS * 1000);
}

async function firstLine(child: Bun.Subprocess<"ignore", "pipe", "inherit">): Promise<string> {
  for await (const chunk of child.stdout) return new TextDecoder().decode(chunk).trim();
  throw new Error("the process ended without a word");
}

async function main(): Promise<void> {
  requirePrivateHost();
  const sandboxes = await Promise.all(Array.from({ length: SANDBOXES }, holdNamespace));
  const pids = sandboxes.map(({ pid }) => String(pid));
  const start = (...words: string[]) => Bun.spawn([...words], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const server = start("taskset", "-c", "0", process.execPath, import.meta.path, "serve", ...pids);
  const { opening } = JSON.parse(await firstLine(server));
  const before = cpuSeconds(server.pid);
  const client = start("taskset", "-c", "1", process.execPath, import.meta.path, "load", pids[0] ?? "");
  const answers = Number(await firstLine(client));
  const busy = cpuSeconds(server.pid) - before;
  console.log(`dns answers/s ${Math.round(answers / SECONDS)}`);
  console.log(`dns answers/s of a whole core ${Math.round(answers / busy)}`);
  console.log(`dns open a container's sockets, ms ${opening.toFixed(2)}`);
  console.log(`dns memory after the load, MB ${residentMb(server.pid).toFixed(1)}`);
  server.kill("SIGKILL");
  for (const sandbox of sandboxes) sandbox.kill("SIGKILL");
}

const [, , role, ...rest] = process.argv;
if (role === "serve") await serve(rest.map(Number));
else if (role === "load") await load(Number(rest[0]));
else await main();
