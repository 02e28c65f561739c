/** What a container can see and touch, as facts by name: recorded of Docker by `record-surface.ts`, compared by surface.test.ts. */
import { mkdirSync, readlinkSync } from "node:fs";
import { compileFixture } from "./hostile-image.ts";

/** Facts by name: `caps:CapEff`, `/proc/kcore`, `mount:/sys`. */
export type Surface = Readonly<Record<string, string>>;

/** Recorded: the default container's whole, of the others what differs from it; null for what is not there. */
export interface RecordedSurfaces {
  readonly kernel: string;
  readonly engine: string;
  readonly default: Surface;
  readonly variants: Readonly<Record<string, Readonly<Record<string, string | null>>>>;
}

export const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  default: [],
  user: ["-u", "1000"],
  "read-only": ["--read-only", "--tmpfs", "/scratch"],
  "network host": ["--network", "host"],
  terminal: ["-t"],
  "system paths": ["--security-opt", "systempaths=unconfined"],
  privileged: ["--privileged"],
  device: ["--device", "/dev/zero:/dev/given:r", "--cap-add", "SYS_PTRACE", "--cap-drop", "CHOWN"],
};

const ABIS = ["x86_64", "x32", "x86"] as const;
const LAST_CALL = 600;

/** Compiles what looks around, into a directory to be mounted on /surface. */
export async function compileSurface(directory: string): Promise<string> {
  mkdirSync(directory, { recursive: true });
  await compileFixture("surface.c", `${directory}/surface`, "-static");
  await compileFixture("../../lib/seccomp-probe.c", `${directory}/seccomp-probe`, "-static", "-pthread");
  const x32 = 0x40000000;
  const calls = ABIS.flatMap((abi) =>
    Array.from({ length: LAST_CALL }, (_unused, number) => {
      if (abi === "x32") return `x86_64 ${x32 + number}`;
      // uretprobe and uprobe are nobody's to filter (kernel 6.14), and end who makes them.
      return abi === "x86_64" && (number === 335 || number === 336) ? "x86_64 39" : `${abi} ${number}`;
    }),
  );
  await Bun.write(`${directory}/calls`, `${calls.map((call) => `${call} 0 0 0 0 0 0`).join("\n")}\n`);
  return directory;
}

const SECTIONS: Readonly<Record<string, string>> = {
  status: "probe status",
  ids: "probe ids",
  ns: "probe ns",
  env: "probe env",
  process: "probe process",
  signals: "probe signals",
  mounts: "probe mounts",
  calls: "/surface/seccomp-probe < /surface/calls",
  surface:
    "/surface/surface /dev 3 /proc 9 /sys 1 /sys/kernel 1 /sys/firmware 2 /sys/fs/cgroup 2 /sys/devices/virtual 1",
};

/** The script that a container runs, with the directory of `compileSurface` mounted on /surface. */
export const SCRIPT = Object.entries(SECTIONS)
  .map(([name, command]) => `echo "== ${name}"; ${command}`)
  .join("; ");

/** The facts in what the script has printed. */
export function parseSurface(output: string): Surface {
  const facts: Record<string, string> = {};
  // A terminal ends lines with two bytes.
  for (const section of output.replaceAll("\r\n", "\n").split(/^== /m).slice(1)) {
    const [name = "", ...lines] = section.trimEnd().split("\n");
    for (const [fact, value] of (PARSERS[name] ?? (() => []))(lines)) facts[fact] = value;
  }
  return Object.fromEntries(Object.entries(facts).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

type Facts = readonly (readonly [fact: string, value: string])[];

const PARSERS: Readonly<Record<string, (lines: readonly string[]) => Facts>> = {
  status: (lines) =>
    lines.flatMap((line) => {
      const [, field = "", value = ""] = /^(Cap\w+|NoNewPrivs|Seccomp|Umask|Groups):\s*(.*)$/.exec(line) ?? [];
      return field === "" ? [] : [[`status:${field}`, value.trim()] as const];
    }),
  ids: (lines) => lines.map((line) => [`id:${line.split(" ")[0]}`, line] as const),
  // Own, or the one of who looks.
  ns: (lines) =>
    lines.map((line) => {
      const kind = line.split(":")[0] ?? "";
      return [`namespace:${kind}`, readlinkSync(`/proc/self/ns/${kind}`) === line ? "host" : "own"] as const;
    }),
  env: (lines) => lines.map((line) => [`env:${line.split("=")[0]}`, /^HOSTNAME=/.test(line) ? "" : line] as const),
  process: (lines) => lines.map((line) => [`process:${line.split(" ")[0]}`, line] as const),
  signals: (lines) => lines.map((line) => [`signals:${line.split(":")[0]}`, line] as const),
  mounts: (lines) =>
    lines.flatMap((line) => {
      const [left = "", right = ""] = line.split(" - ");
      const [, , , , point = "", options = ""] = left.split(" ");
      if (point === "/surface") return [];
      const shared = /(shared|master):/.test(left) ? " propagates" : "";
      return [
        [`mount:${point}`, `${right.split(" ")[0]} ${options.split(",").toSorted().join(",")}${shared}`] as const,
      ];
    }),
  calls: (lines) =>
    ABIS.map((abi, at) => {
      const answers = lines.slice(at * LAST_CALL, (at + 1) * LAST_CALL);
      return [`calls:${abi}`, ranges(answers.flatMap((answer, number) => (answer === "let" ? [number] : [])))] as const;
    }),
  surface: (lines) =>
    lines.flatMap((line) => {
      const at = line.indexOf(" ");
      const name = line.slice(0, at);
      // Links to who looks, what is numbered by the machine, and what there is of every interface.
      const isLeftOut =
        /^\/proc\/((self|thread-self|irq|bus|fs|scsi|driver)\b|sys\/net\/ipv.\/(conf|neigh)\/(?!all\b))/.test(name);
      return isLeftOut ? [] : [[name, line.slice(at + 1)] as const];
    }),
};

/** `0-3 5` */
function ranges(numbers: readonly number[]): string {
  const words: string[] = [];
  for (let start = 0; start < numbers.length; ) {
    let end = start;
    while (numbers[end + 1] === (numbers[end] ?? 0) + 1) end++;
    words.push(start === end ? `${numbers[start]}` : `${numbers[start]}-${numbers[end]}`);
    start = end + 1;
  }
  return words.join(" ");
}

/** The numbers that `ranges` wrote. */
export function numbersOf(text: string): readonly number[] {
  return text
    .split(" ")
    .filter((word) => word !== "")
    .flatMap((word) => {
      const [first = 0, last = first] = word.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_unused, index) => first + index);
    });
}
