/** What may be the name of a network: one pattern for the command line, the messages to netd and netd's rows. */

/** The usual ones, told without the tables of Unicode. */
const USUAL = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;
/** As in Docker blanks and letters of every language, but nothing that is not seen, and no blank at either end. */
const SEEN = /^[^\p{C}\p{Z}](?:[^\p{C}\p{Zl}\p{Zp}]{0,126}[^\p{C}\p{Z}])?$/u;

/** True for a network's name or id, of at most 128 characters. `container:web` is a mode of `--network`. */
export function isNetworkName(text: string): boolean {
  return USUAL.test(text) || (!text.startsWith("container:") && SEEN.test(text));
}
