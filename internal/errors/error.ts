/**
 * The error kinds. Code branches on `kind` or `errno`, never on text or on a class name: the build
 * shortens those. The message is one line for the person who can act on it, lower case, no full stop.
 */
export type ErrorKind = "invalid" | "not-found" | "conflict" | "denied" | "unavailable" | "unsupported" | "internal";

/** An error with a kind; `exitStatus` overrides the command's usual status (Docker's 125, 126, 127). */
export class CtrError extends Error {
  readonly kind: ErrorKind;
  readonly exitStatus: number | undefined;

  constructor(kind: ErrorKind, message: string, options: { cause?: unknown; exitStatus?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.exitStatus = options.exitStatus;
  }
}

/** A system call that failed; `errno` is positive as in errno(3), `path` is what the call was about. */
export class SyscallError extends CtrError {
  readonly syscall: string;
  readonly errno: number;
  readonly path: string | undefined;

  constructor(syscall: string, errno: number, path?: string) {
    super(kindOfErrno(errno), `${syscall}${path === undefined ? "" : ` ${path}`}: ${errnoText(errno)}`);
    this.syscall = syscall;
    this.errno = errno;
    this.path = path;
  }
}

/** A peer that broke the rules of a conversation: the connection ends, nothing else. */
export class ProtocolError extends CtrError {
  constructor(message: string) {
    super("internal", message);
  }
}

/** True for a failed system call with this errno: `isErrno(error, ENOENT)`. */
export function isErrno(error: unknown, ...errnos: readonly number[]): error is SyscallError {
  return error instanceof SyscallError && errnos.includes(error.errno);
}

/** The same error one room further out: `start web: mount /srv/site: no such file or directory`. */
export function withContext(context: string, error: unknown): CtrError {
  if (!(error instanceof Error)) return new CtrError("internal", `${context}: ${String(error)}`);
  const kind = error instanceof CtrError ? error.kind : "internal";
  const exitStatus = error instanceof CtrError ? error.exitStatus : undefined;
  return new CtrError(kind, `${context}: ${error.message}`, {
    cause: error,
    ...(exitStatus === undefined ? {} : { exitStatus }),
  });
}

function kindOfErrno(errno: number): ErrorKind {
  switch (errno) {
    case ENOENT:
    case ESRCH:
    case ENODEV:
      return "not-found";
    case EEXIST:
    case EBUSY:
      return "conflict";
    case EPERM:
    case EACCES:
    case EROFS:
      return "denied";
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
      return "invalid";
    case ENOSYS:
    case EOPNOTSUPP:
      return "unsupported";
    case ENOSPC:
    case ENOMEM:
    case EMFILE:
    case EAGAIN:
      return "unavailable";
    default:
      return "internal";
  }
}

/** The C library's words for an errno, lower case: `no such file or directory`. */
export function errnoText(errno: number): string {
  return ERRNO_TEXT[errno]?.[1] ?? `error ${errno}`;
}

/** Its name: `ENOENT`. */
export function errnoName(errno: number): string {
  return ERRNO_TEXT[errno]?.[0] ?? `error ${errno}`;
}

// errno(3), the numbers of asm-generic/errno-base.h and errno.h: the same on x86-64 and arm64.
export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const ENOEXEC = 8;
export const EBADF = 9;
export const ECHILD = 10;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const EXDEV = 18;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const ENOTTY = 25;
export const ETXTBSY = 26;
export const EFBIG = 27;
export const ENOSPC = 28;
export const ESPIPE = 29;
export const EROFS = 30;
export const EMLINK = 31;
export const EPIPE = 32;
export const ERANGE = 34;
export const ENAMETOOLONG = 36;
export const ENOSYS = 38;
export const ENOTEMPTY = 39;
export const ELOOP = 40;
export const ENODATA = 61;
export const EPROTO = 71;
export const EOVERFLOW = 75;
export const EMSGSIZE = 90;
export const EPROTONOSUPPORT = 93;
export const EAFNOSUPPORT = 97;
export const EOPNOTSUPP = 95;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
export const ENOTCONN = 107;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
export const EDQUOT = 122;

const ERRNO_TEXT: { readonly [errno: number]: readonly [string, string] } = {
  1: ["EPERM", "operation not permitted"],
  2: ["ENOENT", "no such file or directory"],
  3: ["ESRCH", "no such process"],
  4: ["EINTR", "interrupted system call"],
  5: ["EIO", "input/output error"],
  6: ["ENXIO", "no such device or address"],
  7: ["E2BIG", "argument list too long"],
  8: ["ENOEXEC", "exec format error"],
  9: ["EBADF", "bad file descriptor"],
  10: ["ECHILD", "no child processes"],
  11: ["EAGAIN", "resource temporarily unavailable"],
  12: ["ENOMEM", "cannot allocate memory"],
  13: ["EACCES", "permission denied"],
  14: ["EFAULT", "bad address"],
  15: ["ENOTBLK", "block device required"],
  16: ["EBUSY", "device or resource busy"],
  17: ["EEXIST", "file exists"],
  18: ["EXDEV", "invalid cross-device link"],
  19: ["ENODEV", "no such device"],
  20: ["ENOTDIR", "not a directory"],
  21: ["EISDIR", "is a directory"],
  22: ["EINVAL", "invalid argument"],
  23: ["ENFILE", "too many open files in system"],
  24: ["EMFILE", "too many open files"],
  25: ["ENOTTY", "inappropriate ioctl for device"],
  26: ["ETXTBSY", "text file busy"],
  27: ["EFBIG", "file too large"],
  28: ["ENOSPC", "no space left on device"],
  29: ["ESPIPE", "illegal seek"],
  30: ["EROFS", "read-only file system"],
  31: ["EMLINK", "too many links"],
  32: ["EPIPE", "broken pipe"],
  34: ["ERANGE", "numerical result out of range"],
  36: ["ENAMETOOLONG", "file name too long"],
  38: ["ENOSYS", "function not implemented"],
  39: ["ENOTEMPTY", "directory not empty"],
  40: ["ELOOP", "too many levels of symbolic links"],
  61: ["ENODATA", "no data available"],
  71: ["EPROTO", "protocol error"],
  75: ["EOVERFLOW", "value too large for defined data type"],
  87: ["EUSERS", "too many users"],
  90: ["EMSGSIZE", "message too long"],
  93: ["EPROTONOSUPPORT", "protocol not supported"],
  95: ["EOPNOTSUPP", "operation not supported"],
  97: ["EAFNOSUPPORT", "address family not supported by protocol"],
  98: ["EADDRINUSE", "address already in use"],
  99: ["EADDRNOTAVAIL", "cannot assign requested address"],
  100: ["ENETDOWN", "network is down"],
  101: ["ENETUNREACH", "network is unreachable"],
  104: ["ECONNRESET", "connection reset by peer"],
  105: ["ENOBUFS", "no buffer space available"],
  107: ["ENOTCONN", "transport endpoint is not connected"],
  110: ["ETIMEDOUT", "connection timed out"],
  111: ["ECONNREFUSED", "connection refused"],
  113: ["EHOSTUNREACH", "no route to host"],
  122: ["EDQUOT", "disk quota exceeded"],
};
