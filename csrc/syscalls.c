/*
 * Thin system call wrappers. Each returns the call's result, or -errno; EINTR is retried here so that
 * nobody above has to. No policy, no allocation, no words.
 *
 * Newer calls go by number (syscall(2)), so that the object needs nothing newer than glibc 2.17.
 */
#include "ctr.h"

#include <sys/socket.h>

#define RETRY(expression)                                                                          \
  do {                                                                                             \
    long result_;                                                                                  \
    do                                                                                             \
      result_ = (long)(expression);                                                                \
    while (result_ == -1 && errno == EINTR);                                                       \
    return result_ == -1 ? -errno : result_;                                                       \
  } while (0)

#define ONCE(expression)                                                                           \
  do {                                                                                             \
    long result_ = (long)(expression);                                                             \
    return result_ == -1 ? -errno : result_;                                                       \
  } while (0)

/* Descriptors */
long ctr_openat(int dirfd, const char *path, int flags, unsigned mode) { RETRY(syscall(SYS_openat, dirfd, path, flags, mode)); }
long ctr_openat2(int dirfd, const char *path, const void *how, uint64_t size) { RETRY(syscall(SYS_openat2, dirfd, path, how, size)); }
long ctr_close(int fd) { ONCE(syscall(SYS_close, fd)); /* close(2): never retried on Linux, the descriptor is gone */ }
long ctr_close_range(unsigned first, unsigned last, unsigned flags) { ONCE(syscall(SYS_close_range, first, last, flags)); }
long ctr_dup3(int from, int to, int flags) { RETRY(syscall(SYS_dup3, from, to, flags)); }
long ctr_fcntl(int fd, int command, long argument) { RETRY(syscall(SYS_fcntl, fd, command, argument)); }
long ctr_ioctl(int fd, uint64_t request, void *argument) { RETRY(syscall(SYS_ioctl, fd, request, argument)); }
long ctr_ioctl_value(int fd, uint64_t request, int64_t argument) { RETRY(syscall(SYS_ioctl, fd, request, argument)); }
long ctr_pipe2(int *fds, int flags) { ONCE(syscall(SYS_pipe2, fds, flags)); }
long ctr_memfd_create(const char *name, unsigned flags) { ONCE(syscall(SYS_memfd_create, name, flags)); }
long ctr_flock(int fd, int operation) { RETRY(syscall(SYS_flock, fd, operation)); }
long ctr_poll(void *fds, uint64_t count, int timeout_ms)
{
  /* ppoll, not poll: arm64 has no poll. The kernel writes back what is left, so EINTR does not lengthen the wait. */
  struct timespec left = {.tv_sec = timeout_ms / 1000, .tv_nsec = (long)(timeout_ms % 1000) * 1000000L};
  RETRY(syscall(SYS_ppoll, fds, count, timeout_ms < 0 ? NULL : &left, NULL, 0));
}

static int let_go(const uint64_t *ranges, uint64_t count)
{
  for (uint64_t i = 0; i < count; i++)
    if (syscall(SYS_madvise, ranges[2 * i], ranges[2 * i + 1], 4 /* MADV_DONTNEED */) < 0)
      return -errno;
  return 0;
}

/*
 * ctr_poll, but first the pages of these address ranges are let go of: nothing but this function and the wait needs any
 * of the program between the two, so that what is mapped meanwhile is next to nothing. Once more a moment later, because
 * other threads have something to finish when this one comes to rest, and each of their steps may map 2 MiB.
 */
enum { SETTLED_MS = 300 };

long ctr_poll_without(const uint64_t *ranges, uint64_t range_count, void *fds, uint64_t count, int timeout_ms)
{
  int error = let_go(ranges, range_count);
  if (error == 0 && (timeout_ms < 0 || timeout_ms > SETTLED_MS)) {
    long ready = ctr_poll(fds, count, SETTLED_MS);
    if (ready != 0)
      return ready;
    if (timeout_ms > 0)
      timeout_ms -= SETTLED_MS;
    error = let_go(ranges, range_count);
  }
  return error != 0 ? error : ctr_poll(fds, count, timeout_ms);
}

