/** netd without containers: network namespaces held by a process of ours, servers in them, and a neighbour host. */
import { afterAll } from "bun:test";
import type { AttachRequest, Endpoint } from "../../internal/ipc/netd.ts";
import { connectNetd, type NetdClient } from "../../internal/ipc/netd-client.ts";
import { configureInterfaces } from "../../internal/netlink/configure.ts";
import { O_RDONLY, open } from "../../internal/sys/fd.ts";
import { setns } from "../../internal/sys/process.ts";
import { holdNamespace } from "./namespace.ts";
import { binary } from "./needs.ts";
import { waitFor } from "./wait.ts";

const children: Bun.Subprocess[] = [];
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
});

function spawn(command: string[], env: Record<string, string | undefined> = process.env) {
  const child = Bun.spawn(command, { env, stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  children.push(child);
  return child;
}

/** Runs a program of the host to its end; throws unless it succeeds. */
export function host(...command: string[]): string {
  const result = Bun.spawnSync(command);
  if (result.exitCode !== 0) throw new Error(`${command.join(" ")}: ${result.stderr.toString().trim()}`);
  return result.stdout.toString();
}

export interface RunningNetd {
  readonly process: Bun.Subprocess;
  readonly client: NetdClient;
}

/** Starts netd in the foreground and connects. */
export async function startNetd(directories: { readonly root: string; readonly state: string }): Promise<RunningNetd> {
  const { root, state } = directories;
  const child = spawn([binary(), "netd"], { ...process.env, CTR_ROOT: root, CTR_STATE: state });
  const client = await waitFor("netd", () => {
    if (child.exitCode !== null) throw new Error(`netd ended with status ${child.exitCode}`);
    return connectNetd(directories);
  });
  return { process: child, client };
}

/** A network namespace of its own, held by a process: the pid, and its end. */
export interface TestSandbox {
  readonly pid: number;
  end(): Promise<void>;
}

export async function makeSandbox(): Promise<TestSandbox> {
  const child = await holdNamespace();
  children.push(child);
  return {
    pid: child.pid,
    end: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** Does `action` in the network namespace of `pid`. Must not wait inside: only this thread is there. */
export function inNamespace<T>(pid: number, action: () => T): T {
  using own = open("/proc/self/ns/net", O_RDONLY);
  using other = open(`/proc/${pid}/ns/net`, O_RDONLY);
  setns(other.number, 0);
  try {
    return action();
  } finally {
    setns(own.number, 0);
  }
}

/** Attaches a sandbox and does what its init would do. */
export async function attach(
  client: NetdClient,
  sandbox: { readonly pid: number },
  request: Partial<AttachRequest> & { readonly containerId: string },
): Promise<Endpoint> {
  const endpoint = await client.attach({
    name: request.containerId,
    sandbox: { pid: sandbox.pid },
    network: "bridge",
    ports: [],
    ...request,
  });
  inNamespace(sandbox.pid, () => configureInterfaces([endpoint.interface]));
  return endpoint;
}

const SERVER = `
const [, , protocol, port, text] = ["", ...process.argv];
if (protocol === "udp") await Bun.udpSocket({ port: Number(port), hostname: "0.0.0.0", socket: {
  data(socket, _data, peerPort, peer) { socket.send(text + " " + peer, peerPort, peer); } } });
else Bun.serve({ port: Number(port), hostname: "0.0.0.0", fetch: (request, server) => new Response(text + " " + server.requestIP(request)?.address) });
console.log("ready");
`;

/** Serves \`<text> <address of the caller>\` in a namespace (HTTP, or UDP) until the tests end. */
export async function serve(pid: number, protocol: "tcp" | "udp", port: number, text: string): Promise<void> {
  const child = spawn([...enter(pid), process.execPath, "-e", SERVER, protocol, String(port), text]);
  for await (const chunk of child.stdout) if (new TextDecoder().decode(chunk).includes("ready")) return;
  throw new Error(`the server on ${protocol} ${port} did not start`);
}

const CALLER = `
const [, , protocol, host, port] = ["", ...process.argv];
if (protocol === "udp") {
  const socket = await Bun.udpSocket({ connect: { hostname: host, port: Number(port) }, socket: {
    data(_socket, data) { console.log(data.toString()); process.exit(0); } } });
  socket.send("hello");
  setTimeout(() => { console.log("timeout"); process.exit(0); }, 1000);
} else {
  try { console.log(await (await fetch("http://" + host + ":" + port + "/", { signal: AbortSignal.timeout(1000), keepalive: false })).text()); }
  catch (error) { console.log(error.name === "TimeoutError" ? "timeout" : /REFUSED/i.test(error.code) ? "refused" : error.code ?? error.name); }
}
`;

/** Calls a port from a namespace (undefined: this one): what was answered, or \`timeout\` or \`refused\`. */
export async function call(
  pid: number | undefined,
  protocol: "tcp" | "udp",
  address: string,
  port: number,
): Promise<string> {
  const child = spawn([...enter(pid), process.execPath, "-e", CALLER, protocol, address, String(port)]);
  return (await child.stdout.text()).trim();
}

function enter(pid: number | undefined): string[] {
  return pid === undefined ? [] : ["nsenter", "--net", "--target", String(pid), "--"];
}

/** Another host on a wire to this one, with its default route through it. */
export async function makeNeighbour(): Promise<{ pid: number; address: string; hostAddress: string }> {
  const { pid } = await makeSandbox();
  host("ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire-peer", "netns", String(pid));
  host("ip", "address", "add", "10.99.0.1/24", "dev", "wire");
  host("ip", "link", "set", "wire", "up");
  const inside = (...words: string[]) => host(...enter(pid), "ip", ...words);
  inside("address", "add", "10.99.0.2/24", "dev", "wire-peer");
  inside("link", "set", "wire-peer", "up");
  inside("route", "add", "default", "via", "10.99.0.1");
  return { pid, address: "10.99.0.2", hostAddress: "10.99.0.1" };
}
