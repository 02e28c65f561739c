/**
 * Plays the conformance suite in the virtual machine, where there are cgroup v2 and systemd, and prints its verdicts as
 * `table.ts --rows` does. Inside scripts/private-host.
 *
 *   bun test/oci/machine-rows.ts RUNTIME...      ctr, runc, crun, and each with `+systemd`
 */
import { boot, machine } from "../lib/machine.ts";
import { binary } from "../lib/needs.ts";
import { conformancePayload, runtimePayload } from "./in-machine.ts";

const LIMIT_MS = 3_600_000;
const VM = `${import.meta.dir}/../vm`;

const words = process.argv.slice(2);
const vm = machine();
if (vm === undefined) throw new Error("test/vm/make has not been run");
const others = new Set(words.map((word) => word.replace("+systemd", "")).filter((name) => name !== "ctr"));
const shown = await boot(
  vm,
  {
    ...{ main: { from: `${VM}/conformance` }, suite: { from: `${VM}/suite` }, ctr: { from: binary() } },
    ...{ runtimes: { text: words.join(" ") } },
    ...conformancePayload(),
    ...Object.assign({}, ...[...others].map(runtimePayload)),
  },
  LIMIT_MS,
);
if (!shown.includes("all rows")) throw new Error(`the machine did not come to the end:\n${shown}`);
console.log(shown);
process.exit(0);
