/** Where a test's own files lie: below the directory that scripts/private-host removes, whatever becomes of the test. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";

/** A new, empty directory; `name` says whose. */
export function testHome(name: string): string {
  return mkdtempSync(`${process.env["CTR_TEST_HOME"] ?? tmpdir()}/${name}-`);
}
