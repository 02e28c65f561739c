/*
 * The C half under sanitizers: its wrappers and its spawning. Each check prints its line when it fails;
 * the status is the number of checks that failed. test/kernel/c-half.test.ts compiles and runs it.
 */
#include "../../csrc/spawn.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>

long ctr_openat(int dirfd, const char *path, int flags, unsigned mode);
long ctr_openat2(int dirfd, const char *path, const void *how, uint64_t size);
long ctr_close(int fd);
long ctr_dup3(int from, int to, int flags);
long ctr_fcntl(int fd, int command, long argument);
long ctr_ioctl(int fd, uint64_t request, void *argument);
long ctr_pipe2(int *fds, int flags);
long ctr_memfd_create(const char *name, unsigned flags);
long ctr_poll(void *fds, uint64_t count, int timeout_ms);
long ctr_read(int fd, void *buffer, uint64_t size);
long ctr_write(int fd, const void *buffer, uint64_t size);
long ctr_write_pair(int fd, const void *first, uint64_t first_size, const void *second, uint64_t second_size);
long ctr_lseek(int fd, int64_t offset, int whence);
long ctr_statx(int dirfd, const char *path, int flags, unsigned mask, void *out);
long ctr_mkdirat(int dirfd, const char *path, unsigned mode);
long ctr_unlinkat(int dirfd, const char *path, int flags);
long ctr_readlinkat(int dirfd, const char *path, void *buffer, uint64_t size);
long ctr_getdents64(int fd, void *buffer, uint64_t size);
long ctr_mount(const char *source, const char *target, const char *type, uint64_t flags, const char *data);
long ctr_fsopen(const char *type, unsigned flags);
long ctr_kill(int pid, int signal);
long ctr_pidfd_open(int pid, unsigned flags);
long ctr_pidfd_send_signal(int pidfd, int signal);
long ctr_setns(int fd, int kind);
long ctr_waitid(int kind, int id, void *info, int options);
long ctr_socketpair(int family, int type, int protocol, int *fds);
long ctr_getsockopt(int fd, int level, int option, void *value, unsigned *size);
long ctr_umask(unsigned mask);
long ctr_chdir(const char *path);

static int failures;

static void check_equal(long actual, long expected, const char *what, int line)
{
  if (actual == expected)
    return;
  failures++;
  fprintf(stderr, "line %d: %s is %ld, not %ld\n", line, what, actual, expected);
}

#define IS(actual, expected) check_equal((long)(actual), (long)(expected), #actual, __LINE__)
#define HOLDS(claim) check_equal(!!(claim), 1, #claim, __LINE__)

static uint64_t address(const void *value) { return (uint64_t)(uintptr_t)value; }

/* Open descriptors of this process, less the one that counts. */
static int descriptors(void)
{
  DIR *directory = opendir("/proc/self/fd");
  int count = -1;
  if (!directory)
    return -1;
  for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
    count += entry->d_name[0] != '.';
  closedir(directory);
  return count;
}

/* True if this process has no child, running or dead. */
static int is_childless(void) { return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD; }

/*
 * ctr_spawn, whose child runs on this very stack and never returns: it leaves the marks of its frames below ours, and the
 * address sanitizer would take them for those of whatever is called next.
 */
__attribute__((noinline, no_sanitize("address"))) static long start(struct ctr_spawn *spawn)
{
  enum { MARKED = 256 << 10 };
  long result = ctr_spawn(spawn);
  char *frame = __builtin_frame_address(0);
  __asan_unpoison_memory_region(frame - MARKED, MARKED);
  return result;
}

static char *const no_environment[] = {NULL};
static const uint64_t every_capability = ~0ULL;

static struct ctr_process process_of(char **candidates, char **argv)
{
  return (struct ctr_process){
      .bounding = every_capability,
      .effective = 0,
      .permitted = 0,
      .candidates = address(candidates),
      .argv = address(argv),
      .envp = address(no_environment),
      .umask = -1,
      .io_priority = -1,
      .personality = -1,
      .agent = -1,
      .first_fd = 3,
      .exec_fd = -1,
  };
}

