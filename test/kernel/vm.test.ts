/**
 * The same engine on a machine with systemd and cgroup v2: the virtual one of test/lib/machine.ts. `test/vm/main` is what
 * runs in it, `test/vm/netd` the part with netd under systemd, `test/vm/oci` the one with an OCI runtime.
 */
import { expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { imageArchive } from "../lib/engine.ts";
import { testHome } from "../lib/home.ts";
import { layeredArchive } from "../lib/layered-image.ts";
import { boot, machine } from "../lib/machine.ts";
import { binary, isDocker, needs } from "../lib/needs.ts";
import { conformancePayload } from "../oci/in-machine.ts";

/** Alone it is an eighth of that; scripts/test runs it beside everything else, on a machine that may be busy besides. */
const BOOT_AND_RUN_MS = 2_400_000;
const here = `${import.meta.dir}/../vm`;

/** What runs in the machine: `main`, and what it takes in. */
const SCRIPTS = ["main", "netd", "wires", "confinement", "userns", "oci", "suite", "check"];

/** The checks of the scripts by name. */
const checks = SCRIPTS.flatMap((script) =>
  [...readFileSync(`${here}/${script}`, "utf8").matchAll(/^\s*check "([^"]+)"/gm)].map((match) => match[1] ?? ""),
);

/** What the machine is given. The layers of an image of many are made for it. */
async function bootWithPayload(vm: string): Promise<string> {
  const work = testHome("vm");
  try {
    const layers = Array.from({ length: 199 }, (_, index) => ({ files: { [`many/${index}`]: `${index}\n` } }));
    layeredArchive(work, "many", imageArchive("minimal"), layers);
    const scripts = Object.fromEntries(SCRIPTS.map((script) => [script, { from: `${here}/${script}` }]));
    const images = { "minimal.tar": { from: imageArchive("minimal") }, "many.tar": { from: `${work}/many.tar` } };
    return await boot(vm, { ctr: { from: binary() }, ...conformancePayload(), ...images, ...scripts }, BOOT_AND_RUN_MS);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const vm = machine();
const isPossible = needs("qemu") && !isDocker() && process.arch === "x64";
if (isPossible && vm === undefined && process.env["CTR_TEST_STRICT"] === "1")
  throw new Error("test/vm/make has not been run");
if (vm === undefined) console.error("skipped: test/vm/make has not been run");
const shown = isPossible && vm !== undefined ? await bootWithPayload(vm) : "";

test.if(shown !== "")("vm: boots, runs the payload and switches itself off", () => {
  if (!shown.includes("payload ended with")) console.error(shown);
  expect(shown).toContain("payload ended with");
});

for (const check of checks) {
  test.if(shown !== "")(`vm: ${check}`, () => {
    const line = shown.split("\n").find((text) => text === `ok ${check}` || text.startsWith(`not ok ${check}:`));
    expect(line ?? "the machine never came to it").toBe(`ok ${check}`);
  });
}