/* Reading and writing */
long ctr_read(int fd, void *buffer, uint64_t size) { RETRY(syscall(SYS_read, fd, buffer, size)); }
long ctr_write(int fd, const void *buffer, uint64_t size) { RETRY(syscall(SYS_write, fd, buffer, size)); }
long ctr_pread(int fd, void *buffer, uint64_t size, int64_t offset) { RETRY(syscall(SYS_pread64, fd, buffer, size, offset)); }
long ctr_pwrite(int fd, const void *buffer, uint64_t size, int64_t offset) { RETRY(syscall(SYS_pwrite64, fd, buffer, size, offset)); }
long ctr_lseek(int fd, int64_t offset, int whence) { ONCE(syscall(SYS_lseek, fd, offset, whence)); }
long ctr_copy_file_range(int in, int out, uint64_t size) { RETRY(syscall(SYS_copy_file_range, in, NULL, out, NULL, size, 0)); }
long ctr_splice(int in, int out, uint64_t size, unsigned flags) { RETRY(syscall(SYS_splice, in, NULL, out, NULL, size, flags)); }
long ctr_ftruncate(int fd, int64_t size) { RETRY(syscall(SYS_ftruncate, fd, size)); }
long ctr_fallocate(int fd, int mode, int64_t offset, int64_t size) { RETRY(syscall(SYS_fallocate, fd, mode, offset, size)); }
long ctr_fsync(int fd) { RETRY(syscall(SYS_fsync, fd)); }
long ctr_syncfs(int fd) { RETRY(syscall(SYS_syncfs, fd)); }

/* Names in a file system */
long ctr_statx(int dirfd, const char *path, int flags, unsigned mask, void *out) { RETRY(syscall(SYS_statx, dirfd, path, flags, mask, out)); }
long ctr_statfs(const char *path, void *out) { RETRY(syscall(SYS_statfs, path, out)); }
long ctr_fstatfs(int fd, void *out) { RETRY(syscall(SYS_fstatfs, fd, out)); }
long ctr_mkdirat(int dirfd, const char *path, unsigned mode) { RETRY(syscall(SYS_mkdirat, dirfd, path, mode)); }
long ctr_mknodat(int dirfd, const char *path, unsigned mode, uint64_t device) { RETRY(syscall(SYS_mknodat, dirfd, path, mode, device)); }
long ctr_symlinkat(const char *target, int dirfd, const char *path) { RETRY(syscall(SYS_symlinkat, target, dirfd, path)); }
long ctr_linkat(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags) { RETRY(syscall(SYS_linkat, from_dirfd, from, to_dirfd, to, flags)); }
long ctr_unlinkat(int dirfd, const char *path, int flags) { RETRY(syscall(SYS_unlinkat, dirfd, path, flags)); }
long ctr_renameat2(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags) { RETRY(syscall(SYS_renameat2, from_dirfd, from, to_dirfd, to, flags)); }
long ctr_readlinkat(int dirfd, const char *path, void *buffer, uint64_t size) { RETRY(syscall(SYS_readlinkat, dirfd, path, buffer, size)); }
long ctr_getdents64(int fd, void *buffer, uint64_t size) { RETRY(syscall(SYS_getdents64, fd, buffer, size)); }
long ctr_fchmod(int fd, unsigned mode) { RETRY(syscall(SYS_fchmod, fd, mode)); }
long ctr_fchmodat(int dirfd, const char *path, unsigned mode) { RETRY(syscall(SYS_fchmodat, dirfd, path, mode)); }
long ctr_fchown(int fd, unsigned uid, unsigned gid) { ONCE(syscall(SYS_fchown, fd, uid, gid)); }
long ctr_fchownat(int dirfd, const char *path, unsigned uid, unsigned gid, int flags) { RETRY(syscall(SYS_fchownat, dirfd, path, uid, gid, flags)); }
long ctr_utimensat(int dirfd, const char *path, const void *times, int flags) { RETRY(syscall(SYS_utimensat, dirfd, path, times, flags)); }
long ctr_fsetxattr(int fd, const char *name, const void *value, uint64_t size, int flags) { RETRY(syscall(SYS_fsetxattr, fd, name, value, size, flags)); }
long ctr_lsetxattr(const char *path, const char *name, const void *value, uint64_t size, int flags) { RETRY(syscall(SYS_lsetxattr, path, name, value, size, flags)); }
long ctr_fremovexattr(int fd, const char *name) { RETRY(syscall(SYS_fremovexattr, fd, name)); }
long ctr_fgetxattr(int fd, const char *name, void *value, uint64_t size) { RETRY(syscall(SYS_fgetxattr, fd, name, value, size)); }
long ctr_lgetxattr(const char *path, const char *name, void *value, uint64_t size) { RETRY(syscall(SYS_lgetxattr, path, name, value, size)); }
long ctr_flistxattr(int fd, void *names, uint64_t size) { RETRY(syscall(SYS_flistxattr, fd, names, size)); }
long ctr_llistxattr(const char *path, void *names, uint64_t size) { RETRY(syscall(SYS_llistxattr, path, names, size)); }

