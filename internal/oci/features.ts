/** What this runtime knows (runtime-spec features.md, features-linux.md). */

import { mountOptionWords } from "../rootfs/mount-options.ts";
import { CAPABILITIES } from "../security/capabilities.ts";
import { NAMESPACES } from "../spec/namespaces.ts";
import { COMMIT, VERSION } from "../sys/build-stamp.ts";

/** The runtime-spec that is carried out. */
export const SPEC_VERSION = "1.2.0";

/** The object of `features`. */
export function features(): object {
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: SPEC_VERSION,
    hooks: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
    mountOptions: mountOptionWords(),
    linux: {
      namespaces: NAMESPACES.map(({ type }) => type).sort(),
      capabilities: CAPABILITIES,
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: false, rdma: false },
      seccomp: {
        enabled: true,
        actions: [
          "SCMP_ACT_ALLOW",
          "SCMP_ACT_ERRNO",
          "SCMP_ACT_KILL",
          "SCMP_ACT_KILL_PROCESS",
          "SCMP_ACT_KILL_THREAD",
          "SCMP_ACT_LOG",
          "SCMP_ACT_NOTIFY",
          "SCMP_ACT_TRACE",
          "SCMP_ACT_TRAP",
        ],
        operators: ["EQ", "GE", "GT", "LE", "LT", "MASKED_EQ", "NE"].map((word) => `SCMP_CMP_${word}`),
        archs: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
      },
      apparmor: { enabled: true },
      selinux: { enabled: false },
      intelRdt: { enabled: false },
      mountExtensions: { idmap: { enabled: true } },
    },
    annotations: { "ctr.version": VERSION, "ctr.commit": COMMIT },
    potentiallyUnsafeConfigAnnotations: ["ctr."],
  };
}
