/*
 * The child side of clone3(2), and joining namespaces: what cannot be done from JavaScript. Between clone and execve there
 * are system calls only: the child shares the parent's memory (CLONE_VM) and the parent's thread is suspended
 * (CLONE_VFORK), so a failure is simply left in the parent's structure.
 */
#include "spawn.h"

/* More than systemd passes to any service; a higher number would not fit below the usual limit of 1024. */
#define MAX_FDS 256

static int place_descriptors(const int32_t *fds, int64_t count, int first_pidfd)
{
  /* Out of the way first, which is above the targets: a source may be one of them. */
  int moved[MAX_FDS];
  if (count > MAX_FDS) {
    errno = EINVAL;
    return -1;
  }
  for (int64_t i = 0; i < count; i++) {
    moved[i] = (int)syscall(SYS_fcntl, fds[i] == FIRST_PIDFD ? first_pidfd : fds[i], F_DUPFD_CLOEXEC, (int)count);
    if (moved[i] < 0)
      return -1;
  }
  for (int64_t i = 0; i < count; i++)
    if (syscall(SYS_dup3, moved[i], (int)i, 0) < 0)
      return -1;
  return 0;
}

/* The process that was started before its parent could become what it was to be must not be left behind. */
static void end_first(int pidfd)
{
  uint64_t info[16]; /* siginfo_t is 128 bytes */
  syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
  while (syscall(SYS_waitid, 3 /* P_PIDFD */, pidfd, info, WEXITED, NULL) < 0 && errno == EINTR)
    ;
}

static void join_user_namespace(struct ctr_spawn *spawn, struct failure *failure);

__attribute__((noreturn)) static void child(struct ctr_spawn *spawn)
{
  struct failure failure = {0, 0};
  int first_pidfd = -1;
  if (spawn->joined_pid < 0)
    goto inside;
  if (ctr_enter_cgroups(spawn, &failure) < 0)
    goto out;
  if (spawn->user_namespace_fd >= 0) {
    join_user_namespace(spawn, &failure);
    goto out;
  }
inside:
  /* Not by clone3: its root would be the parent's cgroup (cgroup_namespaces(7)). */
  if (spawn->clone_flags & CLONE_NEWCGROUP && syscall(SYS_unshare, CLONE_NEWCGROUP) < 0) {
    fail(&failure, STEP_CGROUP);
    goto out;
  }
  if (ctr_join_namespaces(spawn, &failure) < 0)
    goto out;
  if (spawn->new_session && syscall(SYS_setsid) < 0) {
    fail(&failure, STEP_SESSION);
    goto out;
  }
  if (ctr_join_new_keyring(spawn, &failure) < 0)
    goto out;
  /*
   * Before the descriptors are placed, which may cover those it is given. It is this process's child, and runs from now
   * on beside it; this one goes on when that has made its execve, as its own parent does with it (CLONE_VFORK).
   */
  if (spawn->first) {
    struct ctr_spawn *first = pointer(spawn->first);
    if (ctr_spawn(first) < 0) {
      failure.step = first->failed_step;
      failure.error = first->failed_errno;
      goto out;
    }
    first_pidfd = (int)first->pidfd;
  }
  if (place_descriptors(pointer(spawn->fds), spawn->fd_count, first_pidfd) < 0) {
    fail(&failure, STEP_STDIO);
    goto out;
  }
  if (spawn->process) {
    ctr_exec_process(pointer(spawn->process), &failure);
    goto out;
  }
  ctr_reset_signals();
  /* Nor is a container, or what looks after it, as patient as the shell it was asked for from. Where it may not be. */
  syscall(SYS_setpriority, 0 /* PRIO_PROCESS */, 0, 0);
  /* exec_fd is close-on-exec itself: the program runs from it, it need not keep it. */
  syscall(SYS_close_range, (unsigned)spawn->fd_count, ~0U, 4U);
  syscall(SYS_execveat, (int)spawn->exec_fd, "", pointer(spawn->argv), pointer(spawn->envp), AT_EMPTY_PATH);
  fail(&failure, STEP_EXEC);
out:
  if (first_pidfd >= 0)
    end_first(first_pidfd);
  spawn->failed_step = failure.step;
  spawn->failed_errno = failure.error;
  for (;;)
    syscall(SYS_exit_group, 127);
}

