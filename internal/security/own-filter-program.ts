/**
 * System call filters of ctr's own long-lived processes: what they never call is refused to them, so that whoever takes one
 * over finds less of the kernel. Compiled when ctr is built: one line `<arch> <role> <base64>` each, read by own-filter.ts.
 */
import type { Seccomp, SeccompSyscall } from "../spec/runtime.ts";
import type { FilteredRole } from "./own-filter.ts";
import { compileSeccomp } from "./seccomp/compile.ts";
import { NATIVE_ABI, type Native } from "./seccomp/numbers.ts";
import { defaultProfile, REFUSED_DOMAINS } from "./seccomp/profile.ts";
import { resolveProfile } from "./seccomp/resolve.ts";

const EPERM = 1;

/**
 * A supervisor mounts, joins and makes namespaces, and further programs of the container inherit its filter: so this is a
 * list of what is refused, and holds only what their own default filter refuses in the same way. The supervisor of
 * another container installs none.
 */
export const REFUSED_TO_SUPERVISORS: readonly string[] = [
  ...["add_key", "keyctl", "request_key"],
  ...["io_uring_enter", "io_uring_register", "io_uring_setup", "perf_event_open", "userfaultfd"],
  ...["acct", "delete_module", "finit_module", "init_module", "ioperm", "iopl", "kexec_file_load", "kexec_load"],
  ...["clock_settime", "clock_settime64", "reboot", "settimeofday", "stime", "swapoff", "swapon"],
  ...["fanotify_init", "lookup_dcookie", "open_by_handle_at", "quotactl", "quotactl_fd", "syslog", "vhangup"],
  ...["get_mempolicy", "kcmp", "mbind", "migrate_pages", "move_pages", "process_madvise", "set_mempolicy"],
  ...["_sysctl", "nfsservctl", "set_mempolicy_home_node", "sysfs", "uselib", "ustat", "vm86", "vm86old"],
];

/** 32-bit programs too: what a supervisor starts may be one. */
const ARCHITECTURES = {
  x64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
} as const;

function supervisorFilter(native: Native): Seccomp {
  return {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ARCHITECTURES[native],
    syscalls: [
      { names: REFUSED_TO_SUPERVISORS, action: "SCMP_ACT_ERRNO", errnoRet: EPERM },
      ...[...REFUSED_DOMAINS].map(
        (domain): SeccompSyscall => ({
          names: ["socket"],
          action: "SCMP_ACT_ERRNO",
          errnoRet: EPERM,
          args: [{ index: 0, value: domain, op: "SCMP_CMP_EQ" }],
        }),
      ),
    ],
  };
}

/** Of what containers without a capability may call, this netd does not. */
const NOT_NETDS = new Set([
  ...["kcmp", "name_to_handle_at", "process_vm_readv", "process_vm_writev", "ptrace", "personality"],
  ...["fanotify_mark", "modify_ldt", "remap_file_pages", "uretprobe", "vmsplice", "socketcall"],
  ...["ipc", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64"],
  ...["shmat", "shmctl", "shmdt", "shmget", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive"],
  ...["mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64", "mq_unlink"],
  ...["adjtimex", "clock_adjtime", "clock_adjtime64", "io_cancel", "io_destroy", "io_getevents", "io_pgetevents"],
  ...["io_pgetevents_time64", "io_setup", "io_submit"],
  // By its domain only, below.
  "socket",
]);

/** linux/socket.h: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK */
const NETDS_DOMAINS = [1, 2, 10, 16];

/**
 * netd is in no container and starts iptables only: what a container without any capability may call is nearly all that it
 * calls, too. Beside that it enters network namespaces, and a legacy iptables may load its modules. Nothing mounts, makes
 * a namespace, loads a program into the kernel, or is a program of another architecture.
 */
function netdFilter(native: Native): Seccomp {
  const { syscalls = [], ...rest } = resolveProfile(defaultProfile(), { native, capabilities: [], kernel: KERNEL });
  return {
    ...rest,
    architectures: [NATIVE_ABI[native]],
    syscalls: [
      ...syscalls.flatMap((rule) => {
        const names = rule.names.filter((name) => !NOT_NETDS.has(name));
        return names.length === 0 ? [] : [{ ...rule, names }];
      }),
      { names: ["setns", "init_module", "finit_module"], action: "SCMP_ACT_ALLOW" },
      ...NETDS_DOMAINS.map(
        (domain): SeccompSyscall => ({
          names: ["socket"],
          action: "SCMP_ACT_ALLOW",
          args: [{ index: 0, value: domain, op: "SCMP_CMP_EQ" }],
        }),
      ),
    ],
  };
}

/** The profile has conditions for older ones only. */
const KERNEL = "5.8";

/** The program of a role. */
export function ownProgram(native: Native, role: FilteredRole): Uint8Array {
  return compileSeccomp(role === "netd" ? netdFilter(native) : supervisorFilter(native), native);
}

/** Writes `build/seccomp-own.b64`; for build.ts, before it bundles. */
export async function writeOwnPrograms(path: string): Promise<void> {
  const lines = (["x64", "arm64"] as const).flatMap((native) =>
    (["netd", "supervisor"] as const).map((role) => `${native} ${role} ${ownProgram(native, role).toBase64()}\n`),
  );
  await Bun.write(path, lines.join(""));
}
