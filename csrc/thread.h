/* What threads and the interpreter, which share a struct in its memory, tell each other by. */
#ifndef CTR_THREAD_H
#define CTR_THREAD_H

#include "ctr.h"

#include <linux/futex.h>
#include <pthread.h>

#define LOAD(word) __atomic_load_n(&(word), __ATOMIC_SEQ_CST)
#define STORE(word, value) __atomic_store_n(&(word), (value), __ATOMIC_SEQ_CST)

static inline void ring(uint32_t *bell)
{
  __atomic_add_fetch(bell, 1, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Returns when the bell has been rung since it read `heard`; perhaps earlier. */
static inline void hear(uint32_t *bell, uint32_t heard)
{
  syscall(SYS_futex, bell, FUTEX_WAIT_PRIVATE, heard, NULL, NULL, 0);
}

static inline long write_all(int fd, const char *data, uint64_t size)
{
  while (size > 0) {
    long written = syscall(SYS_write, fd, data, size);
    if (written == -1 && errno != EINTR)
      return -errno;
    if (written > 0) {
      data += written;
      size -= (uint64_t)written;
    }
  }
  return 0;
}

#endif
