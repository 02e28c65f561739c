/*
 * A thread that makes files, so that whoever reads and hashes an archive need not wait for the file system. It runs
 * batches of steps in order. What a step is, on which descriptor and with which flags, is decided by the caller
 * (internal/sys/tree-writer.ts); a step that fails stops everything until the caller has answered. Nothing here
 * follows a link: every name is a single one in a directory that is open, or opened as the caller says.
 */
#include "thread.h"

#define SLOTS 64
#define BATCHES 4

/* The layouts are what internal/sys/tree-writer.ts writes. */
enum step_kind {
  STEP_OPEN_DIRECTORY = 1, /* slot = openat2(directory, name, flags = mode, resolve = size) */
  STEP_MAKE_DIRECTORY,     /* slot = a new directory with this owner and mode */
  STEP_MAKE_FILE,          /* the file = a new one */
  STEP_WRITE,              /* `size` bytes at `data` into the file */
  STEP_HOLE,               /* `size` bytes of the file stay unwritten */
  STEP_TRUNCATE,           /* the file is `size` bytes long */
  STEP_SET_XATTR,          /* attribute `name` of the file, or of the directory of `slot` */
  STEP_END_FILE,           /* owner and mode of the file, as its attributes need them to be set before */
  STEP_CLOSE_FILE,         /* its time, and it is closed */
  STEP_FINISH_FILE,        /* both, where it has no attributes */
  STEP_MAKE_SYMLINK,       /* name -> target, with owner and time */
  STEP_MAKE_LINK,          /* name in directory is also `target` in the directory of `slot` */
  STEP_SET_TIME,           /* of the directory of `slot` */
};

struct ctr_step {
  uint32_t kind;
  int32_t directory, slot; /* slot -1 is the file */
  uint32_t mode, uid, gid;
  uint32_t name, target; /* where they start in the batch's text */
  uint64_t data, size;
  int64_t seconds, nanoseconds; /* since 1970; these may be negative, and more than a second */
};

struct ctr_batch {
  uint64_t steps, text;
  uint32_t count, next;
};

struct ctr_tree_writer {
  uint32_t bell;     /* rung for the thread: a batch, an answer, the end */
  uint32_t progress; /* rung for the caller: a batch is done, or a step has failed */
  uint32_t submitted, done;
  uint32_t is_stopped, is_ending;
  int32_t failed_errno;
  int32_t file;
  int32_t slots[SLOTS];
  struct ctr_batch batches[BATCHES];
  uint64_t thread;
};

static long result_of(long result) { return result == -1 ? -errno : result; }

static void put(int32_t *slot, int fd)
{
  if (*slot >= 0)
    syscall(SYS_close, *slot);
  *slot = fd;
}

/* Owner first: chown(2) clears setuid and setgid. What is right already is not set again, each is a journal entry. */
static long settle(int fd, const struct ctr_step *step)
{
  struct stat now;
  if (syscall(SYS_fstat, fd, &now) == -1)
    return -errno;
  if ((now.st_uid != step->uid || now.st_gid != step->gid) && syscall(SYS_fchown, fd, step->uid, step->gid) == -1)
    return -errno;
  if ((now.st_mode & 07777) != step->mode && syscall(SYS_fchmod, fd, step->mode) == -1)
    return -errno;
  return 0;
}

static long set_time(int dirfd, const char *name, const struct ctr_step *step, int flags)
{
  const int64_t second = 1000000000, rest = (step->nanoseconds % second + second) % second;
  const struct timespec time = {.tv_sec = step->seconds + (step->nanoseconds - rest) / second, .tv_nsec = rest};
  const struct timespec times[2] = {time, time};
  return result_of(syscall(SYS_utimensat, dirfd, name, times, flags));
}

static long make_directory(struct ctr_tree_writer *writer, const struct ctr_step *step, const char *name)
{
  int parent = writer->slots[step->directory];
  if (syscall(SYS_mkdirat, parent, name, 0700) == -1)
    return -errno;
  int fd = (int)syscall(SYS_openat, parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd == -1)
    return -errno;
  put(&writer->slots[step->slot], fd);
  return settle(fd, step);
}

