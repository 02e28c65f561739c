/** Copying a file's content: shared where the file system can, with its holes where it cannot. */
import { EBADF, EINVAL, ENOSYS, ENXIO, EOPNOTSUPP, EXDEV, isErrno } from "../errors/error.ts";
import { ftruncate, lseek, read, writeAll } from "./fd.ts";
import { check, lib } from "./lib.ts";

const FICLONE = 0x40049409n; // linux/fs.h
const [SEEK_SET, SEEK_DATA, SEEK_HOLE] = [0, 3, 4];
const CHUNK = 1 << 20;
/** What a file system without reflinks answers (ioctl_ficlone(2)); ENOTTY is 25. */
const NO_CLONE = [EOPNOTSUPP, EXDEV, EINVAL, ENOSYS, EBADF, 25];

/** Makes `to`, which is empty, as long as `from` and gives it the same content. */
export function cloneContent(from: number, to: number, size: number): void {
  if (size === 0) return;
  const cloned = Number(lib.ctr_ioctl_value(to, FICLONE, from));
  if (cloned === 0) return;
  if (!NO_CLONE.includes(-cloned)) check("ioctl FICLONE", cloned);
  ftruncate(to, size);
  let at = 0;
  while (at < size) {
    const data = nextData(from, at);
    if (data === undefined) return; // a hole up to the end
    const end = lseek(from, data, SEEK_HOLE);
    lseek(from, data, SEEK_SET);
    lseek(to, data, SEEK_SET);
    copyRange(from, to, end - data);
    at = end;
  }
}

function nextData(fd: number, at: number): number | undefined {
  try {
    return lseek(fd, at, SEEK_DATA);
  } catch (error) {
    if (isErrno(error, ENXIO)) return undefined;
    throw error;
  }
}

/** `size` bytes from where both stand. */
function copyRange(from: number, to: number, size: number): void {
  let left = size;
  while (left > 0) {
    const copied = Number(lib.ctr_copy_file_range(from, to, left));
    if (copied === 0) return; // shorter than it was
    if (copied < 0) {
      if (!NO_CLONE.includes(-copied)) check("copy_file_range", copied);
      break;
    }
    left -= copied;
  }
  const buffer = new Uint8Array(Math.min(CHUNK, left));
  while (left > 0) {
    const got = read(from, buffer.subarray(0, Math.min(left, buffer.length)));
    if (got === 0) return;
    writeAll(to, buffer.subarray(0, got));
    left -= got;
  }
}
