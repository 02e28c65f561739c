/** `ctr oci` of a test's own: a root for its state, bundles below the test's cgroup parent, taken down at the end. */
import { afterAll } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { testHome } from "./home.ts";
import { binary } from "./needs.ts";
import { record } from "./transcript.ts";

export interface OciResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface OciOptions {
  readonly stdin?: string;
  readonly env?: { readonly [name: string]: string };
  readonly cwd?: string;
}

export interface OciRuntime {
  /** A directory for the test's own files. */
  readonly home: string;
  readonly root: string;
  /** A link to the executable by the name that makes it the runtime. */
  readonly path: string;
  /** Runs one command to its end. */
  readonly oci: (...words: readonly string[]) => Promise<OciResult>;
  readonly ociWith: (options: OciOptions, ...words: readonly string[]) => Promise<OciResult>;
  /** As `oci`, but anything but status 0 fails the test. */
  readonly ok: (...words: readonly string[]) => Promise<string>;
  readonly state: (id: string) => Promise<{ readonly status: string; readonly pid: number }>;
  /** Makes a bundle whose program is this; gives its directory. */
  readonly bundle: (args: readonly string[], change?: (config: Config) => void) => string;
}

/** A config.json as tests change it. */
export interface Config {
  process: { args: string[]; terminal: boolean; [name: string]: unknown };
  linux: { cgroupsPath?: string; [name: string]: unknown };
  [name: string]: unknown;
}

/** Makes one; its containers are deleted after the file's last test. */
export function tempOciRuntime(): OciRuntime {
  const home = testHome("oci");
  const root = `${home}/state`;
  const path = `${home}/ctr-oci`;
  const rootfs = `${home}/rootfs`;
  symlinkSync(Bun.which(binary(), { PATH: "" }) ?? binary(), path);
  mkdirSync(rootfs);
  unpackMinimal(rootfs);
  const runtime = makeRuntime(home, root, path, rootfs);
  afterAll(async () => {
    const left = existsSync(root) ? readdirSync(root) : [];
    for (const id of left) await runtime.oci("delete", "--force", id);
    rmSync(home, { recursive: true, force: true });
  }, 30_000);
  return runtime;
}

function unpackMinimal(rootfs: string): void {
  const make = Bun.spawnSync([`${import.meta.dir}/../images/make`, "minimal"]);
  const archive = make.stdout.toString().trim();
  const tar = Bun.spawnSync(["tar", "-C", rootfs, "-xf", archive]);
  if (tar.exitCode !== 0) throw new Error(`unpack ${archive}: ${tar.stderr.toString()}`);
}

function makeRuntime(home: string, root: string, path: string, rootfs: string): OciRuntime {
  const ociWith = async ({ stdin, env, cwd }: OciOptions, ...words: readonly string[]): Promise<OciResult> => {
    // Files, not pipes: a container that goes on has them too, and nobody waits for its end.
    const [out, err] = [`${home}/out-${crypto.randomUUID()}`, `${home}/err-${crypto.randomUUID()}`];
    const child = Bun.spawn([path, "--root", root, ...words], {
      stdin: stdin === undefined ? "ignore" : new TextEncoder().encode(stdin),
      stdout: Bun.file(out),
      stderr: Bun.file(err),
      env: { ...process.env, ...env },
      ...(cwd === undefined ? {} : { cwd }),
    });
    const status = await child.exited;
    const [stdout, stderr] = [await Bun.file(out).text(), await Bun.file(err).text()];
    record(`ctr-oci ${words.join(" ")}\n→ ${status}\n${stdout}${stderr}`);
    return { status, stdout, stderr };
  };
  const oci = (...words: readonly string[]) => ociWith({}, ...words);
  const ok = async (...words: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await oci(...words);
    if (status !== 0) throw new Error(`ctr-oci ${words.join(" ")}: status ${status}: ${stderr}`);
    return stdout;
  };
  let bundles = 0;
  return {
    home,
    root,
    path,
    oci,
    ociWith,
    ok,
    state: async (id) => JSON.parse(await ok("state", id)),
    bundle: (args, change) => {
      const directory = `${home}/bundle-${++bundles}`;
      mkdirSync(directory);
      const spec = Bun.spawnSync([path, "spec", "--bundle", directory]);
      if (spec.exitCode !== 0) throw new Error(spec.stderr.toString());
      const file = `${directory}/config.json`;
      const config: Config = JSON.parse(readFileSync(file, "utf8"));
      config.process.args = [...args];
      config.process.terminal = false;
      config["root"] = { path: rootfs };
      config.linux.cgroupsPath = `${process.env["CTR_CGROUP_PARENT"] ?? ""}/oci-${bundles}`;
      change?.(config);
      writeFileSync(file, JSON.stringify(config));
      return directory;
    },
  };
}
