/*
 * The thread that hashes and writes, under sanitizers: linked with csrc/digester.c, run in an empty directory. Each check
 * prints its line when it fails; the status is the number of checks that failed.
 */
#include "../../csrc/ctr.h"

#include <stdio.h>
#include <stdlib.h>

/* The layout is what internal/sys/digester.ts writes, so it is repeated, not shared. */
struct digester {
  uint32_t bell, progress, submitted, done, is_ending, is_hashing;
  int32_t fd, failed_errno;
  uint32_t state[8];
  uint64_t size, thread;
  struct {
    uint64_t data, size;
  } pieces[8];
  uint8_t rest[64];
};

long ctr_digester_begin(struct digester *digester);
long ctr_digester_pass(struct digester *digester, const void *data, uint64_t size);
long ctr_digester_start(struct digester *digester);
long ctr_digester_wait(struct digester *digester, uint32_t most);
long ctr_digester_submit(struct digester *digester, const void *data, uint64_t size);
long ctr_digester_end_hash(struct digester *digester, uint8_t *digest);
long ctr_digester_end(struct digester *digester);

static int failures;
#define IS(actual, expected)                                                                       \
  do {                                                                                             \
    long long actual_ = (long long)(actual), expected_ = (long long)(expected);                    \
    if (actual_ != expected_) {                                                                    \
      fprintf(stderr, "%d: %s is %lld, not %lld\n", __LINE__, #actual, actual_, expected_);        \
      failures++;                                                                                  \
    }                                                                                              \
  } while (0)

#define A_MILLION 1000000

/* FIPS 180-4's own example: a million letters a. Whether in pieces or at once, with or without a thread. */
static void a_million(size_t piece, int is_threaded)
{
  static const uint8_t expected[4] = {0xcd, 0xc7, 0x6e, 0x5c};
  static const uint8_t expected_end[4] = {0xc7, 0x11, 0x2c, 0xd0}; /* …046d39cc7112cd0 */
  struct digester *digester = calloc(1, sizeof *digester);
  char *letters = malloc(piece);
  memset(letters, 'a', piece);
  digester->fd = open("million", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  int can_hash = ctr_digester_begin(digester) == 1;
  if (is_threaded)
    IS(ctr_digester_start(digester), 0);
  for (size_t left = A_MILLION; left > 0;) {
    size_t size = left < piece ? left : piece;
    IS(is_threaded ? ctr_digester_submit(digester, letters, size) : ctr_digester_pass(digester, letters, size), 0);
    left -= size;
  }
  if (is_threaded) {
    IS(ctr_digester_wait(digester, 0), 0);
    IS(digester->done, (A_MILLION + piece - 1) / piece);
  }
  if (can_hash) {
    uint8_t digest[32];
    IS(ctr_digester_end_hash(digester, digest), 0);
    IS(memcmp(digest, expected, 4), 0);
    IS(memcmp(digest + 28, expected_end, 4), 0);
  }
  if (is_threaded)
    IS(ctr_digester_end(digester), 0);
  struct stat written;
  IS(fstat(digester->fd, &written), 0);
  IS(written.st_size, A_MILLION);
  close(digester->fd);
  free(letters);
  free(digester);
}

/* A write that fails is told by every call after it, and the hashing goes on. */
static void a_full_disk(void)
{
  struct digester *digester = calloc(1, sizeof *digester);
  char piece[1000] = {0};
  digester->fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
  ctr_digester_begin(digester);
  IS(ctr_digester_start(digester), 0);
  for (int i = 0; i < 20; i++)
    ctr_digester_submit(digester, piece, sizeof piece);
  IS(ctr_digester_wait(digester, 0), -ENOSPC);
  IS(ctr_digester_submit(digester, piece, sizeof piece), -ENOSPC);
  IS(ctr_digester_wait(digester, 0), -ENOSPC);
  if (digester->is_hashing)
    IS(digester->size, 21 * sizeof piece);
  IS(ctr_digester_end(digester), 0);
  close(digester->fd);
  free(digester);
}

int main(void)
{
  static const size_t pieces[] = {1 << 20, 300000, 4096, 1000, 63};
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    a_million(pieces[i], 0);
    a_million(pieces[i], 1);
  }
  a_full_disk();
  return failures;
}
