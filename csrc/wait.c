/* Waiting for a child on behalf of whoever sends signals. */
#include "ctr.h"

/*
 * Whom the signals of this process go to; a handler may run in any of its threads. Those that come before there is somebody
 * are held, a bit for each.
 */
static volatile int forward_to = -1;
static uint64_t held;

static void forward(int signal)
{
  int before = errno;
  if (forward_to < 0)
    __atomic_fetch_or(&held, 1ULL << signal, __ATOMIC_SEQ_CST);
  else
    syscall(SYS_pidfd_send_signal, forward_to, signal, NULL, 0);
  errno = before;
}

/* From here on the signals in `mask` (bit n is signal n) do nothing to this process: they are held for a child to be. */
long ctr_hold_signals(uint64_t mask)
{
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = forward;
  action.sa_flags = SA_RESTART;
  for (int signal = 1; signal <= 63; signal++)
    if (mask >> signal & 1 && sigaction(signal, &action, NULL) < 0)
      return -errno;
  return 0;
}

/* Sends what was held, and all that comes from now on, to a child. For a process that ends with it: the handlers stay. */
long ctr_forward_signals(int pidfd)
{
  forward_to = pidfd;
  uint64_t before = __atomic_exchange_n(&held, 0, __ATOMIC_SEQ_CST);
  for (int signal = 1; signal <= 63; signal++)
    if (before >> signal & 1)
      syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
  return 0;
}

/* Waits for the end of a child, to which the signals in `mask` go meanwhile. Fills the siginfo_t of waitid(2). */
long ctr_wait_forwarding(int pidfd, uint64_t mask, void *info)
{
  long result = ctr_hold_signals(mask);
  if (result < 0)
    return result;
  ctr_forward_signals(pidfd);
  while (syscall(SYS_waitid, 3 /* P_PIDFD */, pidfd, info, WEXITED, NULL) < 0)
    if (errno != EINTR)
      return -errno;
  return 0;
}
