/* Questions that a command asks at every start, each answered by one call from TypeScript. */
#include "ctr.h"

/* Reads all that fits of a small file. */
static long read_small(const char *path, char *buffer, size_t size)
{
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  long got = syscall(SYS_read, fd, buffer, size);
  long result = got < 0 ? -errno : got;
  syscall(SYS_close, fd);
  return result;
}

static int64_t number_at(const char *text, const char *end)
{
  int64_t number = 0;
  for (; text < end && *text >= '0' && *text <= '9'; text++)
    number = number * 10 + (*text - '0');
  return number;
}

/* The start time in a line of /proc/<pid>/stat (proc_pid_stat(5), field 22), or -1 for a process that has ended. */
static int64_t start_time_of(const char *stat, const char *end)
{
  /* Field 2 is the name in brackets, and may hold brackets and blanks: what follows the last bracket is numbers. */
  const char *at = end;
  while (at > stat && at[-1] != ')')
    at--;
  if (at == stat || end - at < 2)
    return -1;
  at++;
  if (*at == 'Z' || *at == 'X')
    return -1;
  for (int field = 3; field < 22; field++) {
    while (at < end && *at != ' ')
      at++;
    if (at++ >= end)
      return -1;
  }
  return number_at(at, end);
}

/*
 * How many of the pairs (pid, start time; numbers as TypeScript has them), from the first on, are processes that run; all of
 * them if the result is `count`. A pid alone may be another's by now.
 */
long ctr_count_running(const double *pairs, uint64_t count)
{
  for (uint64_t i = 0; i < count; i++) {
    char digits[24];
    size_t length = 0;
    for (int64_t rest = (int64_t)pairs[2 * i]; rest > 0 && length < sizeof digits; rest /= 10)
      digits[length++] = (char)('0' + rest % 10);
    char path[sizeof "/proc//stat" + sizeof digits];
    char *to = path;
    memcpy(to, "/proc/", 6);
    to += 6;
    while (length > 0)
      *to++ = digits[--length];
    memcpy(to, "/stat", 6);
    char stat[1024];
    long got = read_small(path, stat, sizeof stat);
    if (got == -ENOENT || got == -ESRCH)
      return (long)i;
    if (got < 0)
      return got;
    if (start_time_of(stat, stat + got) != (int64_t)pairs[2 * i + 1])
      return (long)i;
  }
  return (long)count;
}

/* 1 if there is something in the directory; 0 if there is nothing, or no directory. */
long ctr_has_entries(const char *path)
{
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0)
    return errno == ENOENT ? 0 : -errno;
  char entries[512] __attribute__((aligned(8)));
  long got = syscall(SYS_getdents64, fd, entries, sizeof entries);
  long result = got < 0 ? -errno : 0;
  /* struct linux_dirent64: inode, offset, length of the entry, type, name. */
  for (long at = 0; at < got && result == 0; at += *(unsigned short *)(entries + at + 16)) {
    const char *name = entries + at + 19;
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
      result = 1;
  }
  syscall(SYS_close, fd);
  return result;
}