struct clone3_args {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

/* Kernel 5.5 */
#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
/* In every clone here: the child shares the memory and the parent waits; no handler of the parent's is the child's. */
#define CLONE_USUAL (CLONE_VM | CLONE_VFORK | CLONE_CLEAR_SIGHAND)

/* As CLONE_CLEAR_SIGHAND does it; what is ignored is reset_signals' affair. Nothing arrives meanwhile: all is blocked. */
static void clear_handlers(void)
{
  uint64_t action[8];
  for (int signal = 1; signal <= 64; signal++)
    if (syscall(SYS_rt_sigaction, signal, NULL, action, 8) == 0 && action[0] > 1 /* SIG_IGN */) {
      memset(action, 0, sizeof action);
      syscall(SYS_rt_sigaction, signal, action, NULL, 8);
    }
}

/*
 * clone3(2) whose child stays on this stack, below this frame. It must be inline: a function that made the call and
 * returned in the child would have its return address overwritten before the parent wakes up. A filter cannot see clone3's
 * flags, so one that is about those answers ENOSYS (systemd's RestrictNamespaces=): then clone(2), if it has the flags too.
 */
__attribute__((noinline)) static long clone_into(struct clone3_args *args, struct ctr_spawn *spawn)
{
  long result;
  uint64_t flags = args->flags & ~CLONE_CLEAR_SIGHAND;
#if defined(__x86_64__)
  __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_clone3), "D"(args), "S"(sizeof *args) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = SYS_clone3;
  register long x0 __asm__("x0") = (long)args;
  register long x1 __asm__("x1") = sizeof *args;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
  result = x0;
#else
#error "ctr knows x86-64 and arm64"
#endif
  if (result == 0)
    child(spawn);
  /* The lowest byte is the signal there (CLONE_NEWTIME is one of its bits), and no flag is above 32 bits. */
  if (result != -ENOSYS || flags & 0xff || flags >> 32)
    return result;
  flags |= args->exit_signal;
#if defined(__x86_64__)
  register long r10 __asm__("r10") = 0;
  register long r8 __asm__("r8") = 0;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(SYS_clone), "D"(flags), "S"(0L), "d"(args->pidfd), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
#else
  register long x2 __asm__("x2") = (long)args->pidfd;
  register long x3 __asm__("x3") = 0;
  register long x4 __asm__("x4") = 0;
  x8 = SYS_clone;
  x0 = (long)flags;
  x1 = 0;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  result = x0;
#endif
  if (result == 0) {
    clear_handlers();
    child(spawn);
  }
  return result;
}

/*
 * What is born in a user namespace belongs to the one it is made from, so a process in between joins that first: its
 * child is made a child of its own parent (CLONE_PARENT), and it is gone when that has made its execve. Joining resets
 * all capabilities to those of that namespace, where this process has no ids yet: it becomes root there, or the execve
 * would take them away again (user_namespaces(7)).
 */
static void join_user_namespace(struct ctr_spawn *spawn, struct failure *failure)
{
  if (syscall(SYS_setns, (int)spawn->user_namespace_fd, CLONE_NEWUSER) < 0 || syscall(SYS_setgroups, 0, NULL) < 0 ||
      syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0) {
    fail(failure, STEP_USER_NAMESPACE);
    return;
  }
  /* Takes effect on the child only, and is asked for here so that this process's own numbers stay its parent's. */
  if (spawn->pid_namespace_fd >= 0 && syscall(SYS_setns, (int)spawn->pid_namespace_fd, CLONE_NEWPID) < 0) {
    fail(failure, STEP_JOIN);
    return;
  }
  struct clone3_args args = {.flags = (spawn->clone_flags & ~(uint64_t)CLONE_NEWCGROUP) | CLONE_USUAL | CLONE_PARENT};
  spawn->joined_pid = -1;
  long pid = clone_into(&args, spawn);
  spawn->joined_pid = pid < 0 ? 0 : pid;
  if (pid < 0)
    *failure = (struct failure){STEP_CLONE, -pid};
  else
    *failure = (struct failure){spawn->failed_step, spawn->failed_errno};
}

