/*
 * The thread that makes files, under sanitizers: linked with csrc/tree-writer.c, run in an empty directory. Each check
 * prints its line when it fails; the status is the number of checks that failed.
 */
#include "../../csrc/ctr.h"

#include <stdio.h>
#include <stdlib.h>

/* As in csrc/tree-writer.c: the layouts are what internal/sys/tree-writer.ts writes, so they are repeated, not shared. */
enum { OPEN_DIRECTORY = 1, MAKE_DIRECTORY, MAKE_FILE, WRITE, HOLE, TRUNCATE, SET_XATTR, END_FILE, CLOSE_FILE, FINISH_FILE, MAKE_SYMLINK, MAKE_LINK, SET_TIME };

struct step {
  uint32_t kind;
  int32_t directory, slot;
  uint32_t mode, uid, gid, name, target;
  uint64_t data, size;
  int64_t seconds, nanoseconds;
};

struct writer {
  uint32_t bell, progress, submitted, done, is_stopped, is_ending;
  int32_t failed_errno, file, slots[64];
  struct {
    uint64_t steps, text;
    uint32_t count, next;
  } batches[4];
  uint64_t thread;
};

long ctr_tree_writer_start(struct writer *writer);
long ctr_tree_writer_wait(struct writer *writer, uint32_t most);
long ctr_tree_writer_submit(struct writer *writer, const void *steps, const char *text, uint32_t count);
long ctr_tree_writer_resume(struct writer *writer, int is_skipped);
long ctr_tree_writer_end(struct writer *writer);

