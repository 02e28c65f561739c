/**
 * The rules of the house: who may import whom, and what may not be called where. STYLE of the project in a form that
 * fails. The table of floors and the list of bans are the rules; the code below them only reads files.
 */
import { expect, test } from "bun:test";
import { dirname, join, normalize } from "node:path";
import { BUNDLED } from "../scripts/sbom.ts";

/** Rooms by floor. A file imports from its own room and from lower floors: never up, never sideways. */
const FLOORS: readonly (readonly string[])[] = [
  ["internal/errors"],
  ["internal/sys", "internal/spec"],
  ["internal/ipc", "internal/db"],
  [
    "internal/archive",
    "internal/cgroups",
    "internal/content",
    "internal/hooks",
    "internal/resctrl",
    "internal/iptables",
    "internal/netlink",
    "internal/registry",
    "internal/rootfs",
    "internal/security",
    "internal/snapshot",
  ],
  ["internal/image", "internal/network", "internal/runtime", "internal/volume"],
  ["internal/container", "internal/oci"],
  ["cmd/init", "cmd/netd", "cmd/oci", "cmd/supervisor"],
  ["cmd/ctr"],
];

/** Init is on the path of every start: it loads these rooms and nothing else. */
const INIT_MAY_LOAD = ["errors", "sys", "spec", "ipc", "hooks", "rootfs", "security", "netlink"].map(
  (room) => `internal/${room}`,
);

/** Packages, and the one place each may be loaded from at run time; types may be imported anywhere. */
const PACKAGES: { readonly [name: string]: RegExp } = {
  bun: /./,
  "bun:ffi": /^internal\/sys\//,
  "bun:sqlite": /^internal\/|^cmd\/(netd|supervisor)\//,
  citty: /^cmd\/ctr\/(help|flags)\.ts$/,
  "msgpackr/pack": /^internal\/ipc\//,
  "msgpackr/unpack": /^internal\/ipc\//,
};

interface Ban {
  readonly what: RegExp;
  readonly why: string;
  /** Files it applies to; all of cmd and internal unless given. */
  readonly where?: RegExp;
  /** Files that may. */
  readonly except?: RegExp;
}

