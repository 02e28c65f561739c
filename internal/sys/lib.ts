/**
 * The FFI boundary: the one handle on the C helper, `cstr` and `check`. The helper is a part of the executable
 * (scripts/helper-part.ts), so there is no file that somebody else could have written.
 */
import { CFunction, dlopen, type FFIFunction, FFIType, type Pointer } from "bun:ffi";
import { EINVAL, SyscallError } from "../errors/error.ts";

/** A path as the kernel takes it: text is encoded as UTF-8, bytes are passed as they are. */
export type PathBytes = string | Uint8Array;

const returns = FFIType.i64_fast;

/** What the C half has (csrc/). */
const FUNCTIONS = {
  ctr_openat: { args: ["i32", "ptr", "i32", "u32"], returns },
  ctr_openat2: { args: ["i32", "ptr", "ptr", "u64"], returns },
  ctr_close: { args: ["i32"], returns },
  ctr_dup3: { args: ["i32", "i32", "i32"], returns },
  ctr_fcntl: { args: ["i32", "i32", "i64"], returns },
  ctr_ioctl_value: { args: ["i32", "u64", "i64"], returns },
  ctr_pipe2: { args: ["ptr", "i32"], returns },
  ctr_flock: { args: ["i32", "i32"], returns },
  ctr_poll: { args: ["ptr", "u64", "i32"], returns },
  ctr_read: { args: ["i32", "ptr", "u64"], returns },
  ctr_write: { args: ["i32", "ptr", "u64"], returns },
  ctr_lseek: { args: ["i32", "i64", "i32"], returns },
  ctr_statx: { args: ["i32", "ptr", "i32", "u32", "ptr"], returns },
  ctr_fstatfs: { args: ["i32", "ptr"], returns },
  ctr_mkdirat: { args: ["i32", "ptr", "u32"], returns },
  ctr_mknodat: { args: ["i32", "ptr", "u32", "u64"], returns },
  ctr_symlinkat: { args: ["ptr", "i32", "ptr"], returns },
  ctr_unlinkat: { args: ["i32", "ptr", "i32"], returns },
  ctr_readlinkat: { args: ["i32", "ptr", "ptr", "u64"], returns },
  ctr_getdents64: { args: ["i32", "ptr", "u64"], returns },
  ctr_fchmod: { args: ["i32", "u32"], returns },
  ctr_fchmodat: { args: ["i32", "ptr", "u32"], returns },
  ctr_fchownat: { args: ["i32", "ptr", "u32", "u32", "i32"], returns },
  ctr_utimensat: { args: ["i32", "ptr", "ptr", "i32"], returns },
  ctr_mount: { args: ["ptr", "ptr", "ptr", "u64", "ptr"], returns },
  ctr_umount2: { args: ["ptr", "i32"], returns },
  ctr_detach_begin: { args: ["ptr"], returns },
  ctr_detach_end: { args: ["ptr"], returns },
  ctr_pivot_root: { args: ["ptr", "ptr"], returns },
  ctr_open_tree: { args: ["i32", "ptr", "u32"], returns },
  ctr_move_mount: { args: ["i32", "ptr", "i32", "ptr", "u32"], returns },
  ctr_is_attached: { args: ["i32", "ptr", "u64", "i32"], returns },
  ctr_fsopen: { args: ["ptr", "u32"], returns },
  ctr_fsconfig: { args: ["i32", "u32", "ptr", "ptr", "i32"], returns },
  ctr_fsmount: { args: ["i32", "u32", "u32"], returns },
  ctr_mount_setattr: { args: ["i32", "ptr", "u32", "ptr", "u64"], returns },
  ctr_pidfd_send_signal: { args: ["i32", "i32"], returns },
  ctr_prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns },
  ctr_setsid: { args: [], returns },
  ctr_exit_group: { args: ["i32"], returns },
  ctr_umask: { args: ["u32"], returns },
  ctr_chdir: { args: ["ptr"], returns },
  ctr_fchdir: { args: ["i32"], returns },
  ctr_sethostname: { args: ["ptr", "u64"], returns },
  ctr_setdomainname: { args: ["ptr", "u64"], returns },
  ctr_waitid: { args: ["i32", "i32", "ptr", "i32"], returns },
  ctr_socket: { args: ["i32", "i32", "i32"], returns },
  ctr_socketpair: { args: ["i32", "i32", "i32", "ptr"], returns },
  ctr_bind: { args: ["i32", "ptr", "u32"], returns },
  ctr_connect: { args: ["i32", "ptr", "u32"], returns },
  ctr_getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns },
  ctr_sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns },
  ctr_recvfrom: { args: ["i32", "ptr", "u64", "i32", "ptr", "ptr"], returns },
  ctr_write_pair: { args: ["i32", "ptr", "u64", "ptr", "u64"], returns },
  ctr_spawn: { args: ["ptr"], returns },
  ctr_exec: { args: ["ptr", "ptr"], returns },
  ctr_count_running: { args: ["ptr", "u64"], returns },
  ctr_has_entries: { args: ["ptr"], returns },
  ctr_close_range: { args: ["u32", "u32", "u32"], returns },
  ctr_ioctl: { args: ["i32", "u64", "ptr"], returns },
  ctr_memfd_create: { args: ["ptr", "u32"], returns },
  ctr_pread: { args: ["i32", "ptr", "u64", "i64"], returns },
  ctr_pwrite: { args: ["i32", "ptr", "u64", "i64"], returns },
  ctr_execve: { args: ["ptr", "u64", "u64"], returns },
  ctr_copy_file_range: { args: ["i32", "i32", "u64"], returns },
  ctr_splice: { args: ["i32", "i32", "u64", "u32"], returns },
  ctr_ftruncate: { args: ["i32", "i64"], returns },
  ctr_fallocate: { args: ["i32", "i32", "i64", "i64"], returns },
  ctr_fsync: { args: ["i32"], returns },
  ctr_syncfs: { args: ["i32"], returns },
  ctr_statfs: { args: ["ptr", "ptr"], returns },
  ctr_linkat: { args: ["i32", "ptr", "i32", "ptr", "i32"], returns },
  ctr_renameat2: { args: ["i32", "ptr", "i32", "ptr", "u32"], returns },
  ctr_fsetxattr: { args: ["i32", "ptr", "ptr", "u64", "i32"], returns },
  ctr_lsetxattr: { args: ["ptr", "ptr", "ptr", "u64", "i32"], returns },
  ctr_fremovexattr: { args: ["i32", "ptr"], returns },
  ctr_fgetxattr: { args: ["i32", "ptr", "ptr", "u64"], returns },
  ctr_lgetxattr: { args: ["ptr", "ptr", "ptr", "u64"], returns },
  ctr_flistxattr: { args: ["i32", "ptr", "u64"], returns },
  ctr_llistxattr: { args: ["ptr", "ptr", "u64"], returns },
  ctr_kill: { args: ["i32", "i32"], returns },
  ctr_hold_signals: { args: ["u64"], returns },
  ctr_forward_signals: { args: ["i32"], returns },
  ctr_wait_forwarding: { args: ["i32", "u64", "ptr"], returns },
  ctr_pidfd_open: { args: ["i32", "u32"], returns },
  ctr_setns: { args: ["i32", "i32"], returns },
  ctr_unshare: { args: ["u64"], returns },
  ctr_prlimit64: { args: ["i32", "i32", "ptr", "ptr"], returns },
  ctr_setpriority: { args: ["i32", "i32", "i32"], returns },
  ctr_set_mempolicy: { args: ["i32", "ptr", "u64"], returns },
  ctr_chroot: { args: ["ptr"], returns },
  ctr_getcwd: { args: ["ptr", "u64"], returns },
  ctr_listen: { args: ["i32", "i32"], returns },
  ctr_setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns },
  ctr_getsockname: { args: ["i32", "ptr", "ptr"], returns },
  ctr_accept4: { args: ["i32", "i32"], returns },
  ctr_fchown: { args: ["i32", "u32", "u32"], returns },
  ctr_send_fd: { args: ["i32", "i32", "ptr", "u64"], returns },
  ctr_pidfd_getfd: { args: ["i32", "i32"], returns },
  ctr_user_namespace: { args: ["ptr", "ptr"], returns },
  ctr_set_fs_ids: { args: ["u32", "u32"], returns },
  ctr_bpf: { args: ["i32", "ptr", "u32"], returns },
  ctr_poll_without: { args: ["ptr", "u64", "ptr", "u64", "i32"], returns },
  ctr_eventfd2: { args: ["u32", "i32"], returns },
  ctr_inotify_init1: { args: ["i32"], returns },
  ctr_tree_writer_start: { args: ["ptr"], returns },
  ctr_tree_writer_submit: { args: ["ptr", "ptr", "ptr", "u32"], returns },
  ctr_tree_writer_wait: { args: ["ptr", "u32"], returns },
  ctr_tree_writer_resume: { args: ["ptr", "i32"], returns },
  ctr_tree_writer_end: { args: ["ptr"], returns },
  ctr_tar_header: { args: ["ptr", "u64", "u64", "ptr"], returns },
  ctr_digester_begin: { args: ["ptr"], returns },
  ctr_digester_pass: { args: ["ptr", "ptr", "u64"], returns },
  ctr_digester_start: { args: ["ptr"], returns },
  ctr_digester_submit: { args: ["ptr", "ptr", "u64"], returns },
  ctr_digester_wait: { args: ["ptr", "u32"], returns },
  ctr_digester_end_hash: { args: ["ptr", "ptr"], returns },
  ctr_digester_end: { args: ["ptr"], returns },
  ctr_landlock_create_ruleset: { args: ["ptr", "u64", "u32"], returns },
  ctr_landlock_add_rule: { args: ["i32", "i32", "ptr", "u32"], returns },
  ctr_landlock_restrict_self: { args: ["i32", "u32"], returns },
  ctr_recv_fd: { args: ["i32", "ptr", "u64", "ptr"], returns },
  ctr_seccomp: { args: ["u32", "u32", "ptr"], returns },
  ctr_set_exec_label: { args: ["i32", "ptr"], returns },
  ctr_inotify_add_watch: { args: ["i32", "ptr", "u32"], returns },
} as const satisfies Record<string, FFIFunction>;

