/**
 * The conformance suite on cgroup v2, in the virtual machine of test/lib/machine.ts: with cgroups of its own, and with
 * scopes of systemd's. The suite goes there as one executable.
 */
import { existsSync } from "node:fs";
import type { PayloadFile } from "../lib/machine.ts";
import { worldProgram } from "./harness.ts";

/** The suite (table.ts) as an executable, and its probe. */
export function conformancePayload(): { readonly [name: string]: PayloadFile } {
  const suite = `${process.env["CTR_TEST_HOME"] ?? "/tmp"}/oci-table-${process.pid}`;
  if (!existsSync(suite)) {
    const { exitCode, stderr } = Bun.spawnSync([
      ...[process.execPath, "build", "--compile", "--minify", `${import.meta.dir}/table.ts`, "--outfile", suite],
    ]);
    if (exitCode !== 0) throw new Error(`build the conformance suite: ${stderr.toString()}`);
  }
  return { "oci-table": { from: suite }, world: { from: worldProgram() } };
}

/** Another runtime of this machine's with the libraries it needs; the virtual one is of the same release of Debian. */
export function runtimePayload(name: string): { readonly [file: string]: PayloadFile } {
  const path = Bun.which(name, { PATH: "/usr/sbin:/usr/bin" });
  if (path === null) return {};
  const libraries = Bun.spawnSync(["ldd", path])
    .stdout.toString()
    .split("\n")
    .flatMap((line) => /=> (\/\S+\/(lib\S+)) /.exec(line)?.slice(1, 3) ?? []);
  const files: { [file: string]: PayloadFile } = { [name]: { from: path } };
  for (let at = 0; at + 1 < libraries.length; at += 2) files[libraries[at + 1] ?? ""] = { from: libraries[at] ?? "" };
  return files;
}
