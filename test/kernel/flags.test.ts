/**
 * Docker's flags, every command and every name of it (test/reference/docker-flags.json): ours takes each with the same
 * letter, with or without a value, once or several times; or refuses it with a reason that docs/cli.md gives too.
 */
import { describe, expect, test } from "bun:test";
import { type AnyCommand, COMMANDS, type Entry, type Table } from "../../cmd/ctr/commands.ts";
import { parseFlags } from "../../cmd/ctr/flags.ts";
import { REFUSED_FLAGS, whyRefused } from "../../cmd/ctr/refused-flags.ts";
import { binary } from "../lib/needs.ts";

interface Reference {
  readonly aliases: readonly string[];
  /** `letter long type`, the letter may be missing; a star: may be given several times. */
  readonly flags: readonly string[];
  /** Accepted, but not in any help. */
  readonly hidden?: readonly string[];
}

const REFERENCE: { readonly [command: string]: Reference } = await Bun.file(
  `${import.meta.dir}/../reference/docker-flags.json`,
).json();

/** Commands that are not there yet. The list shrinks; under CTR_TEST_STRICT=1 an entry that is there fails. */
const NOT_YET_COMMANDS: readonly string[] = ["builder prune", "image build"];

/** Flags that are not there yet, by command. */
const NOT_YET_FLAGS: { readonly [command: string]: readonly string[] } = {};

interface Flag {
  readonly letter: string | undefined;
  readonly long: string;
  readonly type: string;
  readonly isRepeatable: boolean;
}

function parseReference(text: string): Flag {
  const words = text.split(" ");
  const type = words.at(-1) ?? "";
  const isRepeatable = type.endsWith("*");
  const letter = words.length === 3 ? words[0] : undefined;
  return { letter, long: words.at(-2) ?? "", type: isRepeatable ? type.slice(0, -1) : type, isRepeatable };
}

function entryOf(path: string): Entry | undefined {
  let table: Table = COMMANDS;
  for (const word of path.split(" ")) {
    const next = table[word];
    if (next === undefined) return undefined;
    if ("load" in next) return next;
    table = next.commands;
  }
  return undefined;
}

/** A value of each type that every flag of the type takes. */
const SAMPLES: { readonly [type: string]: string } = { int: "3", uint: "3", uint16: "300", filter: "label=x" };

/** What is wrong with our command's idea of a flag; undefined if nothing is. */
function fault(command: AnyCommand, { letter, long, type, isRepeatable }: Flag): string | undefined {
  const name = Object.keys(command.flags).find(
    (candidate) => candidate === long || [command.flags[candidate]?.alias ?? []].flat().includes(long),
  );
  const definition = name === undefined ? undefined : command.flags[name];
  if (name === undefined || definition === undefined) return "unknown";
  const isSwitch = type === "bool";
  if ((definition.type === "boolean") !== isSwitch) return isSwitch ? "takes a value" : "takes no value";
  if (!isSwitch && definition.type === "string" && (definition.repeatable === true) !== isRepeatable)
    return isRepeatable ? "cannot be given several times" : "can be given several times";
  if (letter !== undefined && ![definition.alias ?? []].flat().includes(letter)) return `has no -${letter}`;
  // And the parser really takes it, in every way that it can be written.
  const sample = SAMPLES[type] ?? "value";
  const ways = isSwitch
    ? [[`--${long}`], [`--${long}=false`]]
    : [
        [`--${long}`, sample],
        [`--${long}=${sample}`],
        ...(letter === undefined ? [] : [[`-${letter}`, sample], [`-${letter}${sample}`]]),
      ];
  for (const words of ways) {
    const { values } = parseFlags(command.flags, isRepeatable ? [...words, ...words] : words, true);
    const expected = isSwitch ? words[0] === `--${long}` : isRepeatable ? [sample, sample] : sample;
    if (JSON.stringify(values[name]) !== JSON.stringify(expected)) return `${words.join(" ")} is not read`;
  }
  return undefined;
}

