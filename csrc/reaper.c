/*
 * PID 1 of a container started with --init: runs the program as its child, passes signals on to it, reaps
 * every orphan, and ends as the program ended. A static program of its own without the C library, run from
 * a sealed memfd: ctr's executable would keep some 20 MB alive to do this.
 *
 *   ctr-init FILE ARGUMENT0 [ARGUMENT...]        FILE is an absolute path, found by ctr's init
 *
 * Exit: the program's status, or 128 + its signal; 126/127 if it cannot be run (init checks that before).
 */
#include "static.h"

enum { SIGKILL_ = 9, SIGCHLD_ = 17, SIGSTOP_ = 19, SIGTSTP_ = 20, SIGTTIN_ = 21, SIGTTOU_ = 22, SIG_SETMASK_ = 2, WNOHANG_ = 1 };

/* Into the container's standard error: by now nobody else could tell. */
static void say(const char *text)
{
  long length = 0;
  while (text[length] != 0)
    length++;
  CALL(__NR_write, 2, text, length, 0);
}

__attribute__((noreturn)) static void fail(const char *file, long error)
{
  say("ctr: exec: \"");
  say(file);
  say(error == -ENOENT    ? "\": no such file or directory\n"
      : error == -EACCES  ? "\": permission denied\n"
      : error == -ENOEXEC ? "\": exec format error\n"
      : error == -E2BIG   ? "\": argument list too long\n"
                          : "\": it cannot be executed\n");
  finish(error == -ENOENT ? 127 : 126);
}

__attribute__((noreturn, used)) void ctr_static_main(long *stack)
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
    fail(argv[1], error);
  }
  if (child < 0) {
    say("ctr: --init: no process more is allowed beside it (--pids-limit)\n");
    finish(125);
  }

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
