/** What a test asks of the machine. A skip says why; under CTR_TEST_STRICT=1 it is a failure. */
import { existsSync } from "node:fs";
import { cgroupHierarchies, kernelFile, mounts } from "./host.ts";

/** Each need: true if it is there, else the reason. */
const NEEDS = {
  root: () => process.getuid?.() === 0 || "not root",
  "private-host": () => process.env["CTR_PRIVATE_HOST"] === "1" || "not inside scripts/private-host",
  "cgroup-v1": () =>
    mounts().some((line) => / - cgroup .*\bmemory\b/.test(line)) || "the memory controller is not at cgroup v1",
  "cgroup-v2": () =>
    cgroupHierarchies().some((hierarchy) => /\bmemory\b/.test(kernelFile(`${hierarchy}/cgroup.controllers`))) ||
    "the memory controller is not at cgroup v2",
  iptables: () => Bun.which("iptables") !== null || "no iptables",
  ctr: () => !isDocker() || "the binary under test is not ctr",
  loop: () => (existsSync("/dev/loop-control") && Bun.which("mke2fs") !== null) || "no loop devices or no mke2fs",
  qemu: () => Bun.which("qemu-system-x86_64") !== null || "no qemu-system-x86_64",
  skopeo: () => Bun.which("skopeo") !== null || "no skopeo",
  dockerd: () =>
    (Bun.which("dockerd") !== null && Bun.which("containerd") !== null && Bun.which("docker") !== null) || "no dockerd",
  podman: () => (Bun.which("podman") !== null && Bun.which("conmon") !== null) || "no podman",
  runc: () => Bun.which("runc") !== null || "no runc",
  umoci: () => Bun.which("umoci") !== null || "no umoci",
  bash: () => Bun.which("bash") !== null || "no bash",
  zsh: () => Bun.which("zsh") !== null || "no zsh",
  fish: () => Bun.which("fish") !== null || "no fish",
  btrfs: () => Bun.which("mkfs.btrfs", { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` }) !== null || "no mkfs.btrfs",
  dig: () => Bun.which("dig") !== null || "no dig (bind9-dnsutils)",
  strace: () => Bun.which("strace") !== null || "no strace",
  libseccomp: () => existsSync("/usr/include/seccomp.h") || "no libseccomp (libseccomp-dev)",
  sanitizers: () =>
    ["libasan.so", "libubsan.so"].every((name) =>
      Bun.spawnSync(["cc", `-print-file-name=${name}`])
        .stdout.toString()
        .startsWith("/"),
    ) || "cc has no sanitizers",
} as const satisfies { readonly [need: string]: () => true | string };

export type Need = keyof typeof NEEDS;

/** True if all is there. Otherwise prints the reason, or throws it under CTR_TEST_STRICT=1. */
export function needs(...wanted: readonly Need[]): boolean {
  for (const need of wanted) {
    const answer = NEEDS[need]();
    if (answer === true) continue;
    if (process.env["CTR_TEST_STRICT"] === "1") throw new Error(`needs ${need}: ${answer}`);
    console.error(`skipped: needs ${need}: ${answer}`);
    return false;
  }
  return true;
}

/** The binary under test, `CTR_BIN`, else the one just built. */
export function binary(): string {
  return process.env["CTR_BIN"] ?? `${import.meta.dir}/../../dist/ctr`;
}

/** True if the shared-behaviour tests are being tried on Docker itself. */
export function isDocker(): boolean {
  return /(^|\/)docker$/.test(binary());
}
