/** User namespaces and idmapped mounts in the runtime-spec, as `ctr oci` runs bundles that others have made. */
import { expect } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { needs } from "../lib/needs.ts";
import { type Config, tempOciRuntime } from "../lib/oci-runtime.ts";
import { test as kernelTest } from "../lib/test.ts";

const test = kernelTest.if(needs("root", "ctr"));
const runtime = tempOciRuntime();
const { oci, ok, bundle, state, home } = runtime;

const MAP = [{ containerID: 0, hostID: 300_000, size: 65_536 }];
// runc looks for the bundle as the namespace's root.
for (const directory of [home, process.env["CTR_TEST_HOME"] ?? home]) chmodSync(directory, 0o711);
const lines = (...parts: readonly string[]) => `${parts.join("\n")}\n`;

/** A root file system that its maker has given to the namespace's root, as runc wants it. */
const shifted = `${home}/shifted`;
Bun.spawnSync(["cp", "-a", `${home}/rootfs`, shifted]);
Bun.spawnSync(["chown", "-R", "-h", "300000:300000", shifted]);

type Mounts = { destination: string; type?: string; source?: string; options?: string[]; [name: string]: unknown }[];

function mapped(config: Config, path?: string): void {
  config["root"] = { path: shifted };
  const namespaces = config.linux["namespaces"] as { type: string; path?: string }[];
  namespaces.push(path === undefined ? { type: "user" } : { type: "user", path });
  config.linux["uidMappings"] = MAP;
  config.linux["gidMappings"] = MAP;
}

const add = (config: Config, ...more: Mounts) => (config["mounts"] as Mounts).push(...more);

test("a bundle with a user namespace runs, with its devices, file systems and limits; runc agrees on what it sees", async () => {
  const look = [
    "id -u; cat /proc/self/uid_map /proc/self/gid_map",
    "stat -c '%u:%g %a' / /bin /dev /dev/shm /dev/pts",
    "echo x > /dev/null && head -c 2 /dev/zero | wc -c; hostname; ulimit -n; grep Cap /proc/self/status",
    "touch /made && stat -c %u /made; cut -d' ' -f2,3 /proc/mounts | grep -v -e cgroup -e devtmpfs | sort | head -4",
  ].join("; ");
  const directory = bundle(["sh", "-c", look], (config) => {
    mapped(config);
    config["hostname"] = "inside";
    config.process["rlimits"] = [{ type: "RLIMIT_NOFILE", soft: 300, hard: 400 }];
  });
  const seen = await ok("run", "--bundle", directory, "whole");
  expect(seen).toStartWith(
    lines("0", "         0     300000      65536", "         0     300000      65536", "0:0 755"),
  );
  expect(seen).toContain("\n2\ninside\n300\n");
  expect(statSync(`${shifted}/made`).uid).toBe(300_000);
  // Which binds the host's device nodes where ctr has its own.
  if (needs("runc")) {
    const runc = Bun.spawnSync(["runc", "--root", `${home}/runc`, "run", "--bundle", directory, "other"], {
      stdin: "ignore",
    });
    expect([runc.exitCode, runc.stdout.toString(), runc.stderr.toString()]).toEqual([0, seen, ""]);
  }
});

test("exec joins it, as another user too; delete leaves nothing", async () => {
  await ok("run", "--detach", "--bundle", bundle(["sleep", "1000"], mapped), "life");
  const { pid } = await state("life");
  expect(readFileSync(`/proc/${pid}/status`, "utf8")).toContain("Uid:\t300000\t300000");
  const user = readlinkSync(`/proc/${pid}/ns/user`);
  const inside = await ok(
    "exec",
    "life",
    "sh",
    "-c",
    "id -u; readlink /proc/self/ns/user; grep CapEff /proc/self/status",
  );
  expect(inside).toBe(lines("0", user, "CapEff:\t0000000020000420"));
  expect(await ok("exec", "--user", "1000:1000", "life", "sh", "-c", "id -u; cat /proc/self/uid_map")).toContain(
    "1000\n",
  );
  // A second bundle in the same namespace, whose ids it need not repeat.
  const guest = bundle(["sh", "-c", "readlink /proc/self/ns/user; id -u"], (config) => {
    mapped(config, `/proc/${pid}/ns/user`);
    delete config.linux["uidMappings"];
    delete config.linux["gidMappings"];
  });
  expect(await ok("run", "--bundle", guest, "guest")).toBe(lines(user, "0"));
  await ok("delete", "--force", "life");
});

