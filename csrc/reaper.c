/*
 * PID 1 of a container started with --init: runs the program as its child, passes signals on to it, reaps
 * every orphan, and ends as the program ended. A static program of its own without the C library, run from
 * a sealed memfd: ctr's executable would keep some 20 MB alive to do this.
 *
 *   ctr-init FILE ARGUMENT0 [ARGUMENT...]        FILE is an absolute path, found by ctr's init
 *
 * Exit: the program's status, or 128 + its signal; 126/127 if it cannot be run (init checks that before).
 */
#include <asm/unistd.h>
#include <errno.h>
#include <linux/sched.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
static long call6(long n, long a, long b, long c, long d, long e, long f)
{
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
}
__asm__(".globl _start\n_start:\n xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call reaper_main\n hlt\n");
#elif defined(__aarch64__)
static long call6(long n, long a, long b, long c, long d, long e, long f)
{
  register long x8 __asm__("x8") = n;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
__asm__(".globl _start\n_start:\n mov x29,#0\n mov x30,#0\n mov x0,sp\n and sp,x0,#-16\n bl reaper_main\n brk #1\n");
#else
#error "ctr knows x86-64 and arm64"
#endif

#define CALL(n, a, b, c, d) call6((n), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

enum { SIGKILL_ = 9, SIGCHLD_ = 17, SIGSTOP_ = 19, SIGTSTP_ = 20, SIGTTIN_ = 21, SIGTTOU_ = 22, SIG_SETMASK_ = 2, WNOHANG_ = 1 };

static void finish(long status)
{
  for (;;)
    CALL(__NR_exit_group, status, 0, 0, 0);
}

__attribute__((noreturn, used)) void reaper_main(long *stack)
{
  long argc = stack[0];
  char **argv = (char **)(stack + 1);
  char **envp = argv + argc + 1;
  uint64_t all = ~0ULL;
  uint64_t none = 0;
  if (argc < 3)
    finish(125);

  /* All signals are taken by rt_sigtimedwait below, so none is lost between fork and wait. */
  CALL(__NR_rt_sigprocmask, SIG_SETMASK_, &all, 0, sizeof all);
  long child = CALL(__NR_clone, SIGCHLD_, 0, 0, 0);
  if (child == 0) {
    /*
     * Its own process group in the foreground, so that a terminal's signals reach the program and not PID 1.
     * Without a terminal TIOCSPGRP fails with ENOTTY, which is right.
     */
    CALL(__NR_setpgid, 0, 0, 0, 0);
    int self = (int)CALL(__NR_getpid, 0, 0, 0, 0);
    CALL(__NR_ioctl, 0, 0x5410 /* TIOCSPGRP */, &self, 0);
    CALL(__NR_rt_sigprocmask, SIG_SETMASK_, &none, 0, sizeof none);
    long error = CALL(__NR_execve, argv[1], argv + 2, envp, 0);
    finish(error == -ENOENT ? 127 : 126);
  }
  if (child < 0)
    finish(125);

  for (;;) {
    int status;
    long pid;
    while ((pid = CALL(__NR_wait4, -1, &status, WNOHANG_, 0)) > 0) {
      if (pid != child)
        continue;
      finish((status & 0x7f) == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f));
    }
    long signal = CALL(__NR_rt_sigtimedwait, &all, 0, 0, sizeof all);
    if (signal > 0 && signal != SIGCHLD_ && signal != SIGTTIN_ && signal != SIGTTOU_)
      CALL(__NR_kill, child, signal, 0, 0);
  }
}
