/**
 * System call filters of ctr's own long-lived processes: what they never call is refused to them, so that whoever takes one
 * over finds less of the kernel. Compiled when ctr is built: one line `<arch> <role> <base64>` each, read by own-filter.ts.
 */
import type { Seccomp } from "../spec/runtime.ts";
import type { FilteredRole } from "./own-filter.ts";
import { compileSeccomp } from "./seccomp/compile.ts";

const EPERM = 1;

/** What neither netd nor a supervisor calls. */
const NEVER = [
  ...["add_key", "keyctl", "request_key"],
  ...["io_uring_enter", "io_uring_register", "io_uring_setup", "perf_event_open", "userfaultfd"],
  ...["acct", "delete_module", "ioperm", "iopl", "kexec_file_load", "kexec_load", "reboot", "swapoff", "swapon"],
  ...["clock_settime", "clock_settime64", "settimeofday", "stime"],
  ...["fanotify_init", "lookup_dcookie", "open_by_handle_at", "quotactl", "quotactl_fd", "syslog", "vhangup"],
];

/** By role, the calls that are refused. */
export const REFUSED_CALLS: { readonly [role in FilteredRole]: readonly string[] } = {
  /** Mounts, namespaces and programs in the kernel are for supervisors; modules may be loaded by a legacy iptables. */
  netd: [
    ...NEVER,
    ...[
      "bpf",
      "chroot",
      "fsconfig",
      "fsmount",
      "fsopen",
      "fspick",
      "mount",
      "mount_setattr",
      "move_mount",
      "open_tree",
    ],
    ...["pivot_root", "umount", "umount2", "unshare"],
    ...["kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace"],
    ...["personality", "setdomainname", "sethostname"],
  ],
  /**
   * Further programs of the container inherit it, so it holds only what their own default filter refuses in the same way:
   * the supervisor of another container installs none.
   */
  supervisor: [...NEVER, "finit_module", "init_module"],
};

/** 32-bit programs too: what a supervisor starts may be one. */
const ARCHITECTURES = {
  x64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
} as const;

/** Everything but these calls is allowed. */
function filter(native: keyof typeof ARCHITECTURES, names: readonly string[]): Seccomp {
  return {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ARCHITECTURES[native],
    syscalls: [{ names, action: "SCMP_ACT_ERRNO", errnoRet: EPERM }],
  };
}

/** The program of a role. */
export function ownProgram(native: keyof typeof ARCHITECTURES, role: FilteredRole): Uint8Array {
  return compileSeccomp(filter(native, REFUSED_CALLS[role]), native);
}

/** Writes `build/seccomp-own.b64`; for build.ts, before it bundles. */
export async function writeOwnPrograms(path: string): Promise<void> {
  const lines = (["x64", "arm64"] as const).flatMap((native) =>
    (["netd", "supervisor"] as const).map((role) => `${native} ${role} ${ownProgram(native, role).toBase64()}\n`),
  );
  await Bun.write(path, lines.join(""));
}
