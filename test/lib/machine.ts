/**
 * The virtual machine with systemd and cgroup v2: Debian in qemu, emulated (no /dev/kvm is needed), made by `test/vm/make`.
 * It unpacks the payload, a tar archive on its second disk, runs its script `main`, and switches itself off.
 */
import { copyFileSync, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";

import { testHome } from "./home.ts";

const cache = `${import.meta.dir}/../../.cache/vm`;

/** The directory of the machine that was made; undefined where none was. */
export function machine(): string | undefined {
  if (!existsSync(cache)) return undefined;
  const name = readdirSync(cache).find((entry) => existsSync(`${cache}/${entry}/disk`));
  return name === undefined ? undefined : `${cache}/${name}`;
}

/** A file of the payload: one of this machine's, or a text. */
export type PayloadFile = { readonly from: string } | { readonly text: string };

/** Boots the machine with these files and gives what its console showed. It is ended after `limitMs`. */
export async function boot(
  vm: string,
  files: { readonly [name: string]: PayloadFile },
  limitMs: number,
): Promise<string> {
  const payload = testHome("machine");
  try {
    for (const [name, file] of Object.entries(files)) {
      if ("from" in file) copyFileSync(file.from, `${payload}/${name}`);
      else writeFileSync(`${payload}/${name}`, file.text);
    }
    const packed = Bun.spawnSync(["tar", "-C", payload, "-cf", `${payload}/payload.tar`, ...Object.keys(files)]);
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
      { stdin: "ignore", stdout: "pipe", stderr: "inherit", timeout: limitMs, killSignal: "SIGKILL" },
    );
    const [console_] = await Promise.all([qemu.stdout.text(), qemu.exited]);
    return console_.replaceAll("\r", "");
  } finally {
    rmSync(payload, { recursive: true, force: true });
  }
}