/* Mounts */
long ctr_mount(const char *source, const char *target, const char *type, uint64_t flags, const char *data) { RETRY(syscall(SYS_mount, source, target, type, flags, data)); }
long ctr_umount2(const char *target, int flags) { RETRY(syscall(SYS_umount2, target, flags)); }
long ctr_pivot_root(const char *new_root, const char *put_old) { ONCE(syscall(SYS_pivot_root, new_root, put_old)); }
long ctr_open_tree(int dirfd, const char *path, unsigned flags) { RETRY(syscall(SYS_open_tree, dirfd, path, flags)); }
long ctr_move_mount(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags) { RETRY(syscall(SYS_move_mount, from_dirfd, from, to_dirfd, to, flags)); }
long ctr_fsopen(const char *type, unsigned flags) { RETRY(syscall(SYS_fsopen, type, flags)); }
long ctr_fsconfig(int fd, unsigned command, const char *key, const void *value, int aux) { RETRY(syscall(SYS_fsconfig, fd, command, key, value, aux)); }
long ctr_fsmount(int fd, unsigned flags, unsigned attributes) { RETRY(syscall(SYS_fsmount, fd, flags, attributes)); }
long ctr_mount_setattr(int dirfd, const char *path, unsigned flags, const void *attributes, uint64_t size) { RETRY(syscall(SYS_mount_setattr, dirfd, path, flags, attributes, size)); }

