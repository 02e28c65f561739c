/*
 * The reader of tar headers under the sanitizers (test/kernel/c-half.test.ts): headers and pax records from a seeded generator,
 * right and damaged, in memory that is no larger than the reader is told. Whether they are read rightly is shown by
 * internal/archive/pax-times.test.ts.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512

/* What csrc/tar-header.c writes, in the order of internal/sys/tar-header.ts. */
enum { SIZE, MODE, UID, GID, MTIME, NAME_LENGTH, LINK_LENGTH, PREFIX_LENGTH, NANOSECONDS, BEGIN, FIELDS };

long ctr_tar_header(const uint8_t *data, uint64_t at, uint64_t left, double *header);

static unsigned below(unsigned most)
{
  static uint32_t state = 7;
  state = state * 1664525 + 1013904223;
  return (state >> 8) % most;
}

static void finish(uint8_t *block, char type, unsigned size)
{
  unsigned sum = 0;
  block[156] = (uint8_t)type;
  snprintf((char *)block + 124, 12, "%011o", size);
  memcpy(block + 257, "ustar", 6);
  memset(block + 148, ' ', 8);
  for (int i = 0; i < BLOCK; i++)
    sum += block[i];
  snprintf((char *)block + 148, 8, "%06o", sum);
  block[155] = ' ';
}

/* Records of times, one in eight with a wrong length, one in three with another byte somewhere; their length. */
static unsigned put_records(uint8_t *at, unsigned room)
{
  unsigned length = 0;
  for (unsigned count = below(4); count > 0; count--) {
    char value[48], record[64];
    snprintf(value, sizeof value, " %ctime=%s%u.%u\n", "mac"[below(3)], below(9) == 0 ? "-" : "", below(1u << 24), below(1u << 24));
    int size = snprintf(record, sizeof record, "%u%s", (unsigned)strlen(value) + 2 + (below(8) == 0), value);
    if (length + (unsigned)size > room)
      break;
    memcpy(at + length, record, (size_t)size);
    length += (unsigned)size;
  }
  if (length > 0 && below(3) == 0)
    at[below(length)] = (uint8_t)"0123456789 =\n.-mxt\0\xff"[below(20)];
  return length;
}

int main(void)
{
  unsigned together = 0;
  for (int round = 0; round < 100000; round++) {
    const unsigned size = BLOCK + below(4) * BLOCK - (below(4) == 0 ? below(BLOCK) : 0);
    const unsigned left = size < BLOCK ? BLOCK : size;
    uint8_t *data = calloc(1, left);
    double header[FIELDS];
    unsigned length = left > BLOCK ? put_records(data + BLOCK, left - BLOCK < BLOCK ? left - BLOCK : BLOCK) : 0;
    if (below(10) == 0)
      length = below(2000);
    if (left >= 3 * BLOCK)
      finish(data + 2 * BLOCK, "05xgLKV"[below(7)], below(100));
    finish(data, 'x', length);
    if (below(20) == 0)
      data[below(BLOCK)] ^= 1;
    if (ctr_tar_header(data, 0, left, header) == 1 && header[BEGIN] != 0)
      together++;
    free(data);
  }
  if (together < 1000) {
    fprintf(stderr, "only %u extended headers were read with the one behind them\n", together);
    return 1;
  }
  return 0;
}
