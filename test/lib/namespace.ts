/** A network namespace of its own, held by a process. For tests and benches: nothing here needs a test runner. */
import { readlinkSync } from "node:fs";
import { waitFor } from "./wait.ts";

/** Starts the process; the caller ends it. */
export async function holdNamespace(): Promise<Bun.Subprocess> {
  const own = readlinkSync("/proc/self/ns/net");
  const child = Bun.spawn(["unshare", "--net", "--", "sleep", "infinity"], { stdin: "ignore" });
  await waitFor("a network namespace", () => readlinkSync(`/proc/${child.pid}/ns/net`) !== own);
  return child;
}
