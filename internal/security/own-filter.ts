/** Installs the filters of own-filter-program.ts, which says what is in them. */
import ownPrograms from "../../build/seccomp-own.b64" with { type: "text" };
import { installFilter } from "../sys/seccomp.ts";

export type FilteredRole = "netd" | "supervisor";

/** Refuses the role's calls to every thread of this process, and to what it starts from now on. */
export function filterOwnCalls(role: FilteredRole): void {
  for (const line of ownPrograms.split("\n")) {
    const [architecture, name, program = ""] = line.split(" ");
    if (architecture === process.arch && name === role) installFilter(Uint8Array.fromBase64(program));
  }
}
