/** `--help`: every command has it, in Docker's layout, with examples that work; colours only where they are wanted. */
import { describe, expect, test } from "bun:test";
import { COMMANDS, type Entry, type Table, visibleNames } from "../../cmd/ctr/commands.ts";
import { examplesOf } from "../../cmd/ctr/examples.ts";
import { parseFlags } from "../../cmd/ctr/flags.ts";
import { binary } from "../lib/needs.ts";
import { openSession } from "../lib/terminal.ts";

/** Every command by each of its names. */
function everyCommand(table: Table, before: readonly string[]): readonly (readonly [readonly string[], Entry])[] {
  return visibleNames(table).flatMap((name) => {
    const entry = table[name];
    const path = [...before, name];
    if (entry === undefined) return [];
    return "load" in entry ? [[path, entry] as const] : everyCommand(entry.commands, path);
  });
}

const ALL = everyCommand(COMMANDS, []);

function help(...words: readonly string[]): {
  readonly text: string;
  readonly status: number;
  readonly errors: string;
} {
  const ran = Bun.spawnSync([binary(), ...words]);
  return { text: ran.stdout.toString(), status: ran.exitCode, errors: ran.stderr.toString() };
}

/** The words of a line as a shell would have them, up to a pipe or a redirection. */
function wordsOf(line: string): readonly string[] {
  const words = [...line.replace(/\$\([^)]*\)/, "x").matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    (match) => match[1] ?? match[2] ?? match[3] ?? "",
  );
  const end = words.findIndex((word) => ["|", "<", ">"].includes(word));
  return end < 0 ? words : words.slice(0, end);
}

describe("--help", () => {
  test.each(ALL.map(([path, entry]) => [path.join(" "), path, entry] as const))(
    "ctr %s",
    async (_name, path, entry) => {
      const { command } = await entry.load();
      const { text, status, errors } = help(...path, "--help");
      expect([status, errors]).toEqual([0, ""]);
      const usage = `Usage:  ctr ${path.join(" ")} ${command.usage}`.trimEnd();
      expect(text).toStartWith(`${usage}\n\n${command.meta.description}\n`);
      expect(text).toContain("\n\nExamples:\n  # ");
      for (const flag of Object.keys(command.flags)) expect(text).toContain(`--${flag}`);
      for (const line of text.split("\n")) expect(line).not.toMatch(/\s$/);
    },
  );

  test("each example is a line that this command takes", async () => {
    for (const [path, entry] of ALL) {
      const { command } = await entry.load();
      const examples = examplesOf(path);
      expect(`${path.join(" ")}: ${examples.length}`).not.toEndWith(" 0");
      const own = examples.filter(([, line]) => /^ctr /.test(line));
      for (const [, line] of own) {
        const words = wordsOf(line).slice(1);
        const place = ALL.filter(([candidate]) => words.slice(0, candidate.length).join(" ") === candidate.join(" "))
          .toSorted((a, b) => b[0].length - a[0].length)
          .at(0);
        if (place === undefined) throw new Error(`${line}: no such command`);
        expect((await place[1].load()).command.meta.description).toBe(command.meta.description);
        const { operands } = parseFlags(command.flags, words.slice(place[0].length), command.stopsAtOperand === true);
        const [least, most] = command.operands;
        if (operands.length < least || operands.length > most) throw new Error(`${line}: ${operands.length} operands`);
      }
    }
  });

  test("a group lists its commands; an unknown topic is told", () => {
    expect(help("image", "--help").text).toMatch(/^Usage: {2}ctr image COMMAND\n\nManage images\n\nCommands:\n/);
    expect(help("help", "images").text).toBe(help("images", "--help").text);
    expect(help("--help").text).not.toContain("__");
    expect(help("help", "nosuch").status).toBe(1);
  });
});

describe("what is mistyped", () => {
  const error = (...words: readonly string[]) => help(...words).errors;

  test("a command is answered with the nearest ones", () => {
    expect(error("imagse")).toBe(
      "ctr: unknown command: ctr imagse\n\nDid you mean this?\n\timage\n\timages\n\nRun 'ctr --help' for more information\n",
    );
    expect(error("image", "lss")).toContain(
      "unknown command: ctr image lss\n\nDid you mean this?\n\tls\n\nUsage:  ctr image\n",
    );
    expect(error("__complet")).not.toContain("Did you mean");
  });

  test("a flag too", () => {
    expect(error("images", "--digest")).toBe(
      "unknown flag: --digest\n\nDid you mean this?\n\t--digests\n\nUsage:  ctr images [OPTIONS] [REPOSITORY[:TAG]]\n\nRun 'ctr images --help' for more information\n",
    );
    expect(error("run", "--nmae", "x", "y")).toStartWith("unknown flag: --nmae\n\nDid you mean this?\n\t--name\n");
    expect(error("ps", "--zzz")).not.toContain("Did you mean");
  });
});

describe("colours", () => {
  async function shown(env: Record<string, string>): Promise<string> {
    await using session = openSession([binary(), "images", "--help"], { env });
    await session.exited;
    return session.output();
  }

  test("on a terminal, but not with NO_COLOR or on a dumb one, and never into a pipe", async () => {
    expect(await shown({ NO_COLOR: "" })).toContain("\x1b[1mUsage:\x1b[22m  ctr images");
    expect(await shown({ NO_COLOR: "1" })).not.toContain("\x1b[");
    expect(await shown({ NO_COLOR: "", TERM: "dumb" })).not.toContain("\x1b[");
    expect(help("images", "--help").text).not.toContain("\x1b[");
  });
});
