/* Of the static programs: the entry, what the compiler may call whatever is asked of it, and syscall(2). */
#include "static.h"

#include <stdarg.h>

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call ctr_static_main\n hlt\n");
#else
__asm__(".globl _start\n_start:\n mov x29,#0\n mov x30,#0\n mov x0,sp\n and sp,x0,#-16\n bl ctr_static_main\n brk #1\n");
#endif

void *memset(void *to, int value, size_t size)
{
  for (volatile char *at = to; size > 0; size--)
    *at++ = (char)value;
  return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
  volatile char *at = to;
  for (const char *byte = from; size > 0; size--)
    *at++ = *byte++;
  return to;
}

size_t strlen(const char *text)
{
  size_t size = 0;
  while (((const volatile char *)text)[size])
    size++;
  return size;
}

/* A program of one thread. */
int *__errno_location(void)
{
  static int error;
  return &error;
}

long syscall(long number, ...)
{
  long words[6];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++)
    words[i] = va_arg(list, long);
  va_end(list);
  long result = call6(number, words[0], words[1], words[2], words[3], words[4], words[5]);
  if (result >= 0 || result < -4095)
    return result;
  *__errno_location() = (int)-result;
  return -1;
}