const stale: string[] = [];

describe("every flag of Docker's", () => {
  for (const [name, { aliases, flags, hidden = [] }] of Object.entries(REFERENCE)) {
    for (const path of [name, ...aliases]) {
      test(`ctr ${path}`, async () => {
        const entry = entryOf(path);
        if (NOT_YET_COMMANDS.includes(name)) {
          if (entry !== undefined) stale.push(path);
          return;
        }
        if (entry === undefined) throw new Error(`there is no ctr ${path}`);
        const { command } = await entry.load();
        const faults: string[] = [];
        const pending = NOT_YET_FLAGS[name] ?? [];
        for (const flag of [...flags.map(parseReference), ...hidden.map((long) => hiddenFlag(long, flags))]) {
          if (flag.long === "help") continue;
          const wrong = fault(command, flag);
          const why = whyRefused(path.split(" "), flag.long);
          if (pending.includes(flag.long)) {
            if (wrong === undefined) stale.push(`${path} --${flag.long}`);
          } else if (why !== undefined) {
            if (wrong !== "unknown") faults.push(`--${flag.long} is taken, though it is in the list of refused flags`);
          } else if (wrong !== undefined) faults.push(`--${flag.long} ${wrong}`);
        }
        expect(faults).toEqual([]);
      });
    }
  }

  test("what is there is not listed as missing", () => {
    if (stale.length > 0) console.error(`there now, take them from the lists: ${stale.join(", ")}`);
    if (process.env["CTR_TEST_STRICT"] === "1") expect(stale).toEqual([]);
  });
});

/** An old name of a flag: it takes what the flag does. */
function hiddenFlag(long: string, flags: readonly string[]): Flag {
  const known = HIDDEN.get(long);
  const flag = flags.map(parseReference).find((candidate) => candidate.long === known);
  if (flag === undefined) throw new Error(`no flag ${known}`);
  return { ...flag, long, letter: undefined };
}

const HIDDEN: ReadonlyMap<string, string> = new Map([
  ["net", "network"],
  ["net-alias", "network-alias"],
  ["dns-opt", "dns-option"],
]);

describe("refused flags", () => {
  const run = (...words: readonly string[]) => {
    const ran = Bun.spawnSync([binary(), ...words]);
    return [ran.exitCode, ran.stderr.toString().split("\n")[0]];
  };

  test("each says why, by its name and by its letter", () => {
    for (const [command, flags] of Object.entries(REFUSED_FLAGS)) {
      const words = command === "" ? [] : command.split(" ");
      for (const { long, short, why } of flags) {
        expect(run(...words, `--${long}`, "x")).toEqual([125, `--${long} is not supported: ${why}`]);
        if (short !== undefined)
          expect(run(...words, `-${short}`, "x")).toEqual([125, `-${short} is not supported: ${why}`]);
      }
    }
    expect(run("container", "run", "--isolation=hyperv", "x")).toEqual([
      125,
      "--isolation is not supported: only Windows containers have it",
    ]);
  });

  test("docs/cli.md lists exactly these, with their reasons", async () => {
    const page = await Bun.file(`${import.meta.dir}/../../docs/cli.md`).text();
    const section = /\n## Flags that are refused\n([\s\S]*?)\n## /.exec(page)?.[1] ?? "";
    const documented = section
      .split("\n")
      .filter((line) => line.startsWith("| `"))
      .map((line) => line.split("|").map((cell) => cell.trim()))
      .flatMap(([, commands = "", flags = "", why = ""]) =>
        (commands.match(/`[^`]+`/g) ?? []).flatMap((command) =>
          flags.split(" ").map((flag) => `${command} ${flag} ${why}`),
        ),
      );
    const refused = Object.entries(REFUSED_FLAGS).flatMap(([command, flags]) =>
      flags.map(({ long, why }) => `\`${command === "" ? "ctr" : command}\` \`--${long}\` ${why}`),
    );
    expect(documented.sort()).toEqual(refused.sort());
  });
});
