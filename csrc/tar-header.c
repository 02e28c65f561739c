/*
 * The numbers of a tar header (pax(1) "ustar Interchange Format") and of the extended header that says nothing but times
 * ("pax Extended Header"), which most archives have before every entry. The interpreter would go through them byte by byte: in
 * a command that runs for a third of a second it never gets fast at that. What they mean is decided in
 * internal/archive/tar-reader.ts, and everything that is not as usual is left to it.
 */
#include "ctr.h"

#define BLOCK 512
#define TYPE_AT 156
#define CHECKSUM_AT 148
#define CHECKSUM_LENGTH 8
/* Number.MAX_SAFE_INTEGER */
#define MOST 9007199254740991

enum kind { KIND_END, KIND_HEADER, KIND_DAMAGED };

/* The interpreter's numbers, in the order of internal/sys/tar-header.ts; NaN for a field that is none. */
struct ctr_tar_header {
  double size, mode, uid, gid, mtime;
  double name_length, link_length, prefix_length; /* prefix_length is 0 where it is not ustar */
  double nanoseconds; /* of mtime, with its sign */
  double begin;       /* where the header is: behind an extended one that has been read */
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
static long read_block(const uint8_t *block, struct ctr_tar_header *header)
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
  header->nanoseconds = 0;
  return KIND_HEADER;
}

/* Digits up to `end`, at most 15 of them, which a double holds; -1 for anything else. */
static int64_t digits_of(const uint8_t *from, const uint8_t *end)
{
  int64_t value = 0;
  if (from >= end || end - from > 15)
    return -1;
  for (; from < end; from++) {
    if (*from < '0' || *from > '9')
      return -1;
    value = value * 10 + (*from - '0');
  }
  return value;
}

struct pax_time {
  int is_said;
  double seconds, nanoseconds;
};

/* `seconds[.fraction]`, perhaps negative; digits after the ninth are dropped. 0 for anything else. */
static int read_time(const uint8_t *from, const uint8_t *end, struct pax_time *time)
{
  const int is_negative = from < end && *from == '-';
  const uint8_t *start = from + is_negative;
  const uint8_t *point = start < end ? memchr(start, '.', (size_t)(end - start)) : NULL;
  const int64_t seconds = digits_of(start, point == NULL ? end : point);
  int64_t nanoseconds = 0, unit = 100000000;
  if (seconds < 0)
    return 0;
  for (const uint8_t *at = point == NULL ? end : point + 1; at < end; at++, unit /= 10) {
    if (*at < '0' || *at > '9')
      return 0;
    nanoseconds += (*at - '0') * unit;
  }
  *time = (struct pax_time){1, (double)(is_negative ? -seconds : seconds), (double)(is_negative ? -nanoseconds : nanoseconds)};
  return 1;
}

/* The records `length keyword=value\n` of an extended header. 0 where one is about more than times, or is damaged. */
static int read_times(const uint8_t *at, const uint8_t *end, struct pax_time *time)
{
  while (at < end) {
    const uint8_t *blank = memchr(at, ' ', (size_t)(end - at));
    if (blank == NULL || blank - at > 10)
      return 0;
    const int64_t length = digits_of(at, blank);
    if (length < 0 || length > end - at)
      return 0;
    const uint8_t *keyword = blank + 1, *next = at + length;
    if (next - keyword < 7 || next[-1] != '\n' || memcmp(keyword + 1, "time=", 5) != 0)
      return 0;
    if (*keyword == 'm' ? !read_time(keyword + 6, next - 1, time) : *keyword != 'a' && *keyword != 'c')
      return 0;
    at = next;
  }
  return 1;
}

/* An extended header, if it is one block, and here together with the one that it is about; the latter's kind or -1. */
static long read_extended(const uint8_t *block, uint64_t left, struct ctr_tar_header *header)
{
  const double size = number(block + 124, 12);
  struct pax_time time = {0, 0, 0};
  struct ctr_tar_header next;
  if (left < 3 * BLOCK || !(size >= 1 && size <= BLOCK) || !read_times(block + BLOCK, block + BLOCK + (int)size, &time))
    return -1;
  if (strchr("xgLKV", block[2 * BLOCK + TYPE_AT]) != NULL && block[2 * BLOCK + TYPE_AT] != 0)
    return -1;
  if (read_block(block + 2 * BLOCK, &next) != KIND_HEADER)
    return -1;
  if (time.is_said && next.mtime == next.mtime) { /* a field that is no number stays one that is complained of */
    next.mtime = time.seconds;
    next.nanoseconds = time.nanoseconds;
  }
  *header = next;
  header->begin = 2 * BLOCK;
  return KIND_HEADER;
}

/*
 * Reads the header at `at` of `data`, where `left` bytes are from there on: a block at least. With more than a block an extended
 * header before it may be read too.
 */
long ctr_tar_header(const uint8_t *data, uint64_t at, uint64_t left, struct ctr_tar_header *header)
{
  long kind = read_block(data + at, header);
  header->begin = 0;
  if (kind != KIND_HEADER || data[at + TYPE_AT] != 'x' || left <= BLOCK)
    return kind;
  long both = read_extended(data + at, left, header);
  return both < 0 ? kind : both;
}
