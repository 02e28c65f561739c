/* What threads and the interpreter, which share a struct in its memory, tell each other by. */
#ifndef CTR_THREAD_H
#define CTR_THREAD_H

#include "ctr.h"

#include <linux/futex.h>
#include <pthread.h>

/* glibc 2.34 moved the threads into libc.so.6 under a new version; the old one is there too, and on older systems. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which put their own in front */
#if defined(__x86_64__)
__asm__(".symver pthread_create, pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_join, pthread_join@GLIBC_2.2.5");
#elif defined(__aarch64__)
__asm__(".symver pthread_create, pthread_create@GLIBC_2.17");
__asm__(".symver pthread_join, pthread_join@GLIBC_2.17");
#endif
#endif

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
