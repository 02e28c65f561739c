/*
 * Opens network namespaces for netd, which is in a Landlock domain and may look into no process outside of it
 * (cmd/netd/domain.ts). A static program of its own without the C library, run from a sealed memfd.
 *
 * Descriptor 0 is its end of a pair of SOCK_SEQPACKET sockets. A packet is a path; the answer is an errno of four bytes, 0
 * with the descriptor beside it. What is no network namespace is not handed out, and nothing else is ever opened for
 * reading. It ends when nobody is at the other end.
 */
#include "static.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statfs.h>

#ifndef CLONE_NEWNET
#define CLONE_NEWNET 0x40000000
#endif
#define NSFS_MAGIC_ 0x6e736673

static void name_descriptor(char *name, long fd)
{
  char digits[12];
  int count = 0;
  do
    digits[count++] = (char)('0' + fd % 10);
  while ((fd /= 10) > 0);
  memcpy(name, "/proc/self/fd/", 14);
  for (name += 14; count > 0;)
    *name++ = digits[--count];
  *name = 0;
}

/* Looked at before it is opened: merely opening a device or a pipe may do something. */
static long open_namespace(const char *path)
{
  struct statfs found;
  char name[32];
  long place = CALL(__NR_openat, AT_FDCWD, path, O_CLOEXEC | 010000000 /* O_PATH */, 0);
  if (place < 0)
    return place;
  long result = CALL(__NR_fstatfs, place, &found, 0, 0);
  if (result == 0 && found.f_type != NSFS_MAGIC_)
    result = -EINVAL;
  if (result == 0) {
    name_descriptor(name, place);
    result = CALL(__NR_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC, 0);
  }
  CALL(__NR_close, place, 0, 0, 0);
  if (result >= 0 && CALL(__NR_ioctl, result, NS_GET_NSTYPE, 0, 0) != CLONE_NEWNET) {
    CALL(__NR_close, result, 0, 0, 0);
    result = -EINVAL;
  }
  return result;
}

static void answer(long result)
{
  int32_t error = result < 0 ? (int32_t)-result : 0;
  struct iovec part = {&error, sizeof error};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int32_t))];
  } control = {.header = {CMSG_LEN(sizeof(int32_t)), SOL_SOCKET, SCM_RIGHTS}};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (result >= 0) {
    int32_t fd = (int32_t)result;
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
  }
  if (CALL(__NR_sendmsg, 0, &message, MSG_NOSIGNAL, 0) < 0)
    finish(1);
  if (result >= 0)
    CALL(__NR_close, result, 0, 0, 0);
}

__attribute__((noreturn, used)) void ctr_static_main(long *stack)
{
  static char path[4096];
  (void)stack;
  for (;;) {
    long size = call6(__NR_recvfrom, 0, (long)path, sizeof path - 1, 0, 0, 0);
    if (size == -EINTR)
      continue;
    if (size <= 0)
      finish(size == 0 ? 0 : 1);
    path[size] = 0;
    answer(open_namespace(path));
  }
}
