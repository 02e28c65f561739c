/*
 * What cannot be done from JavaScript: the child side of clone3(2), joining namespaces, and the last steps before
 * execve(2). Between clone and execve there are system calls only: the child shares the parent's memory (CLONE_VM) and
 * the parent's thread is suspended (CLONE_VFORK), so a failure is simply left in the parent's structure.
 */
#include "ctr.h"

#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <sys/socket.h>
#include <sys/mman.h>

/* Pointers cross as 64-bit numbers, so that one layout serves every architecture. internal/sys/spawn.ts writes it. */
struct ctr_process {
  int64_t uid, gid;
  uint64_t groups; /* uint32_t[group_count] */
  int64_t group_count;
  uint64_t bounding, effective, permitted, inheritable, ambient; /* capability masks */
  int64_t no_new_privs;
  uint64_t seccomp; /* struct sock_filter[seccomp_count], 0 for none */
  int64_t seccomp_count, seccomp_flags;
  uint64_t cwd;        /* char *, 0 to stay */
  uint64_t candidates; /* char *[], NULL at the end: tried in turn as PATH is */
  uint64_t argv, envp;
  int64_t umask;    /* -1 to keep */
  int64_t first_fd; /* descriptors from here on are close-on-exec */
  int64_t exec_fd;  /* >= 0: run this instead of the candidates */
  int64_t controlling_terminal; /* make descriptor 0 the session's terminal */
  uint64_t apparmor, selinux; /* char *: what execve is to change the security label to, 0 for nothing */
  uint64_t rlimits; /* struct limit[rlimit_count] */
  int64_t rlimit_count;
  uint64_t scheduler;               /* struct sched_attr, 0 to stay as it is */
  int64_t io_priority;              /* of ioprio_set(2), -1 to stay */
  uint64_t initial_cpus, cpus;      /* masks of CPU_MASK_BYTES: before anything else, and for the program; 0 to stay */
  int64_t personality;              /* -1 to keep */
  int64_t agent;                    /* the socket that the filter's listener is sent to, -1 for none */
  uint64_t agent_message;           /* with it: char[agent_message_size] */
  int64_t agent_message_size;
};

#define CPU_MASK_BYTES 128

struct limit {
  int64_t resource;
  uint64_t soft, hard; /* struct rlimit64 */
};

struct ctr_spawn {
  uint64_t clone_flags; /* CLONE_NEW… */
  int64_t cgroup_fd;    /* cgroup v2 directory to be born in, or -1 */
  int64_t exec_fd;      /* executable, or -1 with process */
  uint64_t argv, envp;
  uint64_t fds; /* int32_t[fd_count]: become 0, 1, 2, … */
  int64_t fd_count;
  uint64_t joins; /* int32_t[2 * join_count]: namespace descriptor, CLONE_NEW… */
  int64_t join_count;
  int64_t pid_namespace_fd; /* or -1 */
  int64_t new_session;
  uint64_t process; /* struct ctr_process *, or 0 */
  /* results */
  int64_t pidfd, failed_step, failed_errno;
  /* later additions */
  uint64_t task_fds; /* int32_t[task_fd_count]: `tasks` files of cgroup v1 directories to be in */
  int64_t task_fd_count;
  uint64_t first; /* struct ctr_spawn *, or 0: a child of the child, started before the child's own execve */
  int64_t is_watched; /* somebody in the pid namespace may trace what joins it: see start_program */
  /* for the C side only */
  uint64_t report; /* struct failure * that a program which shares no memory writes to, 0 for one that is the child itself */
  int64_t program_pid;
  /* later additions */
  int64_t user_namespace_fd; /* or -1: the process is root of this one, and what it is born in belongs to it */
  int64_t joined_pid;        /* for the C side only: 0 before that, -1 in the process that has joined */
};

/* In fds: the pidfd of the process that `first` has started. */
#define FIRST_PIDFD (-2)