static struct ctr_spawn spawn_of(const struct ctr_process *process, const int32_t *fds, int64_t fd_count)
{
  return (struct ctr_spawn){
      .cgroup_fd = -1,
      .exec_fd = -1,
      .fds = address(fds),
      .fd_count = fd_count,
      .pid_namespace_fd = -1,
      .process = address(process),
      .pidfd = -1,
      .user_namespace_fd = -1,
  };
}

/* Waits for a child through ctr_waitid; its status, or 128 + its signal. */
static int status_of(long pid)
{
  siginfo_t info;
  memset(&info, 0, sizeof info);
  IS(ctr_waitid(P_PID, (int)pid, &info, WEXITED), 0);
  IS(info.si_pid, pid);
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static void wrappers_return_errno(void)
{
  char buffer[256];
  int pair[2];
  unsigned size = sizeof(int);
  int value = 0;
  IS(ctr_openat(AT_FDCWD, "/missing/file", O_RDONLY | O_CLOEXEC, 0), -ENOENT);
  IS(ctr_openat2(AT_FDCWD, "/", buffer, 1), -EINVAL);
  IS(ctr_close(-1), -EBADF);
  IS(ctr_dup3(0, 0, 0), -EINVAL);
  IS(ctr_fcntl(-1, F_GETFL, 0), -EBADF);
  IS(ctr_ioctl(-1, 0, NULL), -EBADF);
  IS(ctr_pipe2(pair, -1), -EINVAL);
  IS(ctr_memfd_create("test", ~0U), -EINVAL);
  IS(ctr_read(-1, buffer, sizeof buffer), -EBADF);
  IS(ctr_write(-1, buffer, 1), -EBADF);
  IS(ctr_write_pair(-1, "a", 1, "b", 1), -EBADF);
  IS(ctr_lseek(-1, 0, SEEK_SET), -EBADF);
  IS(ctr_statx(AT_FDCWD, "/missing", 0, 0, buffer), -ENOENT);
  IS(ctr_mkdirat(AT_FDCWD, "/", 0755), -EEXIST);
  IS(ctr_unlinkat(AT_FDCWD, "/missing", 0), -ENOENT);
  IS(ctr_readlinkat(AT_FDCWD, "/", buffer, sizeof buffer), -EINVAL);
  IS(ctr_getdents64(-1, buffer, sizeof buffer), -EBADF);
  IS(ctr_mount("none", "/missing", "tmpfs", 0, NULL), geteuid() == 0 ? -ENOENT : -EPERM);
  HOLDS(ctr_fsopen("no such file system", 0) < 0);
  IS(ctr_kill(INT_MAX, 0), -ESRCH);
  IS(ctr_pidfd_open(-1, 0), -EINVAL);
  IS(ctr_pidfd_send_signal(-1, 0), -EBADF);
  IS(ctr_setns(-1, 0), -EBADF);
  IS(ctr_waitid(P_PID, INT_MAX, NULL, WEXITED), -ECHILD);
  IS(ctr_socketpair(AF_UNIX, -1, 0, pair), -EINVAL);
  IS(ctr_getsockopt(-1, SOL_SOCKET, SO_TYPE, &value, &size), -EBADF);
  IS(ctr_chdir("/missing"), -ENOENT);
}

static void wrappers_do_their_call(void)
{
  char buffer[8] = "";
  int pair[2];
  IS(ctr_pipe2(pair, O_CLOEXEC), 0);
  IS(ctr_fcntl(pair[0], F_GETFD, 0), FD_CLOEXEC);
  struct pollfd wanted = {.fd = pair[0], .events = POLLIN};
  IS(ctr_poll(&wanted, 1, 0), 0);
  IS(ctr_poll(&wanted, 1, 20), 0);
  IS(ctr_write_pair(pair[1], "ab", 2, "cd", 2), 4);
  IS(ctr_poll(&wanted, 1, -1), 1);
  IS(ctr_read(pair[0], buffer, sizeof buffer), 4);
  IS(memcmp(buffer, "abcd", 4), 0);
  IS(ctr_close(pair[0]), 0);
  IS(ctr_close(pair[1]), 0);
  long before = ctr_umask(077);
  IS(ctr_umask((unsigned)before), 077);
}

static void spawn_runs_a_program(void)
{
  char *argv[] = {"true", NULL};
  char *candidates[] = {"/missing/true", "/bin/true", NULL};
  struct ctr_process process = process_of(candidates, argv);
  int32_t fds[] = {0, 1, 2};
  int before = descriptors();
  struct ctr_spawn spawn = spawn_of(&process, fds, 3);
  long pid = start(&spawn);
  HOLDS(pid > 0);
  IS(spawn.failed_step, STEP_NONE);
  IS(ctr_fcntl((int)spawn.pidfd, F_GETFD, 0), FD_CLOEXEC);
  IS(status_of(pid), 0);
  IS(ctr_close((int)spawn.pidfd), 0);
  IS(descriptors(), before);
  HOLDS(is_childless());
}

static void spawn_fails(struct ctr_spawn spawn, enum step step, int error, int line)
{
  int before = descriptors();
  check_equal(start(&spawn), -error, "ctr_spawn", line);
  check_equal(spawn.failed_step, step, "failed_step", line);
  check_equal(spawn.failed_errno, error, "failed_errno", line);
  check_equal(spawn.pidfd, -1, "pidfd", line);
  check_equal(descriptors(), before, "descriptors", line);
  check_equal(is_childless(), 1, "is_childless", line);
}

static void spawn_tells_what_failed(void)
{
  char *argv[] = {"x", NULL};
  char *missing[] = {"/missing/a", "/missing/b", NULL};
  char *denied[] = {"/missing/a", "/etc/passwd", "/missing/b", NULL};
  char *none[] = {NULL};
  char *good[] = {"/bin/true", NULL};
  int32_t fds[] = {0, 1, 2};
  int32_t bad_fds[] = {0, 9999, 2};
  int32_t bad_join[] = {0, CLONE_NEWNET};
  int32_t bad_task[] = {9999};

  struct ctr_process process = process_of(missing, argv);
  spawn_fails(spawn_of(&process, fds, 3), STEP_EXEC, ENOENT, __LINE__);
  process = process_of(none, argv);
  spawn_fails(spawn_of(&process, fds, 3), STEP_EXEC, ENOENT, __LINE__);
  process = process_of(denied, argv);
  spawn_fails(spawn_of(&process, fds, 3), STEP_EXEC, EACCES, __LINE__);

  process = process_of(good, argv);
  spawn_fails(spawn_of(&process, bad_fds, 3), STEP_STDIO, EBADF, __LINE__);
  int32_t many[257] = {0};
  spawn_fails(spawn_of(&process, many, 257), STEP_STDIO, EINVAL, __LINE__);
  process.cwd = address("/missing");
  spawn_fails(spawn_of(&process, fds, 3), STEP_CHDIR, ENOENT, __LINE__);
  process.cwd = 0;
  process.controlling_terminal = 1;
  int null = (int)ctr_openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
  int32_t no_terminal[] = {null, null, null};
  spawn_fails(spawn_of(&process, no_terminal, 3), STEP_TERMINAL, ENOTTY, __LINE__);
  process.controlling_terminal = 0;
  uint32_t garbage[2] = {~0U, ~0U};
  process.seccomp = address(garbage);
  process.seccomp_count = 1;
  process.no_new_privs = 1;
  spawn_fails(spawn_of(&process, fds, 3), STEP_SECCOMP, EINVAL, __LINE__);
  process.seccomp = 0;

  struct ctr_spawn spawn = spawn_of(&process, fds, 3);
  bad_join[0] = null;
  spawn.joins = address(bad_join);
  spawn.join_count = 1;
  spawn_fails(spawn, STEP_JOIN, EINVAL, __LINE__);
  spawn = spawn_of(&process, fds, 3);
  spawn.pid_namespace_fd = null;
  spawn_fails(spawn, STEP_JOIN, EINVAL, __LINE__);
  spawn = spawn_of(&process, fds, 3);
  spawn.task_fds = address(bad_task);
  spawn.task_fd_count = 1;
  spawn_fails(spawn, STEP_CGROUP, EBADF, __LINE__);
  spawn = spawn_of(&process, fds, 3);
  spawn.user_namespace_fd = null;
  spawn_fails(spawn, STEP_USER_NAMESPACE, EINVAL, __LINE__);
  spawn = spawn_of(&process, fds, 3);
  spawn.cgroup_fd = null;
  spawn_fails(spawn, STEP_CLONE, EBADF, __LINE__);
  spawn = spawn_of(&process, fds, 3);
  spawn.clone_flags = CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWPID;
  spawn_fails(spawn, STEP_CLONE, EINVAL, __LINE__);
  IS(ctr_close(null), 0);
}

/* Runs a shell command with these descriptors as 0, 1, 2, … and gives what it wrote to its descriptor 1. */
static void shell(char *command, const int32_t *fds, int64_t count, int first_fd, char *output, uint64_t size, int reader)
{
  char *argv[] = {"sh", "-c", command, NULL};
  char *candidates[] = {"/bin/sh", NULL};
  struct ctr_process process = process_of(candidates, argv);
  process.first_fd = first_fd;
  struct ctr_spawn spawn = spawn_of(&process, fds, count);
  spawn.new_session = 1;
  long pid = start(&spawn);
  HOLDS(pid > 0);
  if (pid <= 0)
    return;
  IS(status_of(pid), 0);
  long got = ctr_read(reader, output, size - 1);
  output[got < 0 ? 0 : got] = 0;
  IS(ctr_close((int)spawn.pidfd), 0);
}

/* Its root is the first of the map, and it is our child though another process has made it. */
static void user_namespace(void)
{
  int pair[2];
  char output[256];
  int before = descriptors();
  IS(ctr_user_namespace("0 100000 1", "0 100000 1\n1 100000 1"), -EINVAL);
  IS(ctr_user_namespace("nonsense", "0 100000 1"), -EINVAL);
  int space = (int)ctr_user_namespace("0 100000 10\n10 200000 5", "0 300000 10");
  HOLDS(space >= 0);
  IS(ctr_pipe2(pair, O_CLOEXEC), 0);
  int32_t fds[] = {0, pair[1], 2};
  char *argv[] = {"sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' \n' ' '; id -u; id -G; echo $$", NULL};
  char *candidates[] = {"/bin/sh", NULL};
  struct ctr_process process = process_of(candidates, argv);
  struct ctr_spawn spawn = spawn_of(&process, fds, 3);
  spawn.user_namespace_fd = space;
  spawn.clone_flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS;
  long pid = start(&spawn);
  HOLDS(pid > 0);
  if (pid > 0) {
    IS(status_of(pid), 0);
    long got = ctr_read(pair[0], output, sizeof output - 1);
    output[got < 0 ? 0 : got] = 0;
    IS(strcmp(output, " 0 100000 10 10 200000 5 0 300000 10 0\n0\n1\n"), 0);
    IS(ctr_close((int)spawn.pidfd), 0);
  }
  /* What fails in the one that is made there is told, and nobody is left. */
  char *missing[] = {"/missing", NULL};
  process = process_of(missing, argv);
  spawn = spawn_of(&process, fds, 3);
  spawn.user_namespace_fd = space;
  spawn_fails(spawn, STEP_EXEC, ENOENT, __LINE__);
  IS(ctr_close(space), 0);
  IS(ctr_close(pair[0]), 0);
  IS(ctr_close(pair[1]), 0);
  IS(descriptors(), before);
  HOLDS(is_childless());
}

/* The child's own child runs beside it, and is known to it by a descriptor. */
static void first_is_a_grandchild(void)
{
  char *first_argv[] = {"sh", "-c", "echo first; exec sleep 1000", NULL};
  char *candidates[] = {"/bin/sh", NULL};
  char output[64];
  int pair[2];
  IS(ctr_pipe2(pair, O_CLOEXEC), 0);
  struct ctr_process first_process = process_of(candidates, first_argv);
  int32_t first_fds[] = {0, pair[1], 2};
  struct ctr_spawn first = spawn_of(&first_process, first_fds, 3);
  char *argv[] = {"sh", "-c", "p=$(sed -n 's/^Pid:[^0-9]*//p' /proc/$$/fdinfo/3); grep -q \"^PPid:.$$$\" /proc/$p/status && kill $p", NULL};
  struct ctr_process process = process_of(candidates, argv);
  process.first_fd = 4;
  int32_t fds[] = {0, 1, 2, FIRST_PIDFD};
  struct ctr_spawn spawn = spawn_of(&process, fds, 4);
  spawn.first = address(&first);
  long pid = start(&spawn);
  HOLDS(pid > 0);
  IS(status_of(pid), 0);
  long got = ctr_read(pair[0], output, sizeof output - 1);
  IS(got, 6);
  IS(memcmp(output, "first\n", 6), 0);
  IS(ctr_close((int)spawn.pidfd), 0);
  IS(ctr_close(pair[0]), 0);
  IS(ctr_close(pair[1]), 0);
}

/* Neither is there without the other: the pipe has no writer left when the call returns. */
static void first_does_not_outlive_a_failure(void)
{
  /* One process, however far it gets. */
  char *argv[] = {"sh", "-c", "exec sleep 1000", NULL};
  char *candidates[] = {"/bin/sh", NULL};
  char *missing[] = {"/missing", NULL};
  char output[8];
  int pair[2];
  IS(ctr_pipe2(pair, O_CLOEXEC), 0);
  struct ctr_process first_process = process_of(candidates, argv);
  int32_t first_fds[] = {0, pair[1], 2};
  struct ctr_spawn first = spawn_of(&first_process, first_fds, 3);
  struct ctr_process process = process_of(missing, argv);
  int32_t fds[] = {0, 1, 2};
  struct ctr_spawn spawn = spawn_of(&process, fds, 3);
  spawn.first = address(&first);
  spawn_fails(spawn, STEP_EXEC, ENOENT, __LINE__);
  IS(ctr_close(pair[1]), 0);
  IS(ctr_read(pair[0], output, sizeof output), 0);
  IS(ctr_close(pair[0]), 0);

  first_process = process_of(missing, argv);
  process = process_of(candidates, argv);
  first.fds = address(fds);
  spawn_fails(spawn, STEP_EXEC, ENOENT, __LINE__);
}

/* Sources that are each other's targets: 0 ← 1, 1 ← 0, as a naive loop of dup2 gets it wrong. */
static void descriptors_may_overlap(void)
{
  int first[2];
  int second[2];
  char output[64];
  IS(ctr_pipe2(first, O_CLOEXEC), 0);
  IS(ctr_pipe2(second, O_CLOEXEC), 0);
  int saved[3];
  for (int fd = 0; fd < 3; fd++)
    saved[fd] = (int)ctr_fcntl(fd, F_DUPFD_CLOEXEC, 100);
  ctr_dup3(first[1], 0, O_CLOEXEC);
  ctr_dup3(second[0], 1, O_CLOEXEC);
  IS(ctr_write(second[1], "swapped", 7), 7);
  IS(ctr_close(second[1]), 0);
  int32_t fds[] = {1, 0, saved[2]};
  shell("cat", fds, 3, 3, output, sizeof output, first[0]);
  for (int fd = 0; fd < 3; fd++) {
    ctr_dup3(saved[fd], fd, 0);
    ctr_close(saved[fd]);
  }
  IS(strcmp(output, "swapped"), 0);

  /* The same one several times, and nothing beyond them: 0, 1, 2 and the directory that ls itself opens. */
  int32_t same[] = {first[1], first[1], first[1]};
  shell("ls /proc/self/fd | tr '\\n' ' '", same, 3, 3, output, sizeof output, first[0]);
  IS(strcmp(output, "0 1 2 3 "), 0);
  ctr_close(first[0]);
  ctr_close(first[1]);
  ctr_close(second[0]);
}

/* A signal that is ignored or blocked here is neither in the child. */
static void signals_are_reset(void)
{
  int pipe[2];
  char output[256];
  sigset_t blocked;
  sigset_t before;
  IS(ctr_pipe2(pipe, O_CLOEXEC), 0);
  signal(SIGUSR1, SIG_IGN);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  int32_t fds[] = {0, pipe[1], 2};
  shell("grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\n\\t'", fds, 3, 3, output, sizeof output, pipe[0]);
  IS(strcmp(output, "SigBlk:0000000000000000SigIgn:0000000000000000"), 0);
  sigset_t now;
  sigprocmask(SIG_SETMASK, &before, &now);
  HOLDS(sigismember(&now, SIGUSR2));
  signal(SIGUSR1, SIG_DFL);
  ctr_close(pipe[0]);
  ctr_close(pipe[1]);
}

/* ctr_exec replaces the caller; where it fails the caller is told, in a child that may be spoiled by it. */
static void exec_tells_what_failed(void)
{
  pid_t pid = fork();
  if (pid == 0) {
    char *argv[] = {"x", NULL};
    char *missing[] = {"/missing/x", NULL};
    struct ctr_process process = process_of(missing, argv);
    int64_t step = -1;
    long result = ctr_exec(&process, &step);
    _exit(result == -ENOENT && step == STEP_EXEC ? 42 : 1);
  }
  IS(status_of(pid), 42);
  pid = fork();
  if (pid == 0) {
    char *argv[] = {"sh", "-c", "exit 43", NULL};
    char *candidates[] = {"/bin/sh", NULL};
    struct ctr_process process = process_of(candidates, argv);
    process.cwd = address("/tmp");
    process.umask = 027;
    process.no_new_privs = 1;
    int64_t step = -1;
    ctr_exec(&process, &step);
    _exit(1);
  }
  IS(status_of(pid), 43);
}

static void namespace_of(const char *process, const char *kind, char *out, uint64_t size)
{
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/ns/%s", process, kind);
  long length = ctr_readlinkat(AT_FDCWD, path, out, size - 1);
  out[length < 0 ? 0 : length] = 0;
}

/* New namespaces, then a second process that joins them by the first one's pidfd, as ctr exec does. */
static void namespaces_are_made_and_joined(void)
{
  char own[64];
  char *sleep_argv[] = {"sleep", "60", NULL};
  char *sleep_candidates[] = {"/bin/sleep", NULL};
  struct ctr_process sleeper = process_of(sleep_candidates, sleep_argv);
  int32_t fds[] = {0, 1, 2};
  int before = descriptors();
  struct ctr_spawn first = spawn_of(&sleeper, fds, 3);
  first.clone_flags = CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID;
  first.new_session = 1;
  long pid = start(&first);
  HOLDS(pid > 0);
  if (pid <= 0)
    return;

  char name[32];
  char its_uts[64];
  char its_pid[64];
  char expected[160];
  char output[160];
  int pipe[2];
  snprintf(name, sizeof name, "%ld", pid);
  namespace_of(name, "uts", its_uts, sizeof its_uts);
  namespace_of(name, "pid", its_pid, sizeof its_pid);
  namespace_of("self", "uts", own, sizeof own);
  HOLDS(strcmp(its_uts, own) != 0);
  snprintf(expected, sizeof expected, "%s %s ", its_uts, its_pid);

  IS(ctr_pipe2(pipe, O_CLOEXEC), 0);
  /* Of the joined PID namespace /proc here shows nothing: its "self" is the reader's pid there; so it is told by kill. */
  char *argv[] = {"sh", "-c", "readlink /proc/$PPID/ns/uts >/dev/null 2>&1; kill -0 1 && echo $$", NULL};
  char *candidates[] = {"/bin/sh", NULL};
  struct ctr_process process = process_of(candidates, argv);
  int32_t joined_fds[] = {0, pipe[1], 2};
  int32_t joins[] = {(int32_t)first.pidfd, CLONE_NEWUTS | CLONE_NEWIPC};
  struct ctr_spawn second = spawn_of(&process, joined_fds, 3);
  second.joins = address(joins);
  second.join_count = 1;
  second.pid_namespace_fd = first.pidfd;
  long other = start(&second);
  HOLDS(other > 0);
  if (other > 0) {
    IS(status_of(other), 0);
    long got = ctr_read(pipe[0], output, sizeof output - 1);
    output[got < 0 ? 0 : got] = 0;
    /* PID 1 there is the sleeper, so this one is the second. */
    IS(strcmp(output, "2\n"), 0);
    IS(ctr_close((int)second.pidfd), 0);
  }
  /* Children of this process are born in its own PID namespace again. */
  char after[64];
  char mine[64];
  namespace_of("self", "pid", mine, sizeof mine);
  namespace_of("self", "pid_for_children", after, sizeof after);
  IS(strcmp(mine, after), 0);

  IS(ctr_pidfd_send_signal((int)first.pidfd, SIGKILL), 0);
  IS(status_of(pid), 128 + SIGKILL);
  /* What has ended cannot be joined, and that is told. */
  second.failed_step = 0;
  HOLDS(start(&second) < 0);
  IS(second.failed_step, STEP_JOIN);
  ctr_close((int)first.pidfd);
  ctr_close(pipe[0]);
  ctr_close(pipe[1]);
  IS(descriptors(), before);
  HOLDS(is_childless());
}

/* A label that nobody knows ends the start, on every kernel: without its module the file takes nothing. */
static void labels_are_never_left_out(void)
{
  char *argv[] = {"sh", "-c", "exit 0", NULL};
  char *candidates[] = {"/bin/sh", NULL};
  struct ctr_process process = process_of(candidates, argv);
  int32_t fds[] = {0, 1, 2};
  struct ctr_spawn spawn = spawn_of(&process, fds, 3);
  process.apparmor = address("exec nobodys-profile");
  HOLDS(start(&spawn) < 0);
  IS(spawn.failed_step, STEP_APPARMOR);
  HOLDS(spawn.failed_errno == ENOENT || spawn.failed_errno == EINVAL);
  process.apparmor = 0;
  process.selinux = address("nobody:nothing");
  HOLDS(start(&spawn) < 0);
  IS(spawn.failed_step, STEP_SELINUX);
  HOLDS(is_childless());
}

/*
 * Why no supervisor and no netd is in a Landlock domain (docs/security.md): whoever is in one, and all it starts, may
 * mount nothing, and may look into no process outside of it, which opening its namespaces is.
 */
static void landlock_forbids_what_a_runtime_does(void)
{
  uint64_t rules[] = {1 /* LANDLOCK_ACCESS_FS_EXECUTE */};
  if (geteuid() != 0 || syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1)
    return;
  pid_t outside = fork();
  if (outside == 0) {
    pause();
    _exit(0);
  }
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/net", outside);
  pid_t pid = fork();
  if (pid == 0) {
    int status = 0;
    int before = open(path, O_RDONLY | O_CLOEXEC);
    int set = (int)syscall(SYS_landlock_create_ruleset, rules, sizeof rules, 0);
    if (before < 0 || unshare(CLONE_NEWNS) < 0 || syscall(SYS_landlock_restrict_self, set, 0) < 0)
      _exit(1);
    if (open(path, O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES)
      status |= 2;
    if (ctr_mount("none", "/", "", 1 << 18 /* MS_PRIVATE */, "") == -EPERM)
      status |= 4;
    if (setns(before, CLONE_NEWNET) == 0) /* a descriptor that is open already may be used */
      status |= 8;
    _exit(status);
  }
  IS(status_of(pid), 14);
  kill(outside, SIGKILL);
  status_of(outside);
}

int main(void)
{
  wrappers_return_errno();
  wrappers_do_their_call();
  spawn_runs_a_program();
  spawn_tells_what_failed();
  user_namespace();
  first_is_a_grandchild();
  first_does_not_outlive_a_failure();
  descriptors_may_overlap();
  signals_are_reset();
  exec_tells_what_failed();
  labels_are_never_left_out();
  landlock_forbids_what_a_runtime_does();
  if (geteuid() == 0)
    namespaces_are_made_and_joined();
  return failures > 100 ? 100 : failures;
}
