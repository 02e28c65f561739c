/* Making user namespaces (user_namespaces(7)). */
#include "spawn.h"

/* A process of a new user namespace, for as long as nobody has ended the other end of its pipe. */
__attribute__((noreturn)) static void keep_namespace(const int *pipe_ends)
{
  char byte;
  syscall(SYS_close, pipe_ends[1]);
  while (syscall(SYS_read, pipe_ends[0], &byte, 1) < 0 && errno == EINTR)
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
  long result = syscall(SYS_clone, (unsigned long)CLONE_NEWUSER, 0L, 0L, 0L, 0L);
  if (result == 0)
    keep_namespace(pipe_ends);
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
  syscall(SYS_close, pipe_ends[0]);
  syscall(SYS_close, pipe_ends[1]);
  while (syscall(SYS_wait4, pid, NULL, 0x40000000 /* __WALL */, NULL) < 0 && errno == EINTR)
    ;
  return result;
}
