/*
 * Starts a further program in a container for `ctr oci exec`, and for a supervisor whose container may trace
 * (CAP_SYS_PTRACE, CVE-2016-9962): what is visible in there until execve has nothing of ctr's, neither its executable nor
 * its memory nor its descriptors. A static program of its own without the C library, run from a sealed memfd, outside of
 * the container until it joins; what is to be done was decided and written down by internal/sys/joiner.ts.
 *
 *   ctr-joiner DESCRIPTOR      of a file that holds a struct joined and, from REQUEST_OFFSET on, a struct ctr_spawn with
 *                              all it points to, by the addresses that it has when it is mapped at REQUEST_ADDRESS
 *
 * It ends when the program has made its execve, or has failed to. The program is the child of its own parent.
 */
#include "spawn.h"
#include "static.h"

#include <sys/mman.h>

#define REQUEST_ADDRESS 0x1000000000 /* 64 GiB: below the end of every address space, above a static program */
#define REQUEST_OFFSET 65536         /* a multiple of every page size */

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/*
 * What has come of it. Without a pid and an error this program was ended by the filter it gave itself; without an error the
 * program runs, even if this one was ended while it waited.
 */
struct joined {
  int64_t pid, failed_step, failed_errno;
};

static int number(const char *digits)
{
  int value = 0;
  for (; *digits >= '0' && *digits <= '9' && value < 1 << 20; digits++)
    value = 10 * value + *digits - '0';
  return *digits ? -1 : value;
}

static void *map(void *at, size_t size, int flags, int fd, long offset)
{
  void *mapped = (void *)syscall(SYS_mmap, at, size, PROT_READ | PROT_WRITE, flags, fd, offset);
  /* Should a container have made this file its program, this is as far as it comes. */
  if (mapped == MAP_FAILED)
    finish(127);
  return mapped;
}

/* They were placed without it; close_range(2) does the same only since kernel 5.11. */
static void mark_for_execve(int first, int last)
{
  for (int fd = first; fd <= last; fd++)
    syscall(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
}

static int join(struct ctr_spawn *spawn, struct failure *failure)
{
  if (ctr_enter_cgroups(spawn, failure) < 0 || ctr_join_namespaces(spawn, failure) < 0)
    return -1;
  /* Itself it stays where it is: this is for what it starts (setns(2)). */
  if (syscall(SYS_setns, (int)spawn->pid_namespace_fd, CLONE_NEWPID) < 0)
    return fail(failure, STEP_JOIN);
  return ctr_join_new_keyring(spawn, failure);
}

/* For a filter that forbids what ctr_start_program does under it: the program confines itself. */
static int start_directly(struct ctr_spawn *spawn, struct failure *failure)
{
  struct failure *report = pointer(spawn->report);
  long pid = ctr_clone_program(spawn);
  if (pid != 0)
    return pid < 0 ? fail(failure, STEP_CLONE) : 0;
  if (spawn->new_session && syscall(SYS_setsid) < 0)
    fail(report, STEP_SESSION);
  else
    ctr_exec_process(pointer(spawn->process), report);
  finish(127);
}

__attribute__((noreturn, used)) void ctr_static_main(long *stack)
{
  syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
  int fd = stack[0] == 2 ? number((const char *)stack[2]) : -1;
  long size = syscall(SYS_lseek, fd, 0L, SEEK_END);
  if (size <= REQUEST_OFFSET + (long)sizeof(uint64_t))
    finish(127);
  struct joined *joined = map(NULL, sizeof *joined, MAP_SHARED, fd, 0);
  uint64_t *request = map((void *)REQUEST_ADDRESS, (size_t)(size - REQUEST_OFFSET), MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, REQUEST_OFFSET);
  struct failure *report = map(NULL, sizeof *report, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  struct failure failure = {0, 0};
  struct ctr_spawn *spawn = pointer(*request);
  const struct ctr_process *process = pointer(spawn->process);
  spawn->report = (uint64_t)(uintptr_t)report;
  spawn->program_pid = (uint64_t)(uintptr_t)&joined->pid;
  mark_for_execve((int)process->first_fd, fd);
  /* What has come of it is told by this process alone: whoever traces the program has no part in it. */
  if (syscall(SYS_madvise, joined, sizeof *joined, MADV_DONTFORK) < 0)
    fail(&failure, STEP_CLONE);
  else if (join(spawn, &failure) == 0)
    (void)(spawn->is_watched ? ctr_start_program(spawn, &failure) : start_directly(spawn, &failure));
  if (report->error != 0)
    failure = *report;
  joined->failed_step = failure.step;
  joined->failed_errno = failure.error;
  finish(0);
}
