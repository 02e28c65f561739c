/**
 * netd's log: lines on standard error, for the journal with their level in front (sd-daemon(3)), else for
 * `<state>/netd.log` or a terminal with the program's name.
 */
import { EBADF, isErrno } from "../../internal/errors/error.ts";
import { LOG_LEVELS, type Log, type LogLevel } from "../../internal/network/log.ts";
import { writeAll } from "../../internal/sys/fd.ts";
import { fstat } from "../../internal/sys/file.ts";

const STDERR = 2;
/** syslog(3) */
const PRIORITY: { readonly [Level in LogLevel]: number } = { error: 3, warning: 4, info: 6, debug: 7 };

/** Lines of `least` and of what is worse. */
export function createLog(least: LogLevel, journalStream: string | undefined): Log {
  const isJournal = journalStream !== undefined && journalStream === streamOf(STDERR);
  const last = LOG_LEVELS.indexOf(least);
  return (line, level = "warning") => {
    if (LOG_LEVELS.indexOf(level) > last) return;
    const text = line.replaceAll("\n", " ");
    writeAll(STDERR, new TextEncoder().encode(isJournal ? `<${PRIORITY[level]}>${text}\n` : `netd: ${text}\n`));
  };
}

/** Device and inode as `JOURNAL_STREAM` has them (systemd.exec(5)): another program may have given us its own stream. */
function streamOf(fd: number): string | undefined {
  try {
    const { devMajor, devMinor, ino } = fstat(fd);
    // makedev(3), for a device number as stat(2) has it
    const low = (devMinor & 0xff) + (devMajor & 0xfff) * 0x100;
    return `${low + (devMinor >>> 8) * 0x100000}:${ino}`;
  } catch (error) {
    if (isErrno(error, EBADF)) return undefined;
    throw error;
  }
}
