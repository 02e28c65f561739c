/** `--format`: the same templates asked of ctr and, where there is one, of a real dockerd: the same answers. */
import { expect, test } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import type { Answer } from "../lib/format-answers.ts";
import { needs } from "../lib/needs.ts";

const engine = tempEngine();
const HERE = import.meta.dir;

/** The answers of one engine: a process of its own, so that it may have namespaces of its own. */
async function ask(command: readonly string[], env: Readonly<Record<string, string>>): Promise<readonly Answer[]> {
  const child = Bun.spawn([...command, process.execPath, `${HERE}/../lib/format-answers.ts`], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (status !== 0) throw new Error(`${command.join(" ")}: status ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

test.if(needs("ctr", "dockerd"))(
  "ps, images, history, inspect, info, version: ctr answers what docker answers",
  async () => {
    // dockerd changes links and rules: not those of this test.
    const alone = ["unshare", "--mount", "--net", "--propagation", "private"];
    const own = await ask([], engine.env);
    const reference = await ask([...alone, `${HERE}/../../scripts/with-dockerd`], {});
    expect(own.length).toBe(reference.length);
    expect(own.length).toBeGreaterThan(80);
    const different = own.flatMap((answer, index) => {
      const wanted = reference[index];
      return Bun.deepEquals(answer, wanted) ? [] : [{ ctr: answer, docker: wanted }];
    });
    expect(different).toEqual([]);
  },
  120_000,
);
