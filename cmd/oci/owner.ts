/** The name of a user of this machine. */
import { readText } from "../../internal/sys/file.ts";

/** From passwd(5); a number that nobody has is "". */
export function ownerName(uid: number): string {
  if (uid === 0) return "root";
  const line = readText("/etc/passwd")
    .split("\n")
    .find((entry) => entry.split(":")[2] === String(uid));
  return line?.split(":")[0] ?? "";
}
