/** Completion of the command line, by the shells themselves: typed on a terminal, a tab, what then stands there. */
import { describe, expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { binary, needs } from "../lib/needs.ts";
import { openSession, type Session } from "../lib/terminal.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
await engine.ok("tag", image, "localhost:5000/team/app:v1");
await engine.ok("run", "-d", "--name", "web-running", "--network", "none", image, "probe", "pause");
await engine.ok("create", "--name", "web-stopped", "-v", "site-data:/data", image, "true");
await engine.ok("create", "--name", "db-stopped", image, "true");

/** `ctr` by its name, as a user has it; what is not about completion only tells how it was called. */
const bin = `${engine.scratch}/bin`;
mkdirSync(bin);
writeFileSync(
  `${bin}/ctr`,
  `#!/bin/sh
case $1 in
  __complete) exec "${binary()}" "$@" ;;
  completion) exec "${binary()}" "$@" ;;
esac
printf called; printf '[%s]' "$@"; echo .
`,
  { mode: 0o755 },
);
const files = `${engine.scratch}/files`;
mkdirSync(files);
writeFileSync(`${files}/archive-one.tar`, "");
const env = { ...engine.env, PATH: `${bin}:${process.env["PATH"] ?? ""}`, HOME: engine.scratch, LC_ALL: "C.UTF-8" };

async function asked(...words: readonly string[]): Promise<readonly string[]> {
  return (await engine.ok("__complete", "--", ...words)).split("\n").map((line) => line.split("\t")[0] ?? "");
}

describe("what is offered", () => {
  test("commands with their descriptions, no hidden ones", async () => {
    const top = (await engine.ok("__complete", "--", "")).split("\n");
    expect(top).toContain("ps\tList containers");
    expect(top.some((line) => line.startsWith("__"))).toBe(false);
    expect(await asked("image", "h")).toEqual(["history", ":4"]);
    expect(await asked("help", "histo")).toEqual(["history", ":4"]);
  });

  test("flags, letters for a single dash, switches and their values", async () => {
    expect(await asked("images", "--no")).toEqual(["--no-trunc", ":4"]);
    expect(await asked("images", "-")).toContain("-q");
    expect(await asked("run", "--rm=")).toEqual(["--rm=true", "--rm=false", ":4"]);
    expect(await asked("--ro")).toEqual(["--root", ":4"]);
    expect(await asked("run", image, "--rm")).toEqual([":4"]);
  });

  test("values of flags", async () => {
    expect(await asked("ps", "--filter", "status=r")).toEqual([
      "status=restarting",
      "status=running",
      "status=removing",
      ":4",
    ]);
    expect(await asked("ps", "-f", "an")).toEqual(["ancestor=", ":6"]);
    expect(await asked("images", "--filter=dangling=")).toEqual([
      "--filter=dangling=true",
      "--filter=dangling=false",
      ":4",
    ]);
    expect(await asked("kill", "-s", "US")).toEqual(["USR1", "USR2", ":4"]);
    expect(await asked("run", "--network", "")).toEqual(["bridge", "host", "none", "container:", ":4"]);
    expect(await asked("run", "-v", "si")).toEqual(["site-data:", ":2"]);
    expect(await asked("run", "-itv", "si")).toEqual(["site-data:", ":2"]);
    expect(await asked("load", "-i", "")).toEqual([":0"]);
  });

  test("names: of containers by state, of images, of everything for inspect; nothing twice", async () => {
    expect(await asked("rm", "")).toEqual(["db-stopped", "web-stopped", ":4"]);
    expect(await asked("rm", "db-stopped", "")).toEqual(["web-stopped", ":4"]);
    expect(await asked("container", "stop", "")).toEqual(["web-running", ":4"]);
    expect(await asked("logs", "web")).toEqual(["web-running", "web-stopped", ":4"]);
    expect(await asked("logs", "web-running", "")).toEqual([":4"]);
    expect(await asked("rmi", "")).toEqual(["minimal:latest", "localhost:5000/team/app:v1", ":4"]);
    expect(await asked("inspect", "")).toContain("site-data");
    expect(await asked("commit", "web-stopped", "min")).toEqual(["minimal:latest", ":4"]);
  });

  test("an engine that was never used has no names, and is not made by asking", async () => {
    const root = `${engine.scratch}/unused`;
    expect(await asked("--root", root, "rm", "")).toEqual([":4"]);
    expect(Bun.spawnSync(["ls", root]).exitCode).not.toBe(0);
  });

  test("an unknown shell is refused", async () => {
    expect(await engine.fails(1, "completion", "tcsh")).toContain("there is bash, zsh and fish");
  });
});

interface Shell {
  readonly name: "bash" | "zsh" | "fish";
  readonly command: readonly string[];
  /** Typed first; the prompt is `> ` afterwards. */
  readonly setUp: string;
}

const SHELLS: readonly Shell[] = [
  {
    name: "bash",
    command: ["bash", "--norc", "--noprofile", "-i"],
    setUp: "bind 'set show-all-if-ambiguous on'; bind 'set bell-style none'; source <(ctr completion bash); PS1='> '",
  },
  {
    name: "zsh",
    command: ["zsh", "-f", "-i"],
    setUp: "autoload -Uz compinit; compinit -u -D; source <(ctr completion zsh); unsetopt beep; PS1='> '",
  },
  {
    name: "fish",
    command: ["fish", "--no-config", "-i"],
    setUp: "ctr completion fish | source; function fish_prompt; echo -n '> '; end",
  },
];

for (const { name, command, setUp } of SHELLS) {
  describe(name, () => {
    const isThere = needs(name);

    async function started(): Promise<Session> {
      const session = openSession(command, { env, columns: 200 });
      session.type(
        `cd ${files}; ${setUp}; echo ready-$((40 + 2))\r`.replace(
          "$((40 + 2))",
          name === "fish" ? "(math 40 + 2)" : "$((40 + 2))",
        ),
      );
      await session.expect("ready-42");
      return session;
    }

    test.if(isThere)("one candidate is put in, with a blank where the word ends", async () => {
      await using session = await started();
      for (const [line, called] of [
        ["ctr image hist", "[image][history][X]"],
        ["ctr rm db", "[rm][db-stopped][X]"],
        ["ctr images --no-t", "[images][--no-trunc][X]"],
        ["ctr rmi localhost:5000/te", "[rmi][localhost:5000/team/app:v1][X]"],
        ["ctr ps --filter status=pa", "[ps][--filter][status=paused][X]"],
        ["ctr ps --filter=status=pa", "[ps][--filter=status=paused][X]"],
        ["ctr ps -f anc", "[ps][-f][ancestor=X]"],
        ["ctr run -v site", "[run][-v][site-data:X]"],
        ["ctr load -i arch", "[load][-i][archive-one.tar][X]"],
        ["ctr help vers", "[help][version][X]"],
      ] as const) {
        session.type(`${line}\tX\r`);
        await session.expect(/called\[.*\]\./).then((output) => expect(output).toEndWith(`called${called}.`));
      }
    });

    test.if(isThere)("several are listed", async () => {
      await using session = await started();
      session.type("ctr logs web-\t");
      await session.expect(/web-running.*web-stopped/s);
    });
  });
}
