/**
 * `linux.netDevices` of `ctr oci` (runtime-spec config-linux.md#network-devices): devices of the host, here a pretend one,
 * moved into a container and renamed.
 */
import { expect } from "bun:test";
import { requirePrivateHost } from "../lib/host.ts";
import { type Config, tempOciRuntime } from "../lib/oci-runtime.ts";
import { test } from "../lib/test.ts";

requirePrivateHost();
const { oci, ok, bundle, state } = tempOciRuntime();

function ip(...words: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["ip", ...words]);
  if (exitCode !== 0) throw new Error(`ip ${words.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}

interface Shown {
  readonly ifname: string;
  readonly mtu: number;
  readonly address: string;
  readonly flags: readonly string[];
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number; readonly scope: string }[];
}

/** The devices but lo of a process's network namespace, or of ours; their addresses of global scope. */
function devices(pid?: number): readonly Shown[] {
  const inside = pid === undefined ? [] : ["nsenter", "-t", String(pid), "-n"];
  const { stdout } = Bun.spawnSync([...inside, "ip", "-json", "address", "show"]);
  const all: readonly Shown[] = JSON.parse(stdout.toString());
  return all.filter(({ ifname }) => ifname !== "lo");
}
const names = (pid?: number) => devices(pid).map(({ ifname }) => ifname);
const globals = ({ addr_info }: Shown) =>
  addr_info.filter(({ scope }) => scope === "global").map(({ local, prefixlen }) => `${local}/${prefixlen}`);

const sleeper = (netDevices: object, change?: (config: Config) => void) =>
  bundle(["sleep", "1000"], (config) => {
    config.linux["netDevices"] = netDevices;
    change?.(config);
  });

/** A veth pair `near`, `far` of the host's; gone at the end, wherever it is by then. */
function pair(near: string, far: string): Disposable {
  ip("link", "add", near, "type", "veth", "peer", "name", far);
  return { [Symbol.dispose]: () => void Bun.spawnSync(["ip", "link", "delete", far]) };
}

test("a device is moved and renamed, with its addresses, its MTU and its MAC, and is up", async () => {
  using _ = pair("near0", "far0");
  ip("link", "set", "near0", "mtu", "1300", "address", "02:00:00:00:12:34");
  ip("address", "add", "192.0.2.7/24", "dev", "near0");
  ip("address", "add", "2001:db8::7/64", "dev", "near0", "nodad");
  ip("address", "add", "198.51.100.1/32", "dev", "near0", "scope", "link");
  // Not permanent: it would go by itself.
  ip("address", "add", "192.0.2.8/24", "dev", "near0", "valid_lft", "600", "preferred_lft", "600");
  ip("link", "set", "far0", "up");
  await ok("create", "--bundle", sleeper({ near0: { name: "eth5" } }), "moved");
  const { pid } = await state("moved");
  expect(names()).toEqual(["far0"]);
  const [device] = devices(pid);
  expect(device).toMatchObject({ ifname: "eth5", mtu: 1300, address: "02:00:00:00:12:34" });
  expect(device?.flags).toContain("UP");
  expect(device === undefined ? [] : globals(device)).toEqual(["192.0.2.7/24", "2001:db8::7/64"]);
  expect(device?.addr_info.map(({ local }) => local)).not.toContain("198.51.100.1");
  // The other end of the pair answers: what is up in there is connected.
  ip("address", "add", "192.0.2.1/24", "dev", "far0");
  await ok("start", "moved");
  expect((await oci("exec", "--cap", "net_raw", "moved", "ping", "-c", "1", "-W", "2", "192.0.2.1")).status).toBe(0);
  await ok("delete", "--force", "moved");
});

test("a name may be kept, and a template gets a number", async () => {
  using _kept = pair("keep0", "keep1");
  using _first = pair("tmpl0", "tmpl1");
  using _second = pair("tmpl2", "tmpl3");
  const asked = { keep0: {}, tmpl0: { name: "net%d" }, tmpl2: { name: "net%d" } };
  await ok("run", "--detach", "--bundle", sleeper(asked), "names");
  const { pid } = await state("names");
  expect(names(pid).toSorted()).toEqual(["keep0", "net0", "net1"]);
  expect(devices(pid).every(({ flags }) => flags.includes("UP"))).toBe(true);
  await ok("delete", "--force", "names");
});

test("where it cannot be, nothing has changed", async () => {
  using _ = pair("stay0", "stay1");
  ip("address", "add", "192.0.2.9/24", "dev", "stay0");
  ip("link", "set", "stay0", "up");
  const before = () => {
    const { flags, ...others } = devices().find(({ ifname }) => ifname === "stay0") ?? { flags: [] as string[] };
    return { ...others, isUp: flags.includes("UP") };
  };
  const was = before();
  const refused = async (directory: string, words: string) => {
    const result = await oci("create", "--bundle", directory, "refused");
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(words);
    expect(before()).toMatchObject({ ifname: "stay0", isUp: true, addr_info: was.addr_info });
  };
  await refused(sleeper({ stay0: {}, nothing0: {} }), "linux.netDevices: network device nothing0: no such device");
  await refused(sleeper({ stay0: { name: "lo" } }), "the container's network has a lo already");
  await refused(sleeper({ stay0: { name: "a/b" } }), 'linux.netDevices.stay0.name: \\"a/b\\" is no network device');
  await refused(sleeper({ stay0: { name: "sixteen-letters-" } }), "is no network device's name");
  const withoutNetwork = sleeper({ stay0: {} }, (config) => {
    const namespaces = config.linux["namespaces"] as readonly { readonly type: string }[];
    config.linux["namespaces"] = namespaces.filter(({ type }) => type !== "network");
    config["mounts"] = (config["mounts"] as readonly { readonly type: string }[]).filter(
      ({ type }) => type !== "sysfs",
    );
  });
  await refused(withoutNetwork, "linux.netDevices: needs a network namespace of the container's own");
  // A failure after it was moved: it comes back as it was.
  const failing = sleeper({ stay0: { name: "eth0" } }, (config) => {
    config["hooks"] = { createRuntime: [{ path: "/bin/false" }] };
  });
  await refused(failing, "error running createRuntime hook #0");
  const unknown = sleeper({ stay0: { name: "eth0" } }, (config) => {
    config.process.args = ["nope"];
  });
  await refused(unknown, "executable file not found");
  const run = await oci("run", "--bundle", unknown, "refused");
  expect(run.status).toBe(1);
  expect(before()).toMatchObject({ ifname: "stay0", isUp: true, addr_info: was.addr_info });
});
