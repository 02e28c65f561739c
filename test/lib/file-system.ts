/** File systems of a test's own, in a file mounted by a loop device, inside the pretend host's mount namespace. */

import { mkdirSync, truncateSync, writeFileSync } from "node:fs";

const mounted: string[] = [];

/** Unmounts what was mounted, before the engine looks for what was left behind: call it in the file's last test. */
export function unmountFileSystems(): void {
  for (const path of mounted.splice(0).reverse()) tool("umount", path);
}

/** Makes a file system of `bytes` (`tmpfs` needs no file) and mounts it on a new directory; gives that. */
export function mountedFileSystem(
  scratch: string,
  type: "btrfs" | "ext4" | "tmpfs",
  bytes: number,
  options: readonly string[] = [],
): string {
  const name = `${scratch}/${type}-${crypto.randomUUID().slice(0, 8)}`;
  mkdirSync(`${name}-at`, { recursive: true });
  if (type === "tmpfs")
    tool("mount", "-t", "tmpfs", "-o", [`size=${bytes}`, ...options].join(","), "tmpfs", `${name}-at`);
  else {
    writeFileSync(name, "");
    truncateSync(name, bytes);
    tool(`mkfs.${type}`, "-q", name);
    tool("mount", "-o", ["loop", ...options].join(","), name, `${name}-at`);
  }
  mounted.push(`${name}-at`);
  return `${name}-at`;
}

function tool(...command: readonly string[]): void {
  const ran = Bun.spawnSync([...command]);
  if (ran.exitCode !== 0) throw new Error(`${command.join(" ")}: ${ran.stderr.toString()}`);
}