static long make_symlink(int dirfd, const struct ctr_step *step, const char *name, const char *target)
{
  if (syscall(SYS_symlinkat, target, dirfd, name) == -1)
    return -errno;
  if (syscall(SYS_fchownat, dirfd, name, step->uid, step->gid, AT_SYMLINK_NOFOLLOW) == -1)
    return -errno;
  return set_time(dirfd, name, step, AT_SYMLINK_NOFOLLOW);
}

static long close_file(struct ctr_tree_writer *writer, const struct ctr_step *step)
{
  long result = set_time(writer->file, NULL, step, 0);
  put(&writer->file, -1);
  return result;
}

static long run_step(struct ctr_tree_writer *writer, const struct ctr_step *step, const char *text)
{
  const char *name = text + step->name;
  int32_t *slots = writer->slots;
  switch (step->kind) {
  case STEP_OPEN_DIRECTORY: {
    const uint64_t how[3] = {step->mode | O_CLOEXEC, 0, step->size};
    long fd = syscall(SYS_openat2, slots[step->directory], name, how, sizeof how);
    if (fd == -1)
      return -errno;
    put(&slots[step->slot], (int)fd);
    return 0;
  }
  case STEP_MAKE_DIRECTORY:
    return make_directory(writer, step, name);
  case STEP_MAKE_FILE: {
    long fd = syscall(SYS_openat, slots[step->directory], name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                      step->mode & 0777);
    if (fd == -1)
      return -errno;
    put(&writer->file, (int)fd);
    return 0;
  }
  case STEP_WRITE:
    return write_all(writer->file, (const char *)(uintptr_t)step->data, step->size);
  case STEP_HOLE:
    return syscall(SYS_lseek, writer->file, (int64_t)step->size, SEEK_CUR) == -1 ? -errno : 0;
  case STEP_TRUNCATE:
    return result_of(syscall(SYS_ftruncate, writer->file, (int64_t)step->size));
  case STEP_SET_XATTR:
    return result_of(syscall(SYS_fsetxattr, step->slot < 0 ? writer->file : slots[step->slot], name,
                             (const void *)(uintptr_t)step->data, step->size, 0));
  case STEP_END_FILE:
    return settle(writer->file, step);
  case STEP_FINISH_FILE: {
    long result = settle(writer->file, step);
    return result < 0 ? result : close_file(writer, step);
  }
  case STEP_CLOSE_FILE:
    return close_file(writer, step);
  case STEP_MAKE_SYMLINK:
    return make_symlink(slots[step->directory], step, name, text + step->target);
  case STEP_MAKE_LINK:
    return result_of(syscall(SYS_linkat, slots[step->slot], text + step->target, slots[step->directory], name, 0));
  case STEP_SET_TIME:
    return set_time(slots[step->slot], NULL, step, 0);
  default:
    return -EINVAL;
  }
}

static long run_batch(struct ctr_tree_writer *writer, struct ctr_batch *batch)
{
  const struct ctr_step *steps = (const struct ctr_step *)(uintptr_t)batch->steps;
  for (; batch->next < batch->count; batch->next++) {
    long result = run_step(writer, &steps[batch->next], (const char *)(uintptr_t)batch->text);
    if (result < 0)
      return result;
  }
  return 0;
}

/*
 * Landlock (kernel 5.13): whatever an archive brings this thread to do, the kernel lets it reach nothing but what lies
 * below the root of the tree. A rule is for the whole directory, so links between directories need the second version
 * (5.19), without which they would all be refused; what later versions know is forbidden as far as this kernel knows it.
 * A second line behind the rules of internal/snapshot/unpack.ts: where it cannot be had the thread works without it.
 */
