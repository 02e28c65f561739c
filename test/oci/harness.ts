/**
 * Drives an OCI runtime by runc's command line: makes a bundle from a configuration and the program world.c, and tells
 * what came of it. The same for `ctr oci`, runc and crun.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { binary } from "../lib/needs.ts";
import { record } from "../lib/transcript.ts";
import type { World } from "./world.ts";

export interface Runtime {
  readonly name: "ctr" | "runc" | "crun";
  readonly command: readonly string[];
  /** Containers are scopes of systemd's. */
  readonly usesSystemd: boolean;
}

/** The runtimes by name, with scopes of systemd's `ctr+systemd`. Throws for one that is not installed. */
export function runtime(word: string): Runtime {
  const [name = "", ...more] = word.split("+");
  const usesSystemd = more.includes("systemd");
  if (name === "ctr") return { name, command: [binary(), "oci"], usesSystemd };
  if (name !== "runc" && name !== "crun") throw new Error(`unknown runtime ${name}`);
  const path = Bun.which(name, { PATH: "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" });
  if (path === null) throw new Error(`${name} is not installed`);
  return { name, command: [path], usesSystemd };
}

/** A JSON object; in a patch `undefined` takes a field away. */
export interface Json {
  readonly [key: string]: unknown;
}

/** `patch` over `base`: objects are merged, everything else is replaced. */
export function merge(base: Json, patch: Json): Json {
  const merged: { [key: string]: unknown } = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    const old = merged[key];
    if (value === undefined) delete merged[key];
    else merged[key] = isObject(old) && isObject(value) ? merge(old, value) : value;
  }
  return merged;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/** The mounts of `runc spec`, without the cgroups'. */
export const MOUNTS: readonly Json[] = [
  { destination: "/proc", type: "proc", source: "proc" },
  {
    destination: "/dev",
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
  },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
  },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
];

export const NAMESPACES: readonly Json[] = ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type }));

/** A small, complete configuration: what `runc spec` writes, without a terminal, running `world`. */
function baseConfig(cgroupsPath: string): Json {
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ["/world"],
      env: ["PATH=/bin:/usr/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: {
        bounding: CAPABILITIES,
        effective: CAPABILITIES,
        permitted: CAPABILITIES,
      },
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: false },
    hostname: "bundle",
    mounts: MOUNTS,
    linux: { namespaces: NAMESPACES, cgroupsPath },
  };
}

function cgroupParent(): string {
  const parent = process.env["CTR_CGROUP_PARENT"];
  if (parent === undefined) throw new Error("only inside scripts/private-host: CTR_CGROUP_PARENT is not set");
  return parent;
}

let program: string | undefined;

/** world.c, compiled once per run; `OCI_WORLD` is one that was. */
export function worldProgram(): string {
  program ??= process.env["OCI_WORLD"];
  if (program !== undefined) return program;
  const path = `${process.env["CTR_TEST_HOME"] ?? tmpdir()}/world-${process.pid}`;
  const source = `${import.meta.dir}/world.c`;
  const compiler = Bun.which("gcc") ?? "cc";
  const command = [compiler, "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-o", path, source];
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`compile world.c: ${stderr.toString()}`);
  program = path;
  return path;
}

let count = 0;

/** A bundle on disk. Disposing removes it. */
export class Bundle {
  readonly id: string;
  readonly path: string;
  readonly rootfs: string;
  /** Its `linux.cgroupsPath`, and its cgroup from the root of each hierarchy. */
  readonly cgroupsPath: string;
  readonly cgroup: string;

  constructor({ usesSystemd = false }: Partial<Runtime> = {}) {
    this.id = `b${process.pid}-${++count}`;
    this.cgroup = usesSystemd ? `/system.slice/oci-${this.id}.scope` : `${cgroupParent()}/${this.id}`;
    this.cgroupsPath = usesSystemd ? `system.slice:oci:${this.id}` : this.cgroup;
    this.path = mkdtempSync(`${process.env["CTR_TEST_HOME"] ?? tmpdir()}/oci-`);
    this.rootfs = `${this.path}/rootfs`;
    for (const name of ["proc", "dev", "sys", "tmp", "etc", "bin", "home/user"]) {
      mkdirSync(`${this.rootfs}/${name}`, { recursive: true });
    }
    this.copy("world");
    writeFileSync(`${this.rootfs}/etc/passwd`, "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n");
    writeFileSync(`${this.rootfs}/etc/group`, "root:x:0:\nuser:x:1000:\n");
  }

