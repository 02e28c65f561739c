/*
 * A thread that hashes what a stream passes on (SHA-256, FIPS 180-4) and writes it to a file, so that whoever reads the
 * stream need not wait for either. The hashing is done by the processor's own instructions; where it has none,
 * the interpreter hashes (internal/sys/digester.ts) and this thread only writes.
 */
#include "thread.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

/* Not more than internal/spec/layer-entry.ts lets a reader of chunks be behind (HELD_CHUNKS). */
#define PIECES 8
#define BLOCK 64
/* What is hashed is written while it is still in the processor's cache. */
#define SLICE (128 * 1024)

/* The layout is what internal/sys/digester.ts writes. */
struct ctr_digester {
  uint32_t bell;     /* rung for the thread: a piece, the end */
  uint32_t progress; /* rung for the caller: a piece is done */
  uint32_t submitted, done;
  uint32_t is_ending, is_hashing;
  int32_t fd, failed_errno; /* fd -1: nothing is written */
  uint32_t state[8];
  uint64_t size; /* of what was hashed */
  uint64_t thread;
  struct {
    uint64_t data, size;
  } pieces[PIECES];
  uint8_t rest[BLOCK]; /* of the last piece, what makes no whole block yet */
};

#if defined(__x86_64__)

static const uint32_t ROUNDS[64] __attribute__((aligned(16))) = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static int can_hash(void)
{
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
    return 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

/* The instructions keep the eight words of the state as ABEF and CDGH (Intel SDM, SHA256RNDS2), four rounds per turn. */
__attribute__((target("sha,ssse3,sse4.1"))) static void hash_blocks(uint32_t *state, const uint8_t *data, uint64_t count)
{
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL); /* words are big-endian */
  __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
  __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
  __m128i abef = _mm_alignr_epi8(low, high, 8);
  __m128i cdgh = _mm_blend_epi16(high, low, 0xf0);
  for (; count > 0; count--, data += BLOCK) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i words[4];
    for (int i = 0; i < 4; i++)
      words[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), swap);
#pragma GCC unroll 16
    for (int turn = 0; turn < 16; turn++) {
      const int at = turn % 4, next = (turn + 1) % 4, last = (turn + 3) % 4;
      const __m128i sum = _mm_add_epi32(words[at], _mm_load_si128((const __m128i *)(ROUNDS + 4 * turn)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
      if (turn < 12) { /* the words of four turns later */
        const __m128i between = _mm_alignr_epi8(words[last], words[(turn + 2) % 4], 4);
        const __m128i begun = _mm_add_epi32(_mm_sha256msg1_epu32(words[at], words[next]), between);
        words[at] = _mm_sha256msg2_epu32(begun, words[last]);
      }
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  low = _mm_shuffle_epi32(abef, 0x1b);
  high = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(low, high, 0xf0));
  _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(high, low, 8));
}

#else

static int can_hash(void) { return 0; }
static void hash_blocks(uint32_t *state, const uint8_t *data, uint64_t count) { (void)state, (void)data, (void)count; }

#endif

static void hash(struct ctr_digester *digester, const uint8_t *data, uint64_t size)
{
  uint64_t held = digester->size % BLOCK;
  digester->size += size;
  if (held > 0) {
    uint64_t wanted = BLOCK - held < size ? BLOCK - held : size;
    memcpy(digester->rest + held, data, wanted);
    data += wanted;
    size -= wanted;
    if (held + wanted < BLOCK)
      return;
    hash_blocks(digester->state, digester->rest, 1);
  }
  hash_blocks(digester->state, data, size / BLOCK);
  memcpy(digester->rest, data + size / BLOCK * BLOCK, size % BLOCK);
}

static void pass(struct ctr_digester *digester, const uint8_t *data, uint64_t size)
{
  while (size > 0) {
    uint64_t slice = size < SLICE ? size : SLICE;
    if (digester->is_hashing)
      hash(digester, data, slice);
    if (digester->fd >= 0 && digester->failed_errno == 0) {
      long result = write_all(digester->fd, (const char *)data, slice);
      if (result < 0)
        STORE(digester->failed_errno, (int32_t)-result);
    }
    data += slice;
    size -= slice;
  }
}

static void *work(void *argument)
{
  struct ctr_digester *digester = argument;
  const uint64_t every_signal = ~0ULL; /* signals are the main thread's */
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &every_signal, NULL, sizeof every_signal);
  for (;;) {
    uint32_t heard = LOAD(digester->bell);
    uint32_t done = LOAD(digester->done);
    if (LOAD(digester->is_ending))
      return NULL;
    if (done == LOAD(digester->submitted)) {
      hear(&digester->bell, heard);
      continue;
    }
    pass(digester, (const uint8_t *)(uintptr_t)digester->pieces[done % PIECES].data, digester->pieces[done % PIECES].size);
    STORE(digester->done, done + 1);
    ring(&digester->progress);
  }
}

/* Starts hashing; 0 if the processor cannot, which the caller has to do then. */
long ctr_digester_begin(struct ctr_digester *digester)
{
  static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(digester->state, first, sizeof first);
  digester->is_hashing = can_hash();
  return digester->is_hashing;
}

/* Hashes and writes at once. Only before the thread is started. */
long ctr_digester_pass(struct ctr_digester *digester, const void *data, uint64_t size)
{
  pass(digester, data, size);
  return -digester->failed_errno;
}

long ctr_digester_start(struct ctr_digester *digester)
{
  pthread_t thread;
  int failed = pthread_create(&thread, NULL, work, digester);
  if (failed != 0)
    return -failed;
  digester->thread = (uint64_t)thread;
  return 0;
}

/* Waits until at most `most` pieces are not done; -errno if a write has failed. */
long ctr_digester_wait(struct ctr_digester *digester, uint32_t most)
{
  for (;;) {
    uint32_t heard = LOAD(digester->progress);
    if (LOAD(digester->submitted) - LOAD(digester->done) <= most)
      return -LOAD(digester->failed_errno);
    hear(&digester->progress, heard);
  }
}

/* Hands a piece over, which stays as it is until it is done, and waits for room for the next one, as `wait`. */
long ctr_digester_submit(struct ctr_digester *digester, const void *data, uint64_t size)
{
  uint32_t submitted = LOAD(digester->submitted);
  digester->pieces[submitted % PIECES].data = (uintptr_t)data;
  digester->pieces[submitted % PIECES].size = size;
  STORE(digester->submitted, submitted + 1);
  ring(&digester->bell);
  return ctr_digester_wait(digester, PIECES - 1);
}

/* Writes the digest, 32 bytes. Only when all is done, and once. */
long ctr_digester_end_hash(struct ctr_digester *digester, uint8_t *digest)
{
  uint64_t bits = digester->size * 8;
  uint8_t end[2 * BLOCK] = {0x80};
  uint64_t zeros = (BLOCK + 55 - digester->size % BLOCK) % BLOCK; /* between the first byte and the length */
  for (int i = 0; i < 8; i++)
    end[1 + zeros + (uint64_t)i] = (uint8_t)(bits >> (56 - 8 * i));
  hash(digester, end, 1 + zeros + 8);
  for (int i = 0; i < 32; i++)
    digest[i] = (uint8_t)(digester->state[i / 4] >> (24 - 8 * (i % 4)));
  return 0;
}

/* Ends the thread after the piece it is at. */
long ctr_digester_end(struct ctr_digester *digester)
{
  STORE(digester->is_ending, 1);
  ring(&digester->bell);
  return -pthread_join((pthread_t)digester->thread, NULL);
}
