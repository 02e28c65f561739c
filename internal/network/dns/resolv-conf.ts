/** The host's name servers, as resolv.conf(5) lists them. */
import { ENOENT, isErrno } from "../../errors/error.ts";
import { O_RDONLY, open } from "../../sys/fd.ts";
import { fstat, readText } from "../../sys/file.ts";

const PATH = "/etc/resolv.conf";
/** As many as the C library asks: `MAXNS`. */
const MAX_SERVERS = 3;

/** The servers of a file, in its order; a line that names none is left out. */
export function parseServers(text: string): string[] {
  return text
    .split("\n")
    .map((line) => /^\s*nameserver\s+([0-9a-fA-F.:]+(?:%[\w.-]+)?)\s*(?:[#;].*)?$/.exec(line)?.[1])
    .filter((server) => server !== undefined)
    .slice(0, MAX_SERVERS);
}

/** The host's servers now: the file is read again when it is another, or has changed. */
export function createHostServers(path = PATH): () => readonly string[] {
  let seen = "";
  let servers: readonly string[] = [];
  return () => {
    try {
      using file = open(path, O_RDONLY);
      const { ino, mtimeNs, size } = fstat(file.number);
      const now = `${ino} ${mtimeNs} ${size}`;
      if (now !== seen) {
        servers = parseServers(readText(path));
        seen = now;
      }
    } catch (error) {
      if (!isErrno(error, ENOENT)) throw error;
      servers = [];
      seen = "";
    }
    return servers;
  };
}