test("idmap, ridmap and mappings of a mount's own, with and without a user namespace", async () => {
  const source = `${home}/source`;
  mkdirSync(`${source}/below`, { recursive: true });
  Bun.spawnSync(["mount", "-t", "tmpfs", "none", `${source}/below`]);
  writeFileSync(`${source}/file`, "");
  chownSync(`${source}/file`, 7, 8);
  const bind = (destination: string, options: readonly string[], more: object = {}) => ({
    destination,
    type: "bind",
    source,
    options: [...options],
    ...more,
  });
  const own = {
    uidMappings: [{ containerID: 0, hostID: 500, size: 100 }],
    gidMappings: [{ containerID: 0, hostID: 700, size: 100 }],
  };
  const look =
    "for m in /plain /one /all /own; do [ -d $m ] && stat -c '%n %u:%g' $m/file $m/below; done; touch /own/new 2> /dev/null; true";
  const inUser = bundle(["sh", "-c", look], (config) => {
    mapped(config);
    add(config, bind("/plain", ["rbind"]), bind("/one", ["bind", "idmap"]), bind("/all", ["rbind", "ridmap"]));
    // Of its own: what is 7 on the disk is 300003 on the host, and 3 inside.
    add(
      config,
      bind("/own", ["bind"], { uidMappings: [{ containerID: 4, hostID: 300_000, size: 10 }], gidMappings: MAP }),
    );
  });
  const nobody = "65534:65534";
  expect(await ok("run", "--bundle", inUser, "in-user")).toBe(
    lines(
      `/plain/file ${nobody}`,
      `/plain/below ${nobody}`,
      "/one/file 7:8",
      "/one/below 0:0",
      "/all/file 7:8",
      "/all/below 0:0",
      "/own/file 3:8",
      "/own/below 65534:0",
    ),
  );
  const onHost = bundle(["sh", "-c", look], (config) => {
    config["root"] = { path: `${home}/rootfs` };
    add(config, bind("/plain", ["bind"]), bind("/own", ["bind"], own));
  });
  expect(await ok("run", "--bundle", onHost, "on-host")).toBe(
    lines("/plain/file 7:8", "/plain/below 0:0", "/own/file 507:708", "/own/below 500:700"),
  );
  const wrong = bundle(["true"], (config) => add(config, bind("/own", ["bind", "idmap"])));
  expect(await oci("run", "--bundle", wrong, "wrong")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("mount /own: idmap without mappings, in a container without a user namespace"),
  });
  const half = bundle(["true"], (config) => add(config, bind("/own", ["bind"], { uidMappings: own.uidMappings })));
  expect((await oci("run", "--bundle", half, "half")).stderr).toContain("uidMappings and gidMappings go together");
  Bun.spawnSync(["umount", `${source}/below`]);
});

test("maps that overlap, or that are missing, are refused before anything is left", async () => {
  const overlapping = bundle(["true"], (config) => {
    mapped(config);
    config.linux["uidMappings"] = [...MAP, { containerID: 5, hostID: 900_000, size: 3 }];
  });
  expect((await oci("run", "--bundle", overlapping, "overlapping")).stderr).toContain("overlap");
  const missing = bundle(["true"], (config) => {
    mapped(config);
    delete config.linux["gidMappings"];
  });
  expect((await oci("run", "--bundle", missing, "missing")).stderr).toContain("needs uidMappings and gidMappings");
  expect(JSON.parse(await ok("list", "--format", "json"))).toEqual(null);
});
