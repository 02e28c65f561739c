/* Waiting for a child on behalf of whoever sends signals. */
#include "ctr.h"

/* Whom the signals of this process go to while it waits; a handler may run in any of its threads. */
static volatile int forward_to = -1;

static void forward(int signal)
{
  int before = errno;
  syscall(SYS_pidfd_send_signal, forward_to, signal, NULL, 0);
  errno = before;
}

/*
 * Waits for the end of a child, to which the signals in `mask` (bit n is signal n) go meanwhile. Fills the siginfo_t of
 * waitid(2). For a process that ends with the child: the handlers stay.
 */
long ctr_wait_forwarding(int pidfd, uint64_t mask, void *info)
{
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = forward;
  action.sa_flags = SA_RESTART;
  forward_to = pidfd;
  for (int signal = 1; signal <= 63; signal++)
    if (mask >> signal & 1 && sigaction(signal, &action, NULL) < 0)
      return -errno;
  while (syscall(SYS_waitid, 3 /* P_PIDFD */, pidfd, info, WEXITED, NULL) < 0)
    if (errno != EINTR)
      return -errno;
  return 0;
}