/** Where each function lies in the executable, in lines (build.ts); undefined where Bun runs the sources, as tests do. */
declare const CTR_HELPER: string | undefined;

type Functions = ReturnType<typeof dlopen<typeof FUNCTIONS>>["symbols"];

/** How the functions are linked, one by one. */
function linker(): (name: keyof Functions) => unknown {
  if (typeof CTR_HELPER === "undefined") {
    const file = `${import.meta.dir}/../../build/helper.so`;
    return (name) => dlopen(file, { [name]: FUNCTIONS[name] }).symbols[name];
  }
  const addresses = CTR_HELPER;
  return (name) => {
    // Text, because an object of so many properties costs each start more than the search.
    const ptr = Number.parseInt(addresses.slice(addresses.indexOf(`${name} `) + name.length), 10) as Pointer;
    return CFunction({ ...FUNCTIONS[name], ptr });
  };
}

/** A NUL-terminated copy. Throws EINVAL for a NUL inside: no path or name of the kernel's holds one. */
export function cstr(text: PathBytes): Uint8Array {
  const bytes = typeof text === "string" ? ENCODER.encode(`${text}\0`) : concatNul(text);
  if (bytes.indexOf(0) !== bytes.length - 1) throw new SyscallError("open", EINVAL, printable(text));
  return bytes;
}

