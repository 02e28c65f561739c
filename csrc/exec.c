/*
 * The last steps before execve(2): what the program is confined by, and the program. Whoever comes here has its memory from
 * a parent that waits, or is one of many threads: system calls only.
 */
#include "spawn.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/socket.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4U
#endif

#define CAP_SYS_ADMIN_BIT (1ULL << 21)

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

int ctr_set_labels(const struct ctr_process *process, struct failure *failure)
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
void ctr_reset_signals(void)
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
  ctr_reset_signals();
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

static int take_terminal(const struct ctr_process *process, struct failure *failure)
{
  if (process->controlling_terminal && syscall(SYS_ioctl, 0, TIOCSCTTY, 0) < 0)
    return fail(failure, STEP_TERMINAL);
  return 0;
}

void ctr_exec_process(const struct ctr_process *process, struct failure *failure)
{
  if (take_terminal(process, failure) == 0 && confine(process, CLOSE_RANGE_CLOEXEC, failure) == 0)
    run_program(process, failure);
}

/*
 * The process that becomes the program, a child of the caller's parent with a copy of this memory; the caller goes on when
 * it has made its execve. Not clone3: filters refuse it. The exit signal is the caller's (clone(2), CLONE_PARENT). Its pid
 * is told by the kernel, before anything else can happen to the caller.
 */
long ctr_clone_program(const struct ctr_spawn *spawn)
{
  return syscall(SYS_clone, (unsigned long)(CLONE_PARENT | CLONE_VFORK | CLONE_PARENT_SETTID), 0L, pointer(spawn->program_pid), 0L, 0L, 0L);
}

/*
 * The last steps of a program that joins a pid namespace in which somebody may trace it (CAP_SYS_PTRACE, CVE-2016-9962): the
 * process that is visible there is born with nothing left to be had of it. The caller, which no container sees, has joined
 * the other namespaces, and is confined here, filter and all; what it then starts has a copy of this memory, not the memory
 * itself, no descriptors but the program's, and is the child of the caller's parent. setsid and the terminal are what only
 * the process itself can do.
 */
int ctr_start_program(struct ctr_spawn *spawn, struct failure *failure)
{
  const struct ctr_process *process = pointer(spawn->process);
  struct failure *report = pointer(spawn->report);
  if (confine(process, 0, failure) < 0)
    return -1;
  /* What the filter needed must not be visible there until execve takes it away. */
  if (needs_admin(process) && set_capabilities(process->effective, process->permitted, process->inheritable) < 0)
    return fail(failure, STEP_CLONE);
  long pid = ctr_clone_program(spawn);
  if (pid != 0)
    return pid < 0 ? fail(failure, STEP_CLONE) : 0;
  if (spawn->new_session && syscall(SYS_setsid) < 0)
    fail(report, STEP_SESSION);
  else if (take_terminal(process, report) == 0)
    run_program(process, report);
  for (;;)
    syscall(SYS_exit_group, 127);
}

/* Runs the process in place of the caller. Returns -errno, with the step in *failed_step. */
long ctr_exec(const struct ctr_process *process, int64_t *failed_step)
{
  struct failure failure = {0, 0};
  ctr_exec_process(process, &failure);
  *failed_step = failure.step;
  return -failure.error;
}

/* In a user namespace nobody may raise a limit: before one is joined they are made high enough to be set in the last step. */
void ctr_permit_limits(const struct ctr_process *process)
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
