/** What the build reads and writes of an executable's headers (elf(5), ELF64, little endian). */

/** Where a header names a table: its place in the file, the size of an entry and their count. */
interface TableFields {
  readonly offset: number;
  readonly size: number;
  readonly count: number;
}

export const PROGRAM_HEADERS: TableFields = { offset: 32, size: 54, count: 56 };
export const SECTION_HEADERS: TableFields = { offset: 40, size: 58, count: 60 };
/** The fields of a program header. */
export const SEGMENT = { type: 0, offset: 8, address: 16, memorySize: 40 } as const;
/** The fields of a section header. */
export const SECTION = { offset: 24 } as const;
export const PT_LOAD = 1;

/** Throws for what is no ELF64 executable of this byte order. */
export function viewOf(executable: Uint8Array): DataView {
  const view = new DataView(executable.buffer, executable.byteOffset, executable.length);
  // 0x7f "ELF", 64 bit, little endian
  if (view.getUint32(0) !== 0x7f454c46 || view.getUint16(4) !== 0x0201) throw new Error("not an ELF64 executable");
  return view;
}

/** Where the entries of a table are. */
export function entries(view: DataView, table: TableFields): readonly number[] {
  const start = word(view, table.offset);
  const size = view.getUint16(table.size, true);
  return Array.from({ length: view.getUint16(table.count, true) }, (_, index) => start + index * size);
}

export function word(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

export function setWord(view: DataView, at: number, value: number): void {
  view.setBigUint64(at, BigInt(value), true);
}
