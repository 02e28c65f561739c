/*
 * umount2(".", MNT_DETACH) beside what its caller does. What is detached is out of everybody's reach at once, but the call
 * returns only after a grace period of RCU (namespace_unlock() in the kernel's fs/namespace.c): milliseconds on a machine
 * whose processors are all busy.
 */
#include "thread.h"

#include <sys/mount.h>

/* Of internal/sys/detach.ts. */
struct ctr_detach {
  uint64_t thread;
  int32_t directory; /* what "." is */
  int32_t failed_errno;
};

static void *detach(void *argument)
{
  struct ctr_detach *job = argument;
  /* A current directory of its own: the caller goes on to another one (unshare(2)). */
  if (syscall(SYS_unshare, CLONE_FS) < 0 || syscall(SYS_fchdir, job->directory) < 0 ||
      syscall(SYS_umount2, ".", MNT_DETACH) < 0)
    job->failed_errno = errno;
  return NULL;
}

/* `directory` stays open, and the structure where it is, until `end`, which is to be called once. */
long ctr_detach_begin(struct ctr_detach *job)
{
  pthread_t thread;
  int failed = pthread_create(&thread, NULL, detach, job);
  if (failed != 0)
    return -failed;
  job->thread = (uint64_t)thread;
  return 0;
}

/* Waits until it is detached. */
long ctr_detach_end(struct ctr_detach *job)
{
  int failed = pthread_join((pthread_t)job->thread, NULL);
  return failed != 0 ? -failed : -job->failed_errno;
}
