/** The pages of files that a process has mapped: the executable's text and modules, its libraries' text. */
import { type Fd, O_RDONLY, open, pread } from "./fd.ts";
import { readText } from "./file.ts";

const MAX_SMAPS_BYTES = 4 << 20;

/** Part of the address space. */
export interface Mapping {
  readonly start: number;
  readonly size: number;
}

/**
 * The pages that may be let go of: a file's and nothing else, so that they stay in the page cache and are mapped again
 * when they are touched. Pages that were written to have no other copy: a mapping with any of those (relocated data) is
 * left out.
 */
export function filePages(): Mapping[] {
  const modules = constantSection("/proc/self/exe", MODULES);
  return [
    ...unwrittenFiles(readText("/proc/self/smaps", MAX_SMAPS_BYTES)),
    ...(modules === undefined || isWritten(modules) ? [] : [modules]),
  ];
}

const PAGE_BYTES = 4096;
/** Where `bun build --compile` keeps what it has compiled: only read, but mapped beside variables and writable as they are. */
const MODULES = ".bun";

/** The whole pages of a section, by its name, of an executable that is mapped at the addresses it says (elf(5), ET_EXEC). */
export function constantSection(path: string, name: string): Mapping | undefined {
  using file = open(path, O_RDONLY);
  const header = viewOf(file, 0, 64);
  const isFixed = header.getUint32(0) === 0x7f454c46 && header.getUint16(16, true) === ET_EXEC;
  if (!isFixed) return undefined;
  const entryBytes = header.getUint16(58, true);
  const count = header.getUint16(60, true);
  const table = viewOf(file, Number(header.getBigUint64(40, true)), entryBytes * count);
  const field = (entry: number, at: number) => Number(table.getBigUint64(entry * entryBytes + at, true));
  const strings = header.getUint16(62, true);
  const names = viewOf(file, field(strings, 24), field(strings, 32));
  const wanted = new TextEncoder().encode(`${name}\0`);
  for (let entry = 0; entry < count; entry++) {
    const at = table.getUint32(entry * entryBytes, true);
    if (!wanted.every((byte, index) => at + index < names.byteLength && names.getUint8(at + index) === byte)) continue;
    const start = Math.ceil(field(entry, 16) / PAGE_BYTES) * PAGE_BYTES;
    const end = Math.floor((field(entry, 16) + field(entry, 32)) / PAGE_BYTES) * PAGE_BYTES;
    return end > start ? { start, size: end - start } : undefined;
  }
  return undefined;
}

const ET_EXEC = 2;

function viewOf(file: Fd, at: number, size: number): DataView {
  const bytes = new Uint8Array(size);
  return new DataView(bytes.buffer, 0, pread(file.number, bytes, at));
}

/** True if one of its pages is no page of the file any more (/proc/self/pagemap: present, but not file-mapped). */
function isWritten({ start, size }: Mapping): boolean {
  using pagemap = open("/proc/self/pagemap", O_RDONLY);
  const pages = viewOf(pagemap, (start / PAGE_BYTES) * 8, (size / PAGE_BYTES) * 8);
  for (let at = 0; at < pages.byteLength; at += 8) {
    const flags = pages.getUint32(at + 4, true);
    const isPresent = (flags & (1 << 31)) !== 0 || (flags & (1 << 30)) !== 0;
    const isOfFile = (flags & (1 << 29)) !== 0;
    if (isPresent && !isOfFile) return true;
  }
  return false;
}

/** The private mappings of files, not writable and never written to, in a smaps file (proc_pid_smaps(5)). */
export function unwrittenFiles(smaps: string): Mapping[] {
  const found: Mapping[] = [];
  for (const block of smaps.split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
    const [, from = "", to = ""] = /^([0-9a-f]+)-([0-9a-f]+) r-[-x]p [0-9a-f]+ \S+ [1-9]\d* +\//.exec(block) ?? [];
    if (from === "" || !/^Anonymous: +0 kB$/m.test(block) || !/^Rss: +[1-9]/m.test(block)) continue;
    const start = Number.parseInt(from, 16);
    found.push({ start, size: Number.parseInt(to, 16) - start });
  }
  return found;
}