static int failures;
#define IS(actual, expected)                                                                       \
  do {                                                                                             \
    long long actual_ = (long long)(actual), expected_ = (long long)(expected);                    \
    if (actual_ != expected_) {                                                                    \
      fprintf(stderr, "%d: %s is %lld, not %lld\n", __LINE__, #actual, actual_, expected_);        \
      failures++;                                                                                  \
    }                                                                                              \
  } while (0)

static struct writer *started(void)
{
  struct writer *writer = calloc(1, sizeof *writer);
  writer->file = -1;
  for (int i = 0; i < 64; i++)
    writer->slots[i] = -1;
  writer->slots[0] = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  IS(ctr_tree_writer_start(writer), 0);
  return writer;
}

/* "\0one\0two\0three\0": what the steps name. */
static const char TEXT[] = "\0one\0two\0three";
enum { ONE = 1, TWO = 5, THREE = 9 };

static void makes_what_it_is_told(void)
{
  struct writer *writer = started();
  const struct step steps[] = {
      {.kind = MAKE_DIRECTORY, .slot = 1, .name = ONE, .mode = 01750},
      {.kind = MAKE_FILE, .directory = 1, .name = TWO, .mode = 04640},
      {.kind = WRITE, .data = (uintptr_t)TEXT, .size = 4},
      {.kind = HOLE, .size = 100},
      {.kind = TRUNCATE, .size = 104},
      {.kind = END_FILE, .uid = geteuid(), .gid = getegid(), .mode = 04640},
      {.kind = CLOSE_FILE, .seconds = 7, .nanoseconds = 999999999},
      {.kind = MAKE_LINK, .directory = 0, .slot = 1, .name = THREE, .target = TWO},
      {.kind = SET_TIME, .slot = 1, .seconds = -2, .nanoseconds = 5},
  };
  IS(ctr_tree_writer_submit(writer, steps, TEXT, sizeof steps / sizeof *steps), 0);
  IS(ctr_tree_writer_wait(writer, 0), 0);
  IS(ctr_tree_writer_end(writer), 0);
  struct stat found;
  IS(stat("three", &found), 0);
  IS(found.st_mode, S_IFREG | 04640);
  IS(found.st_size, 104);
  IS(found.st_nlink, 2);
  IS(found.st_mtim.tv_sec, 7);
  IS(found.st_mtim.tv_nsec, 999999999);
  IS(stat("one", &found), 0);
  IS(found.st_mode, S_IFDIR | 01750);
  IS(found.st_mtim.tv_sec, -2);
  free(writer);
  IS(unlink("three"), 0);
  IS(unlink("one/two"), 0);
  IS(rmdir("one"), 0);
}

static void stops_until_it_is_answered(void)
{
  struct writer *writer = started();
  IS(mkdir("one", 0700), 0);
  const struct step steps[] = {
      {.kind = MAKE_DIRECTORY, .slot = 1, .name = ONE, .mode = 0755},
      {.kind = MAKE_DIRECTORY, .slot = 2, .name = TWO, .mode = 0755},
      {.kind = MAKE_DIRECTORY, .slot = 3, .name = TWO, .mode = 0755},
  };
  ctr_tree_writer_submit(writer, steps, TEXT, 3);
  IS(ctr_tree_writer_wait(writer, 0), 1);
  IS(writer->failed_errno, EEXIST);
  IS(writer->batches[0].next, 0);
  IS(access("two", F_OK), -1);
  IS(rmdir("one"), 0);
  IS(ctr_tree_writer_resume(writer, 0), 0); /* the cause is gone: again */
  IS(ctr_tree_writer_wait(writer, 0), 1);
  IS(writer->batches[0].next, 2);
  IS(ctr_tree_writer_resume(writer, 1), 0); /* nothing to be done: past it */
  IS(ctr_tree_writer_wait(writer, 0), 0);
  IS(ctr_tree_writer_end(writer), 0);
  free(writer);
  IS(rmdir("one"), 0);
  IS(rmdir("two"), 0);
}

/* Many batches, so that the ring goes round and both sides wait for each other. */
static void keeps_the_order(void)
{
  struct writer *writer = started();
  static struct step steps[4][2];
  for (int round = 0; round < 500; round++) {
    struct step *batch = steps[round % 4];
    memset(batch, 0, sizeof steps[0]);
    batch[0] = (struct step){.kind = MAKE_FILE, .name = ONE, .mode = 0600};
    batch[1] = (struct step){.kind = CLOSE_FILE, .seconds = round};
    IS(ctr_tree_writer_submit(writer, batch, TEXT, 2), 0);
    if (round % 50 == 0)
      IS(ctr_tree_writer_wait(writer, 0), 0);
    if (ctr_tree_writer_wait(writer, 0) == 0)
      IS(unlink("one"), 0);
  }
  IS(ctr_tree_writer_end(writer), 0);
  free(writer);
}

/* With nothing to stop it but the kernel: `resolve` 0, a way up, and an absolute name. */
static void cannot_leave_the_root(void)
{
  static const char places[] = "\0..\0escaped\0/tmp\0one";
  enum { UP = 1, ESCAPED = 4, TMP = 12, INSIDE = 17 };
  if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 2)
    return;
  const uint32_t ways[] = {UP, TMP};
  for (int i = 0; i < 2; i++) {
    struct writer *writer = started();
    const struct step steps[] = {
        {.kind = OPEN_DIRECTORY, .slot = 1, .name = ways[i], .mode = O_PATH | O_DIRECTORY},
        {.kind = MAKE_FILE, .directory = 1, .name = ESCAPED, .mode = 0600},
        {.kind = MAKE_DIRECTORY, .directory = 1, .slot = 2, .name = ESCAPED, .mode = 0700},
        {.kind = MAKE_SYMLINK, .directory = 1, .name = ESCAPED, .target = TMP},
        {.kind = MAKE_FILE, .directory = 0, .name = INSIDE, .mode = 0600},
        {.kind = MAKE_LINK, .directory = 1, .slot = 0, .name = ESCAPED, .target = INSIDE},
    };
    ctr_tree_writer_submit(writer, steps, places, 6);
    for (uint32_t at = 1; at < 6; at++) {
      if (at == 4)
        continue;
      IS(ctr_tree_writer_wait(writer, 0), 1);
      IS(writer->batches[0].next, at);
      IS(writer->failed_errno == EACCES || writer->failed_errno == EXDEV, 1);
      IS(ctr_tree_writer_resume(writer, 1), 0);
    }
    IS(ctr_tree_writer_wait(writer, 0), 0);
    IS(ctr_tree_writer_end(writer), 0);
    free(writer);
    IS(access("../escaped", F_OK), -1);
    IS(access("/tmp/escaped", F_OK), -1);
    IS(unlink("one"), 0);
  }
}

static void ends_in_the_middle(void)
{
  struct writer *writer = started();
  const struct step step = {.kind = OPEN_DIRECTORY, .slot = 1, .name = THREE, .mode = O_RDONLY | O_DIRECTORY};
  ctr_tree_writer_submit(writer, &step, TEXT, 1);
  IS(ctr_tree_writer_wait(writer, 0), 1);
  IS(writer->failed_errno, ENOENT);
  IS(ctr_tree_writer_end(writer), 0); /* without an answer */
  IS(writer->slots[0], -1);
  free(writer);
}

int main(void)
{
  int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(before);
  makes_what_it_is_told();
  stops_until_it_is_answered();
  keeps_the_order();
  cannot_leave_the_root();
  ends_in_the_middle();
  int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
  IS(after, before); /* every descriptor was closed */
  return failures > 100 ? 100 : failures;
}