const ENCODER = new TextEncoder();

function concatNul(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes.length + 1);
  copy.set(bytes);
  return copy;
}

/** The path as it is shown in a message. */
export function printable(path: PathBytes): string {
  return typeof path === "string" ? path : new TextDecoder().decode(path);
}

/** The result of a call, or a `SyscallError` about `path`. */
export function check(syscall: string, result: number | bigint, path?: PathBytes): number {
  const value = Number(result);
  if (value < 0) throw new SyscallError(syscall, -value, path === undefined ? undefined : printable(path));
  return value;
}

/**
 * As `check`, but undefined for these errnos, where they are an answer like any other: an error that is thrown and caught costs
 * twenty microseconds, the first one of a process two hundred.
 */
export function checkUnless(
  errnos: readonly number[],
  syscall: string,
  result: number | bigint,
  path?: PathBytes,
): number | undefined {
  const value = Number(result);
  return errnos.includes(-value) ? undefined : check(syscall, value, path);
}

/** Each function is linked when it is first asked for: a start uses a quarter of them. */
function linkedLate(): Functions {
  const link = linker();
  const linked: Functions = Object.create(
    new Proxy(FUNCTIONS, {
      get(_, name: keyof Functions) {
        const value = link(name);
        Object.defineProperty(linked, name, { value });
        return value;
      },
    }),
  );
  return linked;
}

export const lib = linkedLate();
