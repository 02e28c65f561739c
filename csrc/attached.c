/* The second look at a mount: whether its name, too, leads to it. */
#include "ctr.h"

/* struct open_how of openat2(2) and the start of struct statx of statx(2), which older headers lack. */
struct how {
  uint64_t flags, mode, resolve;
};

struct status {
  uint32_t mask, block_size;
  uint64_t attributes;
  uint32_t links, uid, gid;
  uint16_t mode, spare;
  uint64_t inode, size, blocks, attributes_mask, times[8];
  uint32_t device_major, device_minor, file_system_major, file_system_minor;
  uint64_t more[14];
};

_Static_assert(sizeof(struct status) == 256, "struct statx has 256 bytes");

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000 /* kernel 5.8 */
#endif

static int look(int fd, struct status *status)
{
  return (int)syscall(SYS_statx, fd, "", AT_EMPTY_PATH, 0x7ff /* STATX_BASIC_STATS */, status);
}

/* 1 if `path`, resolved below `root`, is the root of the mount that `tree` is a descriptor of, else 0; -errno if it cannot be seen. */
long ctr_is_attached(int root, const char *path, uint64_t resolve, int tree)
{
  struct how how = {.flags = O_PATH | O_CLOEXEC, .resolve = resolve};
  struct status found, ours;
  int fd, failed;
  do
    fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
  while (fd < 0 && errno == EINTR);
  if (fd < 0)
    return -errno;
  failed = look(fd, &found) < 0 || look(tree, &ours) < 0 ? errno : 0;
  syscall(SYS_close, fd);
  if (failed != 0)
    return -failed;
  return found.inode == ours.inode && found.file_system_major == ours.file_system_major &&
         found.file_system_minor == ours.file_system_minor && (found.attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}
