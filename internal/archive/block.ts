/** A tar header's block: its size and its checksum (pax(1) "ustar Interchange Format"). */

export const BLOCK = 512;
const CHECKSUM_AT = 148;
const CHECKSUM_LENGTH = 8;

/** The sum of a block's bytes with the checksum field taken as blanks. */
export function checksum(block: Uint8Array): number {
  let sum = sumOf(block) + CHECKSUM_LENGTH * 0x20;
  for (let at = CHECKSUM_AT; at < CHECKSUM_AT + CHECKSUM_LENGTH; at++) sum -= block[at] ?? 0;
  return sum;
}

/** Four bytes at a time where they lie so, as they do in nearly every archive: two sums of 16 bits side by side. */
function sumOf(block: Uint8Array): number {
  let sum = 0;
  if (block.byteOffset % 4 !== 0) {
    for (let at = 0; at < BLOCK; at++) sum += block[at] ?? 0;
    return sum;
  }
  const words = new Uint32Array(block.buffer, block.byteOffset, BLOCK / 4);
  for (let at = 0; at < BLOCK / 4; at++) {
    const word = words[at] ?? 0;
    sum = (sum + (word & 0xff00ff) + ((word >>> 8) & 0xff00ff)) | 0;
  }
  return (sum & 0xffff) + (sum >>> 16);
}