const BANS: readonly Ban[] = [
  {
    what: /\battachMount\(/,
    why: "in a container's root a mount is attached by attach.ts, which refuses procfs and looks at the place again",
    except: /^internal\/(sys\/mount|rootfs\/(attach|mounts|cgroup-mounts|shifted-overlay))\.ts$/,
  },
  {
    what: /\bprocess\.(stdout|stderr|stdin)\b/,
    why: "merely touching it costs 8 ms of start-up: Bun.stdout, or isatty of internal/sys",
  },
  {
    what: /\bconsole\.\w+\(/,
    why: "only output.ts and fail.ts write to the terminal",
    except: /^cmd\/ctr\/(output|fail)\.ts$/,
  },
  { what: /\bas any\b|:\s*any\b|<any>/, why: "a type that is not known is `unknown` until a parser has checked it" },
  { what: /@ts-(ignore|expect-error|nocheck)/, why: "an error of types is an error" },
  { what: /^export default\b/m, why: "a thing has one name, the one it is exported under" },
  { what: /^(export )?(const )?enum\b/m, why: "erasable syntax only: a union of strings" },
  { what: /\brequire\(/, why: "modules are ESM: import, or import() to load late" },
  { what: /\bsetInterval\(/, why: "nothing polls: an idle process does not wake up" },
  { what: /\bsleepSync\(/, why: "it stops the whole process: wait for the event" },
  {
    what: /\b(Sync)?\bexecSync\(|\bspawnSync\(/,
    why: "it blocks the process for as long as another likes",
    except: /^internal\/iptables\//,
  },
  { what: /\beval\(|\bnew Function\(/, why: "no code is made at run time" },
  { what: /\bdlopen\(/, why: "one FFI handle, loaded from memory", except: /^internal\/sys\/lib\.ts$/ },
  { what: /\bMath\.random\(/, why: "ids and names must not be guessable: crypto.getRandomValues" },
  {
    what: /\b(process|Bun)\.env\b/,
    why: "roles start from a clean environment; only the command line reads the caller's",
    // A role's main reads the CTR_ variables it was started with; spawn.ts the mark of a re-executed role.
    except: /^cmd\/(ctr|oci)\/|^cmd\/(netd|supervisor)\/main\.ts$|^internal\/sys\/spawn\.ts$/,
  },
  {
    what: /\bprocess\.exit\(/,
    why: "it cuts off output and clean-up: return the status",
    // The last line of a process; a reader, or a supervisor, that is gone.
    except: /^cmd\/[a-z]+\/main\.ts$|^cmd\/ctr\/(cli|output)\.ts$|^cmd\/init\/control\.ts$/,
  },
  {
    what: /\bcatch\s*(\([^)]*\))?\s*\{\s*\}/,
    why: "an error is not swallowed: say in a comment why going on is right",
  },
  {
    what: /\bnode:(http|https|net|stream|crypto|util|path|child_process|readline|zlib|tls|worker_threads)\b/,
    why: "each costs 1 to 4 ms of start-up: fetch, Bun.connect, web streams, Bun.CryptoHasher; or import() where the work is long",
    except: /^internal\/(archive|image|registry|content)\//,
  },
  {
    what: /\bnode:fs\b/,
    why: "0.9 ms of start-up, and it follows links: internal/sys/file.ts works on descriptors",
    except: /^internal\/(archive|image|content|snapshot)\//,
  },
  {
    what: /\bO_PATH\b.*\/proc\/self\/fd.*\+/,
    why: "a path built from a descriptor and a name is resolved again: use the *at call",
  },
];

interface Import {
  readonly target: string;
  readonly isType: boolean;
  readonly isDynamic: boolean;
}

const top = normalize(`${import.meta.dir}/..`);

async function filesOf(pattern: string): Promise<readonly string[]> {
  const files: string[] = [];
  for await (const file of new Bun.Glob(pattern).scan({ cwd: top })) files.push(file);
  return files.sort();
}

const isTest = (file: string): boolean => /\.(test|contract)\.ts$/.test(file);

const sources = (await Promise.all(["cmd/**/*.ts", "internal/**/*.ts"].map(filesOf))).flat();
const texts = new Map(
  await Promise.all(sources.map(async (file) => [file, await Bun.file(`${top}/${file}`).text()] as const)),
);

/** The code without comments; strings stay. */
function withoutComments(text: string): string {
  return text.replaceAll(
    /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
    (_all, string) => string ?? "",
  );
}

export function importsOf(text: string): readonly Import[] {
  const code = withoutComments(text);
  const found: Import[] = [];
  for (const match of code.matchAll(/^(?:import|export)\s+(type\s)?[^"';]*?\bfrom\s*["']([^"']+)["']/gm)) {
    found.push({ target: match[2] ?? "", isType: match[1] !== undefined, isDynamic: false });
  }
  for (const match of code.matchAll(/^import\s*["']([^"']+)["']/gm))
    found.push({ target: match[1] ?? "", isType: false, isDynamic: false });
  for (const match of code.matchAll(/\bimport\(\s*["'`]([^"'`]+)["'`]/g))
    found.push({ target: match[1] ?? "", isType: false, isDynamic: true });
  return found;
}

/** The room of a file or undefined: `internal/sys/fd.ts` is in `internal/sys`. */
function roomOf(file: string): string | undefined {
  const room = file.split("/").slice(0, 2).join("/");
  return FLOORS.some((rooms) => rooms.includes(room)) ? room : undefined;
}

const floorOf = (room: string): number => FLOORS.findIndex((rooms) => rooms.includes(room));

/** Each breach of one file, as a sentence. */
export function importBreaches(file: string, text: string): readonly string[] {
  const room = roomOf(file);
  if (room === undefined) return [`${file} is in no room of the table`];
  return importsOf(text).flatMap(({ target, isType, isDynamic }) => {
    if (!target.startsWith(".")) {
      if (target.startsWith("node:")) return []; // the bans speak of these
      const mayLoad = PACKAGES[target];
      if (mayLoad === undefined && !isType) return [`${file} loads the package ${target}`];
      if (mayLoad !== undefined && !isType && !mayLoad.test(file)) return [`${file} loads ${target}: ${mayLoad} may`];
      return [];
    }
    const path = normalize(join(dirname(file), target));
    if (path.startsWith("build/") && path.endsWith(".b64")) return [];
    if (isTest(path)) return [`${file} imports the test ${path}`];
    if (!/\.(ts|json)$/.test(path)) return [`${file} imports ${target} without its extension`];
    const other = roomOf(path);
    if (other === undefined) return [`${file} imports ${path}, which is in no room`];
    if (other === room) return [];
    if (floorOf(other) >= floorOf(room))
      return [`${file} imports ${path}: ${floorOf(other) > floorOf(room) ? "up" : "sideways"}`];
    if (room === "cmd/init" && !INIT_MAY_LOAD.includes(other))
      return [`${file} imports ${path}: init may not load ${other}`];
    if (/^internal\/network\/drivers\//.test(path) && room !== "cmd/netd")
      return [`${file} imports ${path}: drivers run only inside netd`];
    if (room === "cmd/ctr" && /^cmd\//.test(path) && !isDynamic)
      return [`${file} imports ${path}: a role is loaded by import()`];
    return [];
  });
}

test("imports: every file keeps to its floor", () => {
  const breaches = sources
    .filter((file) => !isTest(file))
    .flatMap((file) => importBreaches(file, texts.get(file) ?? ""));
  expect(breaches).toEqual([]);
});

test("calls: nothing that is banned", () => {
  const breaches: string[] = [];
  for (const file of sources.filter((name) => !isTest(name) && !name.endsWith(".d.ts"))) {
    const code = withoutComments(texts.get(file) ?? "");
    const original = texts.get(file) ?? "";
    for (const ban of BANS) {
      if (ban.where !== undefined && !ban.where.test(file)) continue;
      if (ban.except?.test(file)) continue;
      // Directives live in comments, and an empty catch may hold one that gives the reason.
      const subject =
        ban.what.source.includes("@ts-") || ban.what.source.includes("catch") ? original : withoutTypeImports(code);
      const match = ban.what.exec(subject);
      if (match !== null) breaches.push(`${file}: ${match[0].trim()}: ${ban.why}`);
    }
  }
  expect(breaches).toEqual([]);
});

function withoutTypeImports(code: string): string {
  return code.replaceAll(/^import type [^;]*;/gm, "");
}

test("start-up: a subcommand reaches its file by import(), not through the table", async () => {
  const table = texts.get("cmd/ctr/commands.ts") ?? "";
  const eager = importsOf(table).filter(
    ({ target, isType, isDynamic }) => !isType && !isDynamic && target.includes("commands/"),
  );
  expect(eager).toEqual([]);
});

test("packages: exact versions, checksums for whatever may be installed here, and the list of what is bundled", async () => {
  const { dependencies, devDependencies, overrides } = await Bun.file(`${top}/package.json`).json();
  const versions = Object.entries<string>({ ...dependencies, ...devDependencies, ...overrides });
  expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  const lock = await Bun.file(`${top}/package-lock.json`).json();
  expect(lock.lockfileVersion).toBeGreaterThanOrEqual(3);
  const { "": own, ...locked }: { [path: string]: Locked } = lock.packages;
  expect(own).toMatchObject({ dependencies, devDependencies });
  // Linux with glibc, on x86-64 and arm64: nothing else is built on. What is for others was never downloaded.
  const isForeign = ({ os = ["linux"], cpu = ["x64"], libc = ["glibc"] }: Locked) =>
    !os.includes("linux") || !(cpu.includes("x64") || cpu.includes("arm64")) || !libc.includes("glibc");
  const unchecked = Object.entries(locked).filter(
    ([, entry]) => !/^sha512-[\w+/]{86}==$/.test(entry.integrity ?? "") && !isForeign(entry),
  );
  expect(unchecked.map(([path]) => path)).toEqual([]);
  // From nowhere but the registry: no URL, no repository, no directory of somebody's.
  expect(Object.values(locked).filter(({ resolved }) => !(resolved ?? REGISTRY).startsWith(REGISTRY))).toEqual([]);
  const bundled = Object.keys(PACKAGES).filter((name) => !name.startsWith("bun"));
  expect([...new Set(bundled.map((name) => name.split("/")[0]))].sort()).toEqual([...BUNDLED]);
});

const REGISTRY = "https://registry.npmjs.org/";

/** What of an entry of package-lock.json is looked at. */
interface Locked {
  readonly resolved?: string;
  readonly integrity?: string;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
}

test("C: public names start with ctr_, and nothing allocates or prints", async () => {
  const breaches: string[] = [];
  for (const file of await filesOf("csrc/*.{c,h}")) {
    const code = withoutComments(await Bun.file(`${top}/${file}`).text());
    for (const match of code.matchAll(
      /\b(malloc|calloc|realloc|free|printf|fprintf|snprintf|puts|perror|system|popen)\s*\(/g,
    )) {
      breaches.push(`${file}: ${match[1]}: between clone and execve only system calls are safe`);
    }
    for (const match of code.matchAll(/^#\s*include\s*<(stdio\.h)>/gm))
      breaches.push(`${file}: ${match[1]}: no sentences for users in C`);
    // A definition at the left margin that is not static is public; static.c has what it names of the C library.
    for (const match of code.matchAll(
      /^(?!static\b|struct\b|typedef\b|extern\b|else\b|return\b|#)[a-z][\w\s*]*?\b(\w+)\s*\([^;{}]*\)\s*\{/gm,
    )) {
      const name = match[1] ?? "";
      if (!/^(ctr_\w+|main|_start|memset|memcpy|strlen|syscall|__errno_location)$/.test(name))
        breaches.push(`${file}: ${name} is public and does not start with ctr_`);
    }
  }
  expect(breaches).toEqual([]);
});

test("the rules themselves catch what they should", () => {
  const breaches = (file: string, text: string) => importBreaches(file, text).length;
  expect(breaches("internal/sys/a.ts", 'import { x } from "../db/engine.ts";')).toBe(1);
  expect(breaches("internal/sys/a.ts", 'import type { X } from "../spec/spec.ts";')).toBe(1);
  expect(breaches("internal/image/a.ts", 'import type { X } from "../network/a.ts";')).toBe(1);
  expect(breaches("cmd/init/a.ts", 'const m = await import("../../internal/runtime/a.ts");')).toBe(1);
  expect(breaches("cmd/ctr/a.ts", 'import { run } from "../supervisor/main.ts";')).toBe(1);
  expect(breaches("cmd/ctr/a.ts", 'const { run } = await import("../supervisor/main.ts");')).toBe(0);
  expect(breaches("cmd/supervisor/a.ts", 'import { x } from "../../internal/network/drivers/bridge.ts";')).toBe(1);
  expect(
    breaches("internal/db/a.ts", '// import { x } from "../image/a.ts";\nimport { y } from "../errors/error.ts";'),
  ).toBe(0);
  expect(breaches("internal/db/a.ts", 'import lodash from "lodash";')).toBe(1);
  expect(breaches("internal/utils/a.ts", "")).toBe(1);
});
