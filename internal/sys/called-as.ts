/** The name this program was called by, which the interpreter does not tell. */
import { lib } from "./lib.ts";

/** No name in a file system is longer. */
const NAME_MAX = 255;

/** The last part of argv[0]: `ctr`, or the name of a link. */
export function calledAs(): string {
  const name = new Uint8Array(NAME_MAX);
  return new TextDecoder().decode(name.subarray(0, Number(lib.ctr_called_as(name, NAME_MAX))));
}
