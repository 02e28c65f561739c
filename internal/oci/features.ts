/** What this runtime knows (runtime-spec features.md, features-linux.md). */

import { mountOptionWords } from "../rootfs/mount-options.ts";
import { CAPABILITIES } from "../security/capabilities.ts";
import { MEMORY_POLICY_FLAGS, MEMORY_POLICY_MODES } from "../security/memory-policy.ts";
import { ARCHITECTURES } from "../security/seccomp/compile.ts";
import { SECCOMP_FLAGS } from "../security/seccomp.ts";
import { NAMESPACES } from "../spec/namespaces.ts";
import { COMMIT, VERSION } from "../sys/build-stamp.ts";
import { SPEC_VERSION } from "./spec-version.ts";

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
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: false, rdma: true },
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
        archs: [...ARCHITECTURES].sort(),
        knownFlags: SECCOMP_FLAGS,
        supportedFlags: SECCOMP_FLAGS,
      },
      apparmor: { enabled: true },
      selinux: { enabled: true },
      memoryPolicy: { modes: MEMORY_POLICY_MODES, flags: MEMORY_POLICY_FLAGS },
      intelRdt: { enabled: true, schemata: true, monitoring: true },
      mountExtensions: { idmap: { enabled: true } },
      netDevices: { enabled: true },
    },
    annotations: { "ctr.version": VERSION, "ctr.commit": COMMIT },
    potentiallyUnsafeConfigAnnotations: ["ctr."],
  };
}
