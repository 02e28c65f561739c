/**
 * The same engine on a machine with systemd and cgroup v2: Debian in qemu, emulated (no /dev/kvm is needed), with
 * dist/ctr on its second disk. `test/vm/make` makes the machine, `test/vm/main` is what runs in it, `test/vm/netd` the part with netd under systemd.
 */
import { expect, test } from "bun:test";
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { imageArchive } from "../lib/engine.ts";
import { testHome } from "../lib/home.ts";
import { layeredArchive } from "../lib/layered-image.ts";
import { binary, isDocker, needs } from "../lib/needs.ts";

/** Alone it is a third of that; scripts/test runs it beside everything else. */
const BOOT_AND_RUN_MS = 1_200_000;
const here = `${import.meta.dir}/../vm`;
const cache = `${import.meta.dir}/../../.cache/vm`;

/** What runs in the machine: `main`, and what it takes in. */
const SCRIPTS = ["main", "netd", "confinement", "userns", "oci", "check"];

/** The checks of the scripts by name. */
const checks = SCRIPTS.flatMap((script) =>
  [...readFileSync(`${here}/${script}`, "utf8").matchAll(/^\s*check "([^"]+)"/gm)].map((match) => match[1] ?? ""),
);

function machine(): string | undefined {
  if (!existsSync(cache)) return undefined;
  const name = readdirSync(cache).find((entry) => existsSync(`${cache}/${entry}/disk`));
  return name === undefined ? undefined : `${cache}/${name}`;
}

/** Boots the machine with the payload and gives what its console showed. It is ended after `BOOT_AND_RUN_MS`. */
async function boot(vm: string): Promise<string> {
  const payload = testHome("vm");
  try {
    copyFileSync(binary(), `${payload}/ctr`);
    copyFileSync(imageArchive("minimal"), `${payload}/minimal.tar`);
    for (const script of SCRIPTS) copyFileSync(`${here}/${script}`, `${payload}/${script}`);
    const layers = Array.from({ length: 199 }, (_, index) => ({ files: { [`many/${index}`]: `${index}\n` } }));
    layeredArchive(payload, "many", imageArchive("minimal"), layers);
    const files = ["ctr", "minimal.tar", "many.tar", ...SCRIPTS];
    const packed = Bun.spawnSync(["tar", "-C", payload, "-cf", `${payload}/payload.tar`, ...files]);
    if (packed.exitCode !== 0) throw new Error(packed.stderr.toString());
    const append = "console=ttyS0 quiet loglevel=3 mitigations=off systemd.show_status=false rw";
    const qemu = Bun.spawn(
      [
        ...["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"],
        ...["-nodefaults", "-nographic", "-serial", "stdio"],
        ...["-kernel", `${vm}/kernel`, "-initrd", `${vm}/initrd`, "-append", append],
        ...["-drive", `file=${vm}/disk,format=raw,if=virtio,snapshot=on`],
        ...["-drive", `file=${payload}/payload.tar,format=raw,if=virtio,readonly=on`],
      ],
      { stdin: "ignore", stdout: "pipe", stderr: "inherit", timeout: BOOT_AND_RUN_MS, killSignal: "SIGKILL" },
    );
    const [console_] = await Promise.all([qemu.stdout.text(), qemu.exited]);
    return console_.replaceAll("\r", "");
  } finally {
    rmSync(payload, { recursive: true, force: true });
  }
}

const vm = machine();
const isPossible = needs("qemu") && !isDocker() && process.arch === "x64";
if (isPossible && vm === undefined && process.env["CTR_TEST_STRICT"] === "1")
  throw new Error("test/vm/make has not been run");
if (vm === undefined) console.error("skipped: test/vm/make has not been run");
const shown = isPossible && vm !== undefined ? await boot(vm) : "";

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