/* The steps a failure is told by; internal/sys/spawn.ts has their names in this order. */
enum step { STEP_NONE, STEP_CLONE, STEP_JOIN, STEP_SESSION, STEP_STDIO, STEP_CHDIR, STEP_GROUPS, STEP_USER, STEP_CAPABILITIES, STEP_NO_NEW_PRIVS, STEP_SECCOMP, STEP_EXEC, STEP_TERMINAL, STEP_CGROUP, STEP_APPARMOR, STEP_SELINUX, STEP_RLIMITS, STEP_SCHEDULER, STEP_PERSONALITY, STEP_AGENT, STEP_USER_NAMESPACE };

struct failure {
  int64_t step, error;
};

#define CAP_SYS_ADMIN_BIT (1ULL << 21)
#define CAP_SETPCAP_BIT (1ULL << 8)

static void *pointer(uint64_t value) { return (void *)(uintptr_t)value; }

static int fail(struct failure *out, enum step step)
{
  out->step = step;
  out->error = errno;
  return -1;
}

static int set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
  struct {
    uint32_t version;
    int pid;
  } header = {.version = 0x20080522 /* _LINUX_CAPABILITY_VERSION_3 */, .pid = 0};
  struct {
    uint32_t effective, permitted, inheritable;
  } data[2] = {
      {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
      {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
  };
  return (int)syscall(SYS_capset, &header, data);
}

/*
 * What this thread's next execve changes its security label to (proc_pid_attr(5)). Written while /proc is still the
 * host's, and only into a file of procfs: a label that went anywhere else would be a program without one. AppArmor has
 * its own file since kernel 5.1, for where it is not the only module with labels.
 */
long ctr_set_exec_label(int is_selinux, const char *label)
{
  struct statfs found;
  long result = 0;
  int fd = -1;
  if (!is_selinux)
    fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/thread-self/attr/apparmor/exec", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0)
    fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/thread-self/attr/exec", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0)
    return -errno;
  if (syscall(SYS_fstatfs, fd, &found) < 0)
    result = -errno;
  else if (found.f_type != 0x9fa0 /* PROC_SUPER_MAGIC */)
    result = -EXDEV;
  else if (syscall(SYS_write, fd, label, strlen(label)) < 0)
    result = -errno;
  syscall(SYS_close, fd);
  return result;
}

static int set_labels(const struct ctr_process *process, struct failure *failure)
{
  const struct {
    uint64_t label;
    enum step step;
  } labels[] = {{process->apparmor, STEP_APPARMOR}, {process->selinux, STEP_SELINUX}};
  for (int i = 0; i < 2; i++) {
    long result = labels[i].label ? ctr_set_exec_label(i, pointer(labels[i].label)) : 0;
    if (result < 0) {
      errno = (int)-result;
      return fail(failure, labels[i].step);
    }
  }
  return 0;
}

/* What execve keeps of the caller's signals: the mask and what is ignored. Handlers it resets itself. */
static void reset_signals(void)
{
  /* The kernel's struct sigaction is handler, flags, (restorer,) mask; 64 bytes hold it on every architecture. */
  uint64_t action[8];
  for (int signal = 1; signal <= 64; signal++) {
    memset(action, 0, sizeof action);
    if (syscall(SYS_rt_sigaction, signal, NULL, action, 8) == 0 && action[0] == 1 /* SIG_IGN */) {
      memset(action, 0, sizeof action);
      syscall(SYS_rt_sigaction, signal, action, NULL, 8);
    }
  }
  uint64_t none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}

/* Without no_new_privs installing a filter takes CAP_SYS_ADMIN (seccomp(2)). */
static int needs_admin(const struct ctr_process *process) { return process->seccomp && !process->no_new_privs; }

/*
 * Sends the listener of the filter that is in force now to its agent, with the message. sendmsg may not be one of the calls
 * that wait for the agent; close may be, because the agent has the listener by then. Both descriptors are close-on-exec, but
 * not every process that comes here makes an execve.
 */
static int send_listener(const struct ctr_process *process, int listener)
{
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec part = {pointer(process->agent_message), (size_t)process->agent_message_size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(&control.header), &listener, sizeof listener);
  while (part.iov_len > 0) {
    long sent = syscall(SYS_sendmsg, (int)process->agent, &message, MSG_NOSIGNAL);
    if (sent < 0)
      return -1;
    part.iov_base = (char *)part.iov_base + sent;
    part.iov_len -= (size_t)sent;
    /* config-linux.md: the descriptors go with the first call only. */
    message.msg_control = NULL;
    message.msg_controllen = 0;
  }
  syscall(SYS_close, listener);
  syscall(SYS_close, (int)process->agent);
  return 0;
}

/* close_range(2) from `first` on, but for one descriptor. */
static long close_others(unsigned first, int kept, unsigned flags)
{
  if (kept < 0 || (unsigned)kept < first)
    return syscall(SYS_close_range, first, ~0U, flags);
  if ((unsigned)kept > first && syscall(SYS_close_range, first, (unsigned)kept - 1, flags) < 0)
    return -1;
  return syscall(SYS_close_range, (unsigned)kept + 1, ~0U, flags);
}

/*
 * Credentials, confinement, execve, in the one safe order: the bounding set and the ids while still privileged; the
 * other capability sets after the ids, because setuid clears them; seccomp last, because it would see everything before
 * it, and may refuse all but execve. What it takes to install it stays until execve, which takes it away: what a program
 * has then comes of the bounding, inheritable and ambient sets only (capabilities(7), "Transformation of capabilities
 * during execve()").
 */
static int confine(const struct ctr_process *process, unsigned close_flags, struct failure *failure)
{
  /* Before the ids change: the directory may be closed to the user, as it may be for runc. */
  int enter_later = 0;
  if (process->cwd && syscall(SYS_chdir, pointer(process->cwd)) < 0) {
    if (errno != EACCES)
      return fail(failure, STEP_CHDIR);
    enter_later = 1;
  }

  const struct limit *limits = pointer(process->rlimits);
  for (int64_t i = 0; i < process->rlimit_count; i++)
    if (syscall(SYS_prlimit64, 0, (int)limits[i].resource, &limits[i].soft, NULL) < 0)
      return fail(failure, STEP_RLIMITS);
  /* While CAP_SYS_NICE is still there. */
  if (process->cpus && syscall(SYS_sched_setaffinity, 0, CPU_MASK_BYTES, pointer(process->cpus)) < 0)
    return fail(failure, STEP_SCHEDULER);
  if (process->scheduler && syscall(SYS_sched_setattr, 0, pointer(process->scheduler), 0) < 0)
    return fail(failure, STEP_SCHEDULER);
  if (process->io_priority >= 0 && syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, (int)process->io_priority) < 0)
    return fail(failure, STEP_SCHEDULER);
  if (process->personality >= 0 && syscall(SYS_personality, (unsigned long)process->personality) < 0)
    return fail(failure, STEP_PERSONALITY);
  for (int capability = 0; capability <= 63; capability++) {
    if (process->bounding >> capability & 1)
      continue;
    if (syscall(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
      if (errno == EINVAL)
        break; /* past the last capability this kernel knows */
      return fail(failure, STEP_CAPABILITIES);
    }
  }
  if (syscall(SYS_setgroups, process->group_count, pointer(process->groups)) < 0)
    return fail(failure, STEP_GROUPS);
  if (syscall(SYS_setresgid, (uint32_t)process->gid, (uint32_t)process->gid, (uint32_t)process->gid) < 0)
    return fail(failure, STEP_GROUPS);
  if (syscall(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
    return fail(failure, STEP_USER);
  if (syscall(SYS_setresuid, (uint32_t)process->uid, (uint32_t)process->uid, (uint32_t)process->uid) < 0)
    return fail(failure, STEP_USER);
  if (syscall(SYS_prctl, PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
    return fail(failure, STEP_USER);

  uint64_t extra = needs_admin(process) ? CAP_SYS_ADMIN_BIT : 0;
  if (set_capabilities(process->effective | extra, process->permitted | extra, process->inheritable) < 0)
    return fail(failure, STEP_CAPABILITIES);
  syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int capability = 0; capability <= 63; capability++)
    if (process->ambient >> capability & 1)
      if (syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
        return fail(failure, STEP_CAPABILITIES);

  if (enter_later && syscall(SYS_chdir, pointer(process->cwd)) < 0)
    return fail(failure, STEP_CHDIR);
  if (process->cwd) {
    /* getcwd(2) says "(unreachable)…" for a directory outside the root: a descriptor of the host's (CVE-2024-21626). */
    char reached[PATH_MAX];
    if (syscall(SYS_getcwd, reached, sizeof reached) < 0)
      return fail(failure, STEP_CHDIR);
    if (reached[0] != '/') {
      errno = ENOENT;
      return fail(failure, STEP_CHDIR);
    }
  }
  if (process->umask >= 0)
    syscall(SYS_umask, (int)process->umask);
  reset_signals();
  if (close_others((unsigned)process->first_fd, (int)process->agent, close_flags) < 0) {
    if (errno != ENOSYS && errno != EINVAL) /* kernel 5.11; before, every descriptor was made close-on-exec anyway */
      return fail(failure, STEP_STDIO);
  }
  if (process->no_new_privs && syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    return fail(failure, STEP_NO_NEW_PRIVS);
  if (process->seccomp) {
    struct sock_fprog program = {.len = (unsigned short)process->seccomp_count, .filter = pointer(process->seccomp)};
    int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)process->seccomp_flags, &program);
    if (listener < 0)
      return fail(failure, STEP_SECCOMP);
    if (process->agent >= 0 && send_listener(process, listener) < 0)
      return fail(failure, STEP_AGENT);
  }

  return 0;
}

static int run_program(const struct ctr_process *process, struct failure *failure)
{
  if (process->exec_fd >= 0) {
    syscall(SYS_execveat, (int)process->exec_fd, "", pointer(process->argv), pointer(process->envp), AT_EMPTY_PATH);
    return fail(failure, STEP_EXEC);
  }
  /* As execvp(3): a name that is there but may not be run is remembered, and the search goes on. */
  int denied = 0;
  for (char **candidate = pointer(process->candidates); *candidate; candidate++) {
    syscall(SYS_execve, *candidate, pointer(process->argv), pointer(process->envp));
    if (errno == EACCES)
      denied = 1;
    else if (errno != ENOENT && errno != ENOTDIR)
      return fail(failure, STEP_EXEC);
  }
  errno = denied ? EACCES : ENOENT;
  return fail(failure, STEP_EXEC);
}

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4U
#endif

static int take_terminal(const struct ctr_process *process, struct failure *failure)
{
  if (process->controlling_terminal && syscall(SYS_ioctl, 0, TIOCSCTTY, 0) < 0)
    return fail(failure, STEP_TERMINAL);
  return 0;
}

static void exec_process(const struct ctr_process *process, struct failure *failure)
{
  if (take_terminal(process, failure) == 0 && confine(process, CLOSE_RANGE_CLOEXEC, failure) == 0)
    run_program(process, failure);
}

/*
 * The last steps of a program that joins a pid namespace in which somebody may trace it (CAP_SYS_PTRACE, CVE-2016-9962): the
 * process that is visible there is born with nothing left to be had of it. The caller, which no container sees, has joined
 * the other namespaces, and is confined here, filter and all; what it then starts has a copy of this memory, not the memory
 * itself, no descriptors but the program's, and is the child of the caller's parent. setsid and the terminal are what only
 * the process itself can do.
 */
static int start_program(struct ctr_spawn *spawn, struct failure *failure)
{
  const struct ctr_process *process = pointer(spawn->process);
  struct failure *report = pointer(spawn->report);
  if (confine(process, 0, failure) < 0)
    return -1;
  /* What the filter needed must not be visible there until execve takes it away. */
  if (needs_admin(process) && set_capabilities(process->effective, process->permitted, process->inheritable) < 0)
    return fail(failure, STEP_CLONE);
  /* Not clone3: filters refuse it. The exit signal is the caller's (clone(2), CLONE_PARENT). */
  long pid = syscall(SYS_clone, (unsigned long)(CLONE_PARENT | CLONE_VFORK), 0, 0, 0, 0);
  if (pid < 0)
    return fail(failure, STEP_CLONE);
  if (pid > 0) {
    spawn->program_pid = pid;
    return 0;
  }
  if (spawn->new_session && syscall(SYS_setsid) < 0)
    fail(report, STEP_SESSION);
  else if (take_terminal(process, report) == 0)
    run_program(process, report);
  for (;;)
    syscall(SYS_exit_group, 127);
}

/* Runs the process in place of the caller. Returns -errno, with the step in the low bits of *failed_step. */
long ctr_exec(const struct ctr_process *process, int64_t *failed_step)
{
  struct failure failure = {0, 0};
  exec_process(process, &failure);
  *failed_step = failure.step;
  return -failure.error;
}

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

/* In a user namespace nobody may raise a limit: before one is joined they are made high enough to be set in the last step. */
static void permit_limits(const struct ctr_process *process)
{
  const struct limit *limits = pointer(process->rlimits);
  for (int64_t i = 0; i < process->rlimit_count; i++) {
    uint64_t both[2];
    if (syscall(SYS_prlimit64, 0, (int)limits[i].resource, NULL, both) < 0 || both[1] >= limits[i].hard)
      continue;
    both[1] = limits[i].hard;
    syscall(SYS_prlimit64, 0, (int)limits[i].resource, both, NULL);
  }
}

/* The process that was started before its parent could become what it was to be must not be left behind. */
static void end_first(int pidfd)
{
  uint64_t info[16]; /* siginfo_t is 128 bytes */
  syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
  while (syscall(SYS_waitid, 3 /* P_PIDFD */, pidfd, info, WEXITED, NULL) < 0 && errno == EINTR)
    ;
}

long ctr_spawn(struct ctr_spawn *spawn);
static void join_user_namespace(struct ctr_spawn *spawn, struct failure *failure);

__attribute__((noreturn)) static void child(struct ctr_spawn *spawn)
{
  struct failure failure = {0, 0};
  int first_pidfd = -1;
  const int32_t *joins = pointer(spawn->joins);
  const struct ctr_process *process = pointer(spawn->process);
  if (spawn->joined_pid < 0)
    goto inside;
  /* config.md#linux-process, execCPUAffinity: even before the cgroup. */
  if (process && process->initial_cpus && syscall(SYS_sched_setaffinity, 0, CPU_MASK_BYTES, pointer(process->initial_cpus)) < 0) {
    fail(&failure, STEP_SCHEDULER);
    goto out;
  }
  /*
   * Before everything else, so that whatever this process makes is inside. "0" into `tasks` moves the one thread that
   * writes without the kernel's global lock (kernel 5.4): 0.02 ms, where a pid into `cgroup.procs` waits 6 ms for a
   * grace period. Only a process of a single thread may do it so; this one was just cloned.
   */
  const int32_t *task_fds = pointer(spawn->task_fds);
  for (int64_t i = 0; i < spawn->task_fd_count; i++)
    if (syscall(SYS_write, task_fds[i], "0", 1) < 0) {
      fail(&failure, STEP_CGROUP);
      goto out;
    }
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
  /* Before any mount namespace is joined: what is at /proc in there is the container's affair. */
  if (spawn->process && set_labels(pointer(spawn->process), &failure) < 0)
    goto out;
  if (process)
    permit_limits(process);
  for (int64_t i = 0; i < spawn->join_count; i++)
    if (syscall(SYS_setns, joins[2 * i], joins[2 * i + 1]) < 0) {
      fail(&failure, STEP_JOIN);
      goto out;
    }
  /* Itself it stays where it is: this is for what it starts (setns(2)). */
  if (spawn->report && syscall(SYS_setns, (int)spawn->pid_namespace_fd, CLONE_NEWPID) < 0) {
    fail(&failure, STEP_JOIN);
    goto out;
  }
  if (!spawn->report && spawn->new_session && syscall(SYS_setsid) < 0) {
    fail(&failure, STEP_SESSION);
    goto out;
  }
  /*
   * The caller's keys are not for a container, nor for what looks after it: a new session keyring (keyctl(2)). A kernel may
   * have none; a supervisor's own filter refuses the call, and its keyring is a new one already.
   */
  if (spawn->new_session && syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EPERM) {
    fail(&failure, STEP_SESSION);
    goto out;
  }
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
  if (spawn->report) {
    start_program(spawn, &failure);
    goto out;
  }
  if (spawn->process) {
    exec_process(pointer(spawn->process), &failure);
    goto out;
  }
  reset_signals();
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

/* In every clone here: the child shares the memory and the parent waits; no handler of the parent's is the child's. */
#define CLONE_USUAL (CLONE_VM | CLONE_VFORK | 0x100000000ULL /* CLONE_CLEAR_SIGHAND, kernel 5.5 */)

/*
 * clone3(2) whose child stays on this stack, below this frame. It must be inline: a function that made the call and
 * returned in the child would have its return address overwritten before the parent wakes up.
 */
__attribute__((noinline)) static long clone_into(struct clone3_args *args, struct ctr_spawn *spawn)
{
  long result;
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

static long spawn_child(struct ctr_spawn *spawn);

/*
 * By way of a process in between (start_program). A filter that forbids what is to be done under it, or ends the one in
 * between, leaves nothing behind: then the program is started directly.
 */
static long spawn_program(struct ctr_spawn *spawn)
{
  struct failure *report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (report == MAP_FAILED)
    return spawn_child(spawn);
  *report = (struct failure){0, 0};
  spawn->report = (uint64_t)(uintptr_t)report;
  spawn->program_pid = 0;
  long between = spawn_child(spawn);
  long pid = spawn->program_pid;
  if (between > 0) {
    syscall(SYS_close, (int)spawn->pidfd);
    syscall(SYS_wait4, (int)between, NULL, 0x40000000 /* __WALL */, NULL);
    spawn->pidfd = -1;
    if (pid > 0 && report->error == 0) {
      spawn->pidfd = syscall(SYS_pidfd_open, (int)pid, 0);
      if (spawn->pidfd < 0) {
        spawn->failed_step = STEP_CLONE;
        spawn->failed_errno = errno;
        pid = -errno;
      }
    } else if (pid > 0) {
      /* Whoever traces it may have written the report: it is ended whatever it says. */
      syscall(SYS_kill, (int)pid, SIGKILL);
      syscall(SYS_wait4, (int)pid, NULL, 0, NULL);
      spawn->failed_step = report->step;
      spawn->failed_errno = report->error > 0 && report->error < 4096 ? report->error : EINVAL;
      pid = -spawn->failed_errno;
    } else {
      spawn->failed_step = STEP_CLONE; /* ended by the filter */
      spawn->failed_errno = ENOSYS;
      pid = -ENOSYS;
    }
  } else {
    pid = between;
  }
  syscall(SYS_munmap, report, sizeof *report);
  spawn->report = 0;
  int step = (int)spawn->failed_step;
  int is_filter = pid < 0 && (step == STEP_CLONE || step == STEP_SESSION || step == STEP_TERMINAL);
  return is_filter && pid != -EAGAIN && pid != -ENOMEM && ((struct ctr_process *)pointer(spawn->process))->seccomp ? spawn_child(spawn) : pid;
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
  return spawn->process && spawn->pid_namespace_fd >= 0 && spawn->is_watched ? spawn_program(spawn) : spawn_child(spawn);
}

static long spawn_child(struct ctr_spawn *spawn)
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
  if (spawn->pid_namespace_fd >= 0 && !spawn->report && !joins_user) {
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

/* A process of a new user namespace, for as long as nobody has ended the other end of its pipe. */
static char keeper_stack[16384] __attribute__((aligned(16)));

__attribute__((noreturn)) static int keep_namespace(void *pipe_ends)
{
  char byte;
  syscall(SYS_close, ((int *)pipe_ends)[1]);
  while (syscall(SYS_read, ((int *)pipe_ends)[0], &byte, 1) < 0 && errno == EINTR)
    ;
  for (;;)
    syscall(SYS_exit, 0);
}

/* Opens a file of a process's; the name has at most 16 characters. */
static int open_of_process(int pid, const char *name, int flags)
{
  char path[48] = "/proc/";
  char digits[12];
  char *digit = digits + sizeof digits;
  *--digit = 0;
  do
    *--digit = (char)('0' + pid % 10);
  while ((pid /= 10) > 0);
  strcat(strcat(strcat(path, digit), "/"), name);
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

static int write_map(int pid, const char *name, const char *map)
{
  int fd = open_of_process(pid, name, O_WRONLY);
  if (fd < 0)
    return fd;
  /* All lines at once, or not at all (user_namespaces(7)). */
  size_t size = strlen(map);
  long written = syscall(SYS_write, fd, map, size);
  int error = written < 0 ? -errno : (size_t)written == size ? 0 : -EIO;
  syscall(SYS_close, fd);
  return error;
}

/*
 * A new user namespace with these maps, as a descriptor. Whoever is in it cannot write maps that go beyond its own id,
 * so a process that only waits is put in it; should the caller die, its end of the pipe goes, and the process with it.
 */
long ctr_user_namespace(const char *uid_map, const char *gid_map)
{
  uint64_t all = ~0ULL;
  uint64_t before;
  int pipe_ends[2];
  if (syscall(SYS_pipe2, pipe_ends, O_CLOEXEC) < 0)
    return -errno;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  /* Without a signal at its end: nobody but this function is to hear of it. */
  long result = clone(keep_namespace, keeper_stack + sizeof keeper_stack, CLONE_VM | CLONE_NEWUSER, pipe_ends);
  int error = errno;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
  if (result < 0) {
    syscall(SYS_close, pipe_ends[0]);
    syscall(SYS_close, pipe_ends[1]);
    return -error;
  }
  int pid = (int)result;
  result = write_map(pid, "uid_map", uid_map);
  if (result == 0)
    result = write_map(pid, "gid_map", gid_map);
  if (result == 0)
    result = open_of_process(pid, "ns/user", O_RDONLY);
  /* Its end is waited for: it is on a stack that the next call uses, and reads what lies on this one. */
  syscall(SYS_close, pipe_ends[0]);
  syscall(SYS_close, pipe_ends[1]);
  while (syscall(SYS_wait4, pid, NULL, 0x40000000 /* __WALL */, NULL) < 0 && errno == EINTR)
    ;
  return result;
}

/* Whom the signals of this process go to while it waits; a handler may run in any of its threads. */
static volatile int forward_to = -1;

static void forward(int signal)
{
  int before = errno;
  syscall(SYS_pidfd_send_signal, forward_to, signal, NULL, 0);
  errno = before;
}

/*
 * Waits for the end of a child, to which the signals in `mask` (bit n is signal n) go meanwhile. Fills the siginfo_t of
 * waitid(2). For a process that ends with the child: the handlers stay.
 */
long ctr_wait_forwarding(int pidfd, uint64_t mask, void *info)
{
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = forward;
  action.sa_flags = SA_RESTART;
  forward_to = pidfd;
  for (int signal = 1; signal <= 63; signal++)
    if (mask >> signal & 1 && sigaction(signal, &action, NULL) < 0)
      return -errno;
  while (syscall(SYS_waitid, 3 /* P_PIDFD */, pidfd, info, WEXITED, NULL) < 0)
    if (errno != EINTR)
      return -errno;
  return 0;
}
