/** Capabilities, users, no-new-privileges and --privileged: the same cases in ctr and in a real dockerd, the same answers. */
import { expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { capabilityNames } from "../../internal/security/capabilities.ts";
import { imageArchive, tempEngine } from "../lib/engine.ts";
import { needs } from "../lib/needs.ts";
import type { Answer } from "../lib/privilege-answers.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const HERE = import.meta.dir;

async function ask(command: readonly string[], env: Readonly<Record<string, string>>): Promise<readonly Answer[]> {
  const archive = imageArchive("minimal");
  const child = Bun.spawn([...command, process.execPath, `${HERE}/../lib/privilege-answers.ts`, archive], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (status !== 0) throw new Error(`${command.join(" ")}: status ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

/**
 * A directory with a `runc` that gives what there is: where the machine itself lacks a capability, as in most virtual
 * ones, runc cannot give "all", and ctr does.
 */
function modestRunc(): string {
  const [, mask = "0"] = /^CapBnd:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  const lacking = capabilityNames(~BigInt(`0x${mask}`));
  const edits = lacking.map((name) => `-e 's/"${name}",//g; s/,"${name}"//g'`).join(" ");
  const directory = `${engine.scratch}/bin`;
  mkdirSync(directory);
  const script = `#!/bin/bash
for ((at = 1; at <= $#; at++)); do
  next=$((at + 1))
  case "\${!at}" in
    --bundle) sed -i -e '' ${edits} "\${!next}/config.json" ;;
    --process) sed -i -e '' ${edits} "\${!next}" ;;
  esac
done
exec ${Bun.which("runc")} "$@"
`;
  writeFileSync(`${directory}/runc`, script, { mode: 0o755 });
  return directory;
}

/** Without what this dockerd is too old for, and where ctr is stricter (docs/security.md). */
function comparable(facts: string): string {
  return facts
    .split("\n")
    .filter((line) => !/^\/proc\/interrupts |^\/sys\/fs\/cgroup /.test(line))
    .map((line) =>
      line.replace(/^(Cap\w+:\t)(\w+)$/, (_, name, mask) => `${name}${(BigInt(`0x${mask}`) & OLD).toString(16)}`),
    )
    .join("\n");
}

/** Up to CAP_AUDIT_READ: Docker 20.10's list of "all". */
const OLD = (1n << 38n) - 1n;

test.if(needs("ctr", "dockerd"))(
  "all five sets, ids, securebits, no-new-privileges and what is seen: ctr answers what docker answers",
  async () => {
    const own = await ask([], engine.env);
    const alone = ["unshare", "--mount", "--net", "--propagation", "private"];
    const reference = await ask([...alone, `${HERE}/../../scripts/with-dockerd`], {
      PATH: `${modestRunc()}:${process.env["PATH"]}`,
    });
    const text = (answers: readonly Answer[]) => answers.map((answer) => `${answer.case}\n${comparable(answer.facts)}`);
    expect(text(own)).toEqual(text(reference));
  },
  120_000,
);
