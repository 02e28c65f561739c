/** The drivers macvlan and ipvlan: containers on a wire of the host's, seen from a neighbour on it. */
import { expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { call, host, makeNeighbour, serve } from "../lib/sandbox.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const neighbour = await makeNeighbour();

/** Whether this kernel makes such links: asked with a link of the host's own. */
function hasKind(kind: string): boolean {
  const made = Bun.spawnSync(["ip", "link", "add", "link", "wire", "trial", "type", kind]);
  if (made.exitCode === 0) host("ip", "link", "delete", "trial");
  return made.exitCode === 0;
}

for (const kind of ["macvlan", "ipvlan"]) {
  const isThere = hasKind(kind);
  test(`${kind}: ${isThere ? "a container is a neighbour on the parent's wire" : "a kernel without it is an error that says so"}`, async () => {
    const subnet = ["--subnet", "10.99.0.0/24", "--ip-range", "10.99.0.64/26", "--gateway", "10.99.0.1"];
    await engine.ok("network", "create", "-d", kind, ...subnet, "-o", "parent=wire", "lan");
    if (!isThere) {
      expect(await engine.fails(125, "run", "--rm", "--network", "lan", image, "true")).toContain(
        `this kernel has no ${kind} links`,
      );
    } else {
      const script = "echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp";
      await engine.ok("run", "-d", "--name", "lan1", "--network", "lan", image, "sh", "-c", script);
      expect(await engine.ok("exec", "lan1", "ip", "-4", "addr", "show", "eth0")).toContain("10.99.0.64/24");
      expect(await call(neighbour.pid, "tcp", "10.99.0.64", 80)).toContain("hello");
      await serve(neighbour.pid, "tcp", 8099, "neighbour");
      expect(await engine.ok("exec", "lan1", "wget", "-q", "-O", "-", `http://${neighbour.address}:8099/`)).toContain(
        "neighbour 10.99.0.64",
      );
      expect(await engine.fails(1, "network", "rm", "lan")).toContain("has active endpoints");
      await engine.ok("network", "disconnect", "lan", "lan1");
      expect(await engine.ok("exec", "lan1", "ls", "/sys/class/net")).toBe("lo");
      await engine.ok("network", "connect", "lan", "lan1");
      expect(await call(neighbour.pid, "tcp", "10.99.0.64", 80)).toContain("hello");
      await engine.ok("rm", "-f", "lan1");
    }
    await engine.ok("network", "rm", "lan");
  });
}

test("macvlan: a parent that is not there, and a mode that does not exist", async () => {
  const refused = async (...flags: readonly string[]) =>
    await engine.fails(1, "network", "create", "-d", "macvlan", ...flags, "lan");
  expect(await refused("-o", "parent=nosuch0")).toContain("the parent interface nosuch0");
  expect(await refused("-o", "parent=nosuch0.30")).toContain("the parent interface nosuch0.30");
  expect(await refused("-o", "parent=wire.4095")).toContain("a VLAN is from 1 to 4094");
  // The virtual machine's kernel has both kinds: test/vm/wires.
  for (const [kind, data, flags] of [
    ["dummy", [], []],
    ["vlan", ["id", "30"], ["-o", "parent=wire.30"]],
  ] as const) {
    const below = kind === "vlan" ? ["link", "wire"] : [];
    const isThere = Bun.spawnSync(["ip", "link", "add", ...below, "name", "trial", "type", kind, ...data]).success;
    if (isThere) host("ip", "link", "delete", "trial");
    else expect(await refused(...flags)).toContain("this kernel cannot make the link");
  }
  expect(await refused("-o", "parent=wire", "-o", "macvlan_mode=odd")).toContain("macvlan mode 'odd' is not valid");
  expect(await engine.ok("network", "ls", "-q", "-f", "name=lan")).toBe("");
});