  /** The probe once more, under another name. */
  copy(name: string): void {
    const { exitCode } = Bun.spawnSync(["cp", worldProgram(), `${this.rootfs}/${name}`]);
    if (exitCode !== 0) throw new Error(`copy the probe to ${name}`);
  }

  file(name: string): string {
    return readFileSync(`${this.path}/${name}`, "utf8");
  }

  has(name: string): boolean {
    return existsSync(`${this.path}/${name}`);
  }

  /** Writes config.json: the base with a patch over it. */
  configure(patch: Json): void {
    writeFileSync(`${this.path}/config.json`, JSON.stringify(merge(baseConfig(this.cgroupsPath), patch)));
  }

  [Symbol.dispose](): void {
    // What a runtime, or a case that failed, has left mounted in here.
    const places = readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter((place) => place.startsWith(`${this.path}/`));
    for (const place of places.toReversed()) Bun.spawnSync(["umount", "--lazy", place]);
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** How a command ended. `stdout` and `stderr` are the container's too where it inherits them. */
export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A runtime with a state directory of its own. Disposing deletes every container it has left, and the directory. */
export class Driver {
  readonly runtime: Runtime;
  readonly root: string;
  readonly #ids = new Set<string>();
  #commands = 0;

  constructor(which: Runtime) {
    this.runtime = which;
    this.root = mkdtempSync(`${process.env["CTR_TEST_HOME"] ?? tmpdir()}/oci-root-`);
  }

  /** Runs one command of the runtime to its end. Output goes over files: a created container keeps it open. */
  command(...words: readonly string[]): Outcome {
    return this.withOptions([], ...words);
  }

  /** The same with global options. */
  withOptions(options: readonly string[], ...words: readonly string[]): Outcome {
    // Files of its own: a container that was created writes on into those of its create.
    const at = `${this.root}.${++this.#commands}`;
    const [out, err] = [`${at}.out`, `${at}.err`];
    const command = [
      ...[...this.runtime.command, "--root", this.root],
      ...(this.runtime.usesSystemd ? ["--systemd-cgroup"] : []),
      ...options,
      ...words,
    ];
    const { exitCode } = Bun.spawnSync(command, {
      stdin: "ignore",
      stdout: Bun.file(out),
      stderr: Bun.file(err),
      cwd: "/",
      timeout: 60_000,
    });
    const outcome = { status: exitCode, stdout: readFileSync(out, "utf8"), stderr: readFileSync(err, "utf8") };
    for (const path of [out, err]) rmSync(path);
    record(`$ ${command.join(" ")}\n(${outcome.status}) ${outcome.stdout}${outcome.stderr}`);
    return outcome;
  }

  run(bundle: Bundle, ...flags: readonly string[]): Outcome {
    this.#ids.add(bundle.id);
    return this.command("run", "--bundle", bundle.path, ...flags, bundle.id);
  }

  create(bundle: Bundle, ...flags: readonly string[]): Outcome {
    this.#ids.add(bundle.id);
    return this.command("create", "--bundle", bundle.path, ...flags, bundle.id);
  }

  /** The state, parsed. Throws when the runtime knows no such container. */
  state(id: string): Json {
    const { status, stdout, stderr } = this.command("state", id);
    if (status !== 0) throw new Error(`state ${id}: status ${status}: ${stderr}`);
    return JSON.parse(stdout);
  }

  /** Waits until the container has this status. */
  async until(id: string, status: string): Promise<void> {
    const deadline = Date.now() + 10_000;
    for (;;) {
      const now = this.state(id)["status"];
      if (now === status) return;
      if (Date.now() > deadline) throw new Error(`${id} is ${now}, not ${status}`);
      await Bun.sleep(5);
    }
  }

  [Symbol.dispose](): void {
    for (const id of this.#ids) this.command("delete", "--force", id);
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** What `world` printed. Throws with everything there is when it did not run. */
export function worldOf({ status, stdout, stderr }: Outcome): World {
  const line = stdout.split("\n").find((text) => text.startsWith('{"uid"'));
  if (line === undefined) throw new Error(`status ${status}: ${stderr || stdout}`);
  return JSON.parse(line);
}