/*
 * Starts a process: 0 < pid, or -errno with failed_step and failed_errno set. When the child failed before its
 * execve, the pid is reaped here and the result is its error.
 *
 * Order: the pid namespace is joined by the caller before the clone, because it takes effect on children only
 * (setns(2)), and left right after, with a user namespace by the process in between; everything else is joined in the
 * child, whose file system context is its own.
 */
long ctr_spawn(struct ctr_spawn *spawn)
{
  uint64_t all = ~0ULL;
  uint64_t before;
  int own_pid_namespace = -1;
  int pidfd = -1;
  long pid;

  spawn->failed_step = STEP_NONE;
  spawn->failed_errno = 0;
  spawn->pidfd = -1;
  spawn->joined_pid = 0;
  int joins_user = spawn->user_namespace_fd >= 0;
  if (spawn->pid_namespace_fd >= 0 && !joins_user) {
    own_pid_namespace = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own_pid_namespace < 0 || syscall(SYS_setns, (int)spawn->pid_namespace_fd, CLONE_NEWPID) < 0) {
      spawn->failed_step = STEP_JOIN;
      spawn->failed_errno = errno;
      pid = -errno;
      goto out;
    }
  }
  struct clone3_args args = {
      .flags = (joins_user ? 0 : spawn->clone_flags & ~(uint64_t)CLONE_NEWCGROUP) | CLONE_USUAL | 0x1000 /* CLONE_PIDFD */,
      .pidfd = (uint64_t)(uintptr_t)&pidfd,
      .exit_signal = SIGCHLD,
  };
  if (spawn->cgroup_fd >= 0) {
    args.flags |= 0x200000000ULL; /* CLONE_INTO_CGROUP, kernel 5.7 */
    args.cgroup = (uint64_t)spawn->cgroup_fd;
  }
  /* No handler of this process may run in the child, which shares its memory. */
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  pid = clone_into(&args, spawn);
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
  if (pid < 0) {
    spawn->failed_step = STEP_CLONE;
    spawn->failed_errno = -pid;
  } else if (spawn->failed_errno != 0) {
    syscall(SYS_wait4, (int)pid, NULL, 0, NULL);
    syscall(SYS_close, pidfd);
    if (spawn->joined_pid > 0)
      syscall(SYS_wait4, (int)spawn->joined_pid, NULL, 0, NULL);
    pid = -spawn->failed_errno;
  } else if (joins_user) {
    /* The one in between has ended. */
    syscall(SYS_wait4, (int)pid, NULL, 0, NULL);
    syscall(SYS_close, pidfd);
    pid = spawn->joined_pid;
    /* Not reaped yet, so it has this number still. */
    spawn->pidfd = syscall(SYS_pidfd_open, (int)pid, 0);
    if (spawn->pidfd < 0) {
      spawn->failed_step = STEP_CLONE;
      spawn->failed_errno = errno;
      syscall(SYS_kill, (int)pid, SIGKILL);
      syscall(SYS_wait4, (int)pid, NULL, 0, NULL);
      pid = -spawn->failed_errno;
    }
  } else {
    spawn->pidfd = pidfd;
  }
  if (own_pid_namespace >= 0)
    syscall(SYS_setns, own_pid_namespace, CLONE_NEWPID);
out:
  if (own_pid_namespace >= 0)
    syscall(SYS_close, own_pid_namespace);
  return pid;
}
