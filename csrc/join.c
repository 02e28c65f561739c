/* What a process that was just made enters, before anything else: system calls only, as everywhere before execve(2). */
#include "spawn.h"

#include <linux/keyctl.h>

/*
 * The cgroups of v1, so that whatever this process makes is inside. "0" into `tasks` moves the one thread that writes
 * without the kernel's global lock (kernel 5.4): 0.02 ms, where a pid into `cgroup.procs` waits 6 ms for a grace period.
 * Only a process of a single thread may do it so.
 */
int ctr_enter_cgroups(const struct ctr_spawn *spawn, struct failure *failure)
{
  const struct ctr_process *process = pointer(spawn->process);
  /* config.md#linux-process, execCPUAffinity: even before the cgroup. */
  if (process && process->initial_cpus && syscall(SYS_sched_setaffinity, 0, CPU_MASK_BYTES, pointer(process->initial_cpus)) < 0)
    return fail(failure, STEP_SCHEDULER);
  const int32_t *task_fds = pointer(spawn->task_fds);
  for (int64_t i = 0; i < spawn->task_fd_count; i++)
    if (syscall(SYS_write, task_fds[i], "0", 1) < 0)
      return fail(failure, STEP_CGROUP);
  return 0;
}

int ctr_join_namespaces(const struct ctr_spawn *spawn, struct failure *failure)
{
  const struct ctr_process *process = pointer(spawn->process);
  const int32_t *joins = pointer(spawn->joins);
  if (process) {
    /* Before any mount namespace is joined: what is at /proc in there is the container's affair. */
    if (ctr_set_labels(process, failure) < 0)
      return -1;
    ctr_permit_limits(process);
  }
  for (int64_t i = 0; i < spawn->join_count; i++)
    if (syscall(SYS_setns, joins[2 * i], joins[2 * i + 1]) < 0)
      return fail(failure, STEP_JOIN);
  return 0;
}

/*
 * The caller's keys are not for a container, nor for what looks after it: a new session keyring (keyctl(2)). A kernel may
 * have none; a supervisor's own filter refuses the call, and its keyring is a new one already.
 */
int ctr_join_new_keyring(const struct ctr_spawn *spawn, struct failure *failure)
{
  if (spawn->new_session && syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EPERM)
    return fail(failure, STEP_SESSION);
  return 0;
}