static void stay_below(int root)
{
  struct {
    uint64_t files, network, scopes;
  } rules = {0, 0, 0};
  struct __attribute__((packed)) {
    uint64_t allowed;
    int32_t parent;
  } beneath = {0, root};
  long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
  if (version < 2)
    return;
  /* LANDLOCK_ACCESS_FS_…: 14 of them in version 2, truncate in 3, ioctl of devices in 5. */
  rules.files = version >= 5 ? 0xffff : version >= 3 ? 0x7fff : 0x3fff;
  rules.network = version >= 4 ? 3 : 0; /* LANDLOCK_ACCESS_NET_BIND_TCP, _CONNECT_TCP */
  rules.scopes = version >= 6 ? 3 : 0;  /* LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, _SIGNAL */
  beneath.allowed = rules.files & ~1ULL; /* all but execution */
  size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
  int set = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
  if (set < 0)
    return;
  if (syscall(SYS_landlock_add_rule, set, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &beneath, 0) == 0)
    syscall(SYS_landlock_restrict_self, set, 0);
  syscall(SYS_close, set);
}

static void *work(void *argument)
{
  struct ctr_tree_writer *writer = argument;
  const uint64_t every_signal = ~0ULL; /* signals are the main thread's */
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &every_signal, NULL, sizeof every_signal);
  stay_below(writer->slots[0]);
  for (;;) {
    uint32_t heard = LOAD(writer->bell);
    if (LOAD(writer->is_ending))
      return NULL;
    uint32_t done = LOAD(writer->done);
    if (LOAD(writer->is_stopped) || done == LOAD(writer->submitted)) {
      hear(&writer->bell, heard);
      continue;
    }
    long result = run_batch(writer, &writer->batches[done % BATCHES]);
    if (result < 0) {
      writer->failed_errno = (int32_t)-result;
      STORE(writer->is_stopped, 1);
    } else
      STORE(writer->done, done + 1);
    ring(&writer->progress);
  }
}

/* Starts the thread; the first slot is taken already and is closed with the others. */
long ctr_tree_writer_start(struct ctr_tree_writer *writer)
{
  pthread_t thread;
  int failed = pthread_create(&thread, NULL, work, writer);
  if (failed != 0)
    return -failed;
  writer->thread = (uint64_t)thread;
  return 0;
}

/* Waits until at most `most` batches are not done; 1 if a step has failed, 0 otherwise. */
long ctr_tree_writer_wait(struct ctr_tree_writer *writer, uint32_t most)
{
  for (;;) {
    uint32_t heard = LOAD(writer->progress);
    if (LOAD(writer->is_stopped))
      return 1;
    if (LOAD(writer->submitted) - LOAD(writer->done) <= most)
      return 0;
    hear(&writer->progress, heard);
  }
}

/* Hands a batch over, which stays where it is until it is done, and waits for room for the next one, as `wait`. */
long ctr_tree_writer_submit(struct ctr_tree_writer *writer, const void *steps, const char *text, uint32_t count)
{
  uint32_t submitted = LOAD(writer->submitted);
  writer->batches[submitted % BATCHES] = (struct ctr_batch){(uintptr_t)steps, (uintptr_t)text, count, 0};
  STORE(writer->submitted, submitted + 1);
  ring(&writer->bell);
  return ctr_tree_writer_wait(writer, BATCHES - 1);
}

/* Goes on after a failure: with the step that failed, or with the one after it. */
long ctr_tree_writer_resume(struct ctr_tree_writer *writer, int is_skipped)
{
  struct ctr_batch *batch = &writer->batches[LOAD(writer->done) % BATCHES];
  if (is_skipped)
    batch->next++;
  STORE(writer->is_stopped, 0);
  ring(&writer->bell);
  return 0;
}

/* Ends the thread after the batch it is at, and closes every descriptor. */
long ctr_tree_writer_end(struct ctr_tree_writer *writer)
{
  STORE(writer->is_ending, 1);
  ring(&writer->bell);
  int failed = pthread_join((pthread_t)writer->thread, NULL);
  put(&writer->file, -1);
  for (int i = 0; i < SLOTS; i++)
    put(&writer->slots[i], -1);
  return -failed;
}
