/** The configuration that `spec` writes: runc's, so that what is known of that holds for this one. */
import type { Mount, Namespace, Spec } from "../spec/runtime.ts";
import { SPEC_VERSION } from "./spec-version.ts";

const CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

const COMMON_MOUNTS: readonly Mount[] = [
  { destination: "/proc", type: "proc", source: "proc" },
  {
    destination: "/dev",
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
  },
  {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
  },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
];
const PTS = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
const CGROUP: Mount = {
  destination: "/sys/fs/cgroup",
  type: "cgroup",
  source: "cgroup",
  options: ["nosuid", "noexec", "nodev", "relatime", "ro"],
};

/** For root, or for the user with these ids who has no rights of the machine's. */
export function exampleSpec(user: { readonly uid: number; readonly gid: number } | undefined): Spec {
  const [proc, dev, ...others] = COMMON_MOUNTS;
  const first = [proc, dev].filter((mount) => mount !== undefined);
  const pts: Mount = {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: user === undefined ? [...PTS, "gid=5"] : PTS,
  };
  // sysfs belongs to a network namespace, and is only mounted by who may change that one.
  const sys: Mount =
    user === undefined
      ? { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] }
      : { destination: "/sys", type: "none", source: "/sys", options: ["rbind", "nosuid", "noexec", "nodev", "ro"] };
  const kinds: readonly Namespace["type"][] =
    user === undefined ? ["pid", "network", "ipc", "uts", "mount", "cgroup"] : ["pid", "ipc", "uts", "mount", "user"];
  return {
    ociVersion: SPEC_VERSION,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["sh"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "ctr",
    mounts: [...first, pts, ...others, sys, CGROUP],
    linux: {
      ...(user === undefined
        ? { resources: { devices: [{ allow: false, access: "rwm" }] } }
        : {
            uidMappings: [{ containerID: 0, hostID: user.uid, size: 1 }],
            gidMappings: [{ containerID: 0, hostID: user.gid, size: 1 }],
          }),
      namespaces: kinds.map((type) => ({ type })),
      maskedPaths: [
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/sys/firmware",
        "/proc/scsi",
      ],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  };
}
