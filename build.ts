/**
 * Builds `dist/ctr`: compiles csrc with the system C compiler, embeds the result, bundles the roles.
 *
 *   bun build.ts            the executable, and the list of its parts (dist/ctr.spdx.json)
 *   bun build.ts --helper   only the C helper (what `bun test` needs)
 */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { writeOwnPrograms } from "./internal/security/own-filter-program.ts";
import { writeDefaultPrograms } from "./internal/security/seccomp/default-program.ts";
import { linkHelper, withPart } from "./scripts/helper-part.ts";
import { alignedForLargePages, writeInLargePieces } from "./scripts/large-pages.ts";
import { writeSbom } from "./scripts/sbom.ts";

const CFLAGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fno-plt", "-fstack-protector-strong"];
const root = import.meta.dir;

async function run(...command: string[]): Promise<string> {
  const child = Bun.spawn(command, { cwd: root, stdout: "pipe", stderr: "inherit" });
  const output = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} failed`);
  return output.trim();
}

/** Programs without the C library: their name, and what they consist of besides the file of that name and static.c. */
const STATIC_PROGRAMS = [["reaper"], ["opener"], ["joiner", "join", "exec"]] as const;

const HELPER_SOURCES = [
  "syscalls",
  "spawn",
  "join",
  "exec",
  "user-namespace",
  "wait",
  "running",
  "tree-writer",
  "digester",
  "detach",
  "attached",
  "tar-header",
].map((name) => `csrc/${name}.c`);

const HELPER_PART = "build/helper";

const cc = process.env["CC"] ?? "cc";

/** Compiles the helper as a library, for tests that run the sources, and the static programs as base64, which Bun embeds as text. */
async function compileHelper(): Promise<void> {
  mkdirSync(`${root}/build`, { recursive: true });
  await run(cc, ...CFLAGS, "-shared", "-fPIC", "-s", "-o", "build/helper.so", ...HELPER_SOURCES);
  const alone = ["-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-s"];
  for (const [name, ...parts] of STATIC_PROGRAMS) {
    const own = [name, ...parts, "static"].map((part) => `csrc/${part}.c`);
    await run(cc, ...CFLAGS, ...alone, "-o", `build/${name}`, ...own);
    await Bun.write(`${root}/build/${name}.b64`, (await Bun.file(`${root}/build/${name}`).bytes()).toBase64());
  }
}

/** Compiles the helper as a part of the executable. Returns where its functions will be. */
async function compileHelperPart(): Promise<string> {
  const alone = ["-r", "-nostdlib", "-fno-pic", "-fplt", "-fno-asynchronous-unwind-tables"];
  await run(cc, ...CFLAGS, ...alone, "-o", `${HELPER_PART}.o`, ...HELPER_SOURCES);
  return linkHelper(run, cc, HELPER_PART, process.execPath);
}

/** The commit that is stamped in; "unknown" outside a checkout. */
async function commit(): Promise<string> {
  try {
    const hash = await run("git", "rev-parse", "HEAD");
    const dirty = await run("git", "status", "--porcelain", "--untracked-files=no");
    return dirty === "" ? hash : `${hash}-dirty`;
  } catch {
    return "unknown"; // an unpacked source archive has no git
  }
}

async function bundle(): Promise<void> {
  const { version } = await Bun.file(`${root}/package.json`).json();
  const hash = await commit();
  const addresses = await compileHelperPart();
  const result = await Bun.build({
    entrypoints: [`${root}/cmd/ctr/main.ts`],
    root,
    target: "bun",
    minify: true,
    bytecode: true,
    format: "esm",
    splitting: true,
    define: {
      CTR_VERSION: JSON.stringify(version),
      CTR_COMMIT: JSON.stringify(hash),
      CTR_HELPER: JSON.stringify(addresses),
    },
    compile: {
      outfile: `${root}/build/ctr`,
      // Most of what a command calls it calls once or twice: compiling that was a seventh of its processor time.
      jitPolicy: 10,
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
  });
  for (const log of result.logs) console.error(log);
  if (!result.success) throw new Error("the bundle failed");
  const bytes = Buffer.from(await Bun.file(`${root}/build/ctr`).arrayBuffer());
  closeDoors(bytes);
  rmSync(`${root}/build/ctr`);
  const whole = withPart(alignedForLargePages(bytes), await Bun.file(`${root}/${HELPER_PART}`).bytes());
  writeInLargePieces(`${root}/build/ctr`, whole);
  mkdirSync(`${root}/dist`, { recursive: true });
  await writeSbom(root, `${root}/dist/ctr.spdx.json`, { executable: `${root}/build/ctr`, version, commit: hash });
  // Renamed into place: a running ctr keeps its old file.
  renameSync(`${root}/build/ctr`, `${root}/dist/ctr`);
}

/**
 * Variables by which a caller's environment could have Bun run other code than ctr's (a preloaded file, Bun's own command
 * line, a debugger), print what it sends to registries, or take a descriptor for a channel to a parent. Bun reads them
 * before any line of ours runs and has no switch for it, so in the executable their names become empty strings, which
 * nothing in an environment is called (docs/decisions/0006-environment.md).
 */
const DOORS = [
  "BUN_OPTIONS",
  "BUN_BE_BUN",
  "BUN_INSPECT",
  "BUN_INSPECT_CONNECT_TO",
  "BUN_INSPECT_PRELOAD",
  "BUN_CONFIG_VERBOSE_FETCH",
  "NODE_CHANNEL_FD",
];

/** Replaces the first letter of each name by NUL. Throws for a Bun that no longer has one of them as a C string. */
function closeDoors(bytes: Buffer): void {
  for (const name of DOORS) {
    const wanted = Buffer.from(`\0${name}\0`);
    let count = 0;
    for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1), count++) bytes[at + 1] = 0;
    if (count === 0)
      throw new Error(`${name} is not where it was in the interpreter: see docs/decisions/0006-environment.md`);
  }
}

await compileHelper();
await writeDefaultPrograms(`${root}/build/seccomp-default.b64`);
await writeOwnPrograms(`${root}/build/seccomp-own.b64`);
if (!process.argv.includes("--helper")) await bundle();
