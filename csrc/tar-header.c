/*
 * The numbers of a tar header (pax(1) "ustar Interchange Format"), which the interpreter would go through byte by byte: in
 * a command that runs for a third of a second it never gets fast at that. What they mean is decided in
 * internal/archive/tar-reader.ts.
 */
#include "ctr.h"

#define BLOCK 512
#define CHECKSUM_AT 148
#define CHECKSUM_LENGTH 8
/* Number.MAX_SAFE_INTEGER */
#define MOST 9007199254740991

enum kind { KIND_END, KIND_HEADER, KIND_DAMAGED };

/* The interpreter's numbers, in the order of internal/sys/tar-header.ts; NaN for a field that is none. */
struct ctr_tar_header {
  double size, mode, uid, gid, mtime;
  double name_length, link_length, prefix_length; /* prefix_length is 0 where it is not ustar */
};

#define NOT_A_NUMBER __builtin_nan("")

/* Octal with blanks and NULs around it, or GNU's base-256 two's complement when the top bit is set. */
static double number(const uint8_t *field, int length)
{
  int64_t value = 0;
  if (field[0] & 0x80) {
    value = field[0] & 0x40 ? (int64_t)(field[0] & 0x7f) - 128 : field[0] & 0x7f;
    for (int i = 1; i < length; i++) {
      if (value > MOST || value < -MOST)
        return NOT_A_NUMBER;
      value = value * 256 + field[i];
    }
    return value > MOST || value < -MOST ? NOT_A_NUMBER : (double)value;
  }
  int digits = 0;
  for (int i = 0; i < length; i++) {
    if (field[i] == ' ' || field[i] == 0) {
      if (digits > 0)
        break;
    } else if (field[i] >= '0' && field[i] <= '7') {
      value = value * 8 + (field[i] - '0'); /* 12 digits are 36 bits */
      digits++;
    } else
      return NOT_A_NUMBER;
  }
  return (double)value;
}

static double length_of(const uint8_t *field, size_t most) { return (double)strnlen((const char *)field, most); }

/* Reads a block of 512 bytes. The sum takes the checksum's own bytes as blanks; old writers summed signed bytes. */
long ctr_tar_header(const uint8_t *block, struct ctr_tar_header *header)
{
  int64_t sum = 0, high = 0;
  for (int i = 0; i < BLOCK; i++) {
    sum += block[i];
    high += block[i] >> 7;
  }
  if (sum == 0)
    return KIND_END;
  for (int i = CHECKSUM_AT; i < CHECKSUM_AT + CHECKSUM_LENGTH; i++) {
    sum += ' ' - block[i];
    high -= block[i] >> 7;
  }
  double stored = number(block + CHECKSUM_AT, CHECKSUM_LENGTH);
  if (stored != (double)sum && stored != (double)(sum - 256 * high))
    return KIND_DAMAGED;
  header->mode = number(block + 100, 8);
  header->uid = number(block + 108, 8);
  header->gid = number(block + 116, 8);
  header->size = number(block + 124, 12);
  header->mtime = number(block + 136, 12);
  header->name_length = length_of(block, 100);
  header->link_length = length_of(block + 157, 100);
  header->prefix_length = memcmp(block + 257, "ustar", 6) == 0 ? length_of(block + 345, 155) : 0;
  return KIND_HEADER;
}
