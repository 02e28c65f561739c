/** A question before something is removed for good. */
import { read } from "../../internal/sys/fd.ts";
import { print } from "./output.ts";

const STDIN = 0;
const NEWLINE = 0x0a;

/** Asks with the warning; true only for "y". The end of the input is a no, as is an empty line. */
export function isConfirmed(warning: string): boolean {
  print(`${warning}Are you sure you want to continue? [y/N] `);
  const answer: number[] = [];
  const byte = new Uint8Array(1);
  // One at a time: what follows the line is somebody else's.
  while (read(STDIN, byte) === 1 && byte[0] !== NEWLINE) answer.push(byte[0] ?? 0);
  return (
    String.fromCharCode(...answer.slice(0, 16))
      .trim()
      .toLowerCase() === "y"
  );
}