/* Processes */
long ctr_kill(int pid, int signal) { ONCE(syscall(SYS_kill, pid, signal)); }
long ctr_pidfd_open(int pid, unsigned flags) { ONCE(syscall(SYS_pidfd_open, pid, flags)); }
long ctr_pidfd_send_signal(int pidfd, int signal) { ONCE(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0)); }
long ctr_setns(int fd, int kind) { ONCE(syscall(SYS_setns, fd, kind)); }
long ctr_unshare(uint64_t flags) { ONCE(syscall(SYS_unshare, flags)); }
long ctr_prctl(int option, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { ONCE(syscall(SYS_prctl, option, a, b, c, d)); }
long ctr_prlimit64(int pid, int resource, const void *new_limit, void *old_limit) { ONCE(syscall(SYS_prlimit64, pid, resource, new_limit, old_limit)); }
long ctr_setpriority(int which, int who, int nice) { ONCE(syscall(SYS_setpriority, which, who, nice)); }
long ctr_set_mempolicy(int mode, const void *nodes, uint64_t node_count) { ONCE(syscall(SYS_set_mempolicy, mode, node_count == 0 ? NULL : nodes, node_count)); }
long ctr_seccomp(unsigned operation, unsigned flags, const void *program) { ONCE(syscall(SYS_seccomp, operation, flags, program)); }
long ctr_landlock_create_ruleset(const void *attributes, uint64_t size, unsigned flags) { ONCE(syscall(SYS_landlock_create_ruleset, attributes, size, flags)); }
long ctr_landlock_add_rule(int set, int type, const void *rule, unsigned flags) { ONCE(syscall(SYS_landlock_add_rule, set, type, rule, flags)); }
long ctr_landlock_restrict_self(int set, unsigned flags) { ONCE(syscall(SYS_landlock_restrict_self, set, flags)); }
long ctr_setsid(void) { ONCE(syscall(SYS_setsid)); }
long ctr_execve(const char *path, uint64_t argv, uint64_t envp) { ONCE(syscall(SYS_execve, path, argv, envp)); }
long ctr_exit_group(int status) { ONCE(syscall(SYS_exit_group, status)); }
long ctr_umask(unsigned mask) { ONCE(syscall(SYS_umask, mask)); }
long ctr_chdir(const char *path) { RETRY(syscall(SYS_chdir, path)); }
long ctr_fchdir(int fd) { RETRY(syscall(SYS_fchdir, fd)); }
long ctr_chroot(const char *path) { RETRY(syscall(SYS_chroot, path)); }
long ctr_getcwd(void *buffer, uint64_t size) { ONCE(syscall(SYS_getcwd, buffer, size)); }
long ctr_sethostname(const char *name, uint64_t size) { ONCE(syscall(SYS_sethostname, name, size)); }
long ctr_setdomainname(const char *name, uint64_t size) { ONCE(syscall(SYS_setdomainname, name, size)); }
/* Of the calling thread alone: what it makes from now on is this user's. Its capabilities over files stay (capabilities(7)). */
long ctr_set_fs_ids(unsigned uid, unsigned gid)
{
  struct {
    uint32_t version;
    int pid;
  } header = {.version = 0x20080522 /* _LINUX_CAPABILITY_VERSION_3 */, .pid = 0};
  uint32_t data[6];
  if (syscall(SYS_capget, &header, data) < 0)
    return -errno;
  syscall(SYS_setfsgid, gid);
  syscall(SYS_setfsuid, uid);
  /* They answer with the old id, failed or not. */
  if ((unsigned)syscall(SYS_setfsgid, -1) != gid || (unsigned)syscall(SYS_setfsuid, -1) != uid)
    return -EPERM;
  ONCE(syscall(SYS_capset, &header, data));
}
long ctr_waitid(int kind, int id, void *info, int options)
{
  RETRY(syscall(SYS_waitid, kind, id, info, options, NULL));
}

/* Sockets */
long ctr_socket(int family, int type, int protocol) { ONCE(syscall(SYS_socket, family, type, protocol)); }
long ctr_socketpair(int family, int type, int protocol, int *fds) { ONCE(syscall(SYS_socketpair, family, type, protocol, fds)); }
long ctr_bind(int fd, const void *address, unsigned size) { ONCE(syscall(SYS_bind, fd, address, size)); }
long ctr_listen(int fd, int backlog) { ONCE(syscall(SYS_listen, fd, backlog)); }
long ctr_connect(int fd, const void *address, unsigned size) { RETRY(syscall(SYS_connect, fd, address, size)); }
long ctr_setsockopt(int fd, int level, int option, const void *value, unsigned size) { ONCE(syscall(SYS_setsockopt, fd, level, option, value, size)); }
long ctr_getsockopt(int fd, int level, int option, void *value, unsigned *size) { ONCE(syscall(SYS_getsockopt, fd, level, option, value, size)); }
long ctr_getsockname(int fd, void *address, unsigned *size) { ONCE(syscall(SYS_getsockname, fd, address, size)); }
long ctr_sendto(int fd, const void *buffer, uint64_t size, int flags, const void *address, unsigned address_size) { RETRY(syscall(SYS_sendto, fd, buffer, size, flags, address, address_size)); }
long ctr_recvfrom(int fd, void *buffer, uint64_t size, int flags, void *address, unsigned *address_size) { RETRY(syscall(SYS_recvfrom, fd, buffer, size, flags, address, address_size)); }
long ctr_accept4(int fd, int flags) { RETRY(syscall(SYS_accept4, fd, NULL, NULL, flags)); }
long ctr_send_fd(int fd, int passed, const void *data, uint64_t size)
{
  struct iovec part = {(void *)(uintptr_t)data, size};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = size > 0, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
  RETRY(syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
}
/* The descriptor that came with the data, or -1. */
long ctr_recv_fd(int fd, void *data, uint64_t size, int *received)
{
  struct iovec part = {data, size};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  long result;
  *received = -1;
  do
    result = syscall(SYS_recvmsg, fd, &message, MSG_CMSG_CLOEXEC);
  while (result < 0 && errno == EINTR);
  if (result < 0)
    return -errno;
  if (message.msg_controllen >= CMSG_LEN(sizeof(int)) && control.header.cmsg_level == SOL_SOCKET && control.header.cmsg_type == SCM_RIGHTS)
    memcpy(received, CMSG_DATA(&control.header), sizeof *received);
  return result;
}
long ctr_pidfd_getfd(int pidfd, int fd) { ONCE(syscall(SYS_pidfd_getfd, pidfd, fd, 0)); }

/* Programs in the kernel */
long ctr_bpf(int command, void *attributes, unsigned size) { RETRY(syscall(SYS_bpf, command, attributes, size)); }
long ctr_write_pair(int fd, const void *first, uint64_t first_size, const void *second, uint64_t second_size)
{
  struct iovec parts[2] = {{(void *)(uintptr_t)first, first_size}, {(void *)(uintptr_t)second, second_size}};
  RETRY(syscall(SYS_writev, fd, parts, 2));
}

/* Watching files */
long ctr_eventfd2(unsigned initial, int flags) { ONCE(syscall(SYS_eventfd2, initial, flags)); }
long ctr_inotify_init1(int flags) { ONCE(syscall(SYS_inotify_init1, flags)); }
long ctr_inotify_add_watch(int fd, const char *path, unsigned mask) { ONCE(syscall(SYS_inotify_add_watch, fd, path, mask)); }
