/**
 * The C helper as a part of the executable: linked for an address that nothing else of it has, and called there. Nothing is
 * loaded, relocated or looked up when a process starts, which took each 1 ms (docs/decisions/0005-where-a-start-goes.md).
 */
import { entries, PROGRAM_HEADERS, PT_LOAD, SEGMENT, setWord, viewOf, word } from "./elf.ts";

/** Behind the interpreter, and near enough for a jump to it (±2 GiB). */
const ADDRESS = 0x1000_0000;
/** No kernel's pages are larger. */
const LARGEST_PAGE = 0x1_0000;

/** Runs a program and gives what it writes. */
type Run = (...command: string[]) => Promise<string>;

/**
 * Links `<file>.o`, a relocatable file, into `file`, and returns lines of a function's name and its address. What it takes
 * from the C library it gets where `interpreter` gets it: there is one copy and one errno for both. Throws for what the
 * interpreter does not take.
 */
export async function linkHelper(run: Run, cc: string, file: string, interpreter: string): Promise<string> {
  const places = importPlaces(await run("readelf", "--relocs", "--wide", interpreter));
  const wanted = (await run("nm", "--undefined-only", "--format=just-symbols", `${file}.o`)).split("\n");
  const jumps = `${file}.jumps.s`;
  await Bun.write(jumps, wanted.map((name) => jump(name, places)).join(""));
  const layout = [
    `-Ttext-segment=0x${ADDRESS.toString(16)}`,
    `-zmax-page-size=${LARGEST_PAGE}`,
    "-znoseparate-code",
    "-znorelro",
  ];
  const options = [...layout, "-znoexecstack", "--build-id=none", "--entry=0"].map((option) => `-Wl,${option}`);
  await run(cc, "-static", "-nostdlib", ...options, "-o", file, `${file}.o`, jumps);
  const symbols = await run("nm", "--defined-only", file);
  await run("strip", file);
  const found = symbols.matchAll(/^(\S+) T (ctr_\S+)$/gm);
  return [...found].map(([, address, name]) => `${name} ${Number(`0x${address}`)}\n`).join("");
}

/** Of each function that a program takes from a library: where the loader writes its address. readelf(1) cuts long kinds. */
function importPlaces(relocations: string): ReadonlyMap<string, string> {
  const lines = relocations.matchAll(/^([0-9a-f]+) .* R_\S+_JUMP_SL\S* +\S+ (\w+)(?:@\S+)? \+ 0$/gm);
  return new Map([...lines].map(([, place = "", name = ""]) => [name, `0x${place}`]));
}

function jump(name: string, places: ReadonlyMap<string, string>): string {
  const place = places.get(name);
  if (place === undefined) throw new Error(`the helper calls ${name}, which the interpreter does not import`);
  const code = process.arch === "arm64" ? `ldr x16, =${place}\n ldr x16, [x16]\n br x16` : `jmp *${place}`;
  return `.globl ${name}\n.type ${name}, %function\n${name}:\n ${code}\n`;
}

/** Program headers that only describe: the table itself, and notes for debuggers. */
const PT_NOTE = 4;
const PT_PHDR = 6;
const ET_EXEC = 2;

/**
 * The executable with the loaded segments of `part`, whose headers take the place of those that only describe. Throws if the
 * executable is one that the kernel puts anywhere, or reaches up to the part, or has no room for the headers.
 */
export function withPart(executable: Uint8Array, part: Uint8Array): Uint8Array {
  const start = Math.ceil(executable.length / LARGEST_PAGE) * LARGEST_PAGE;
  const joined = new Uint8Array(start + part.length);
  joined.set(executable);
  joined.set(part, start);
  const view = viewOf(joined);
  if (view.getUint16(16, true) !== ET_EXEC) throw new Error("the executable has no addresses of its own");
  const table = entries(view, PROGRAM_HEADERS);
  const size = view.getUint16(PROGRAM_HEADERS.size, true);
  const kept = table.filter((at) => ![PT_NOTE, PT_PHDR].includes(view.getUint32(at, true)));
  const end = Math.max(...kept.map((at) => word(view, at + SEGMENT.address) + word(view, at + SEGMENT.memorySize)));
  const partView = viewOf(part);
  const added = entries(partView, PROGRAM_HEADERS).filter((at) => partView.getUint32(at, true) === PT_LOAD);
  if (kept.length + added.length > table.length) throw new Error("there is no room for the headers of the helper");
  const headers = [
    ...kept.map((at) => joined.slice(at, at + size)),
    ...added.map((at) => {
      if (word(partView, at + SEGMENT.address) < end) throw new Error("the executable reaches up to the helper");
      const header = part.slice(at, at + size);
      setWord(new DataView(header.buffer), SEGMENT.offset, start + word(partView, at + SEGMENT.offset));
      return header;
    }),
  ];
  for (const [index, header] of headers.entries()) joined.set(header, table[index]);
  view.setUint16(PROGRAM_HEADERS.count, headers.length, true);
  return joined;
}
