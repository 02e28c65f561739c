/** `ctr seccomp explain`: what a profile answers to a system call, and why. */
import { allCapabilities, capabilitiesFromFlags } from "../../../../internal/security/capabilities.ts";
import { explain, targetOf } from "../../../../internal/security/seccomp/explain.ts";
import { contextHere, readProfile } from "../../../../internal/security/seccomp/on-demand.ts";
import { defineCommand } from "../../command.ts";
import { UsageError } from "../../flags.ts";
import { printLine } from "../../output.ts";

export const command = defineCommand({
  meta: { name: "explain", description: "Show what a seccomp profile answers to a system call, and by which rule" },
  usage: "[OPTIONS] SYSCALL [ARGUMENT...]",
  operands: [1, 7],
  flags: {
    arch: {
      type: "string",
      valueHint: "string",
      description:
        'Architecture the call is made for ("x86_64", "x86", "x32", "aarch64", "arm"); default the machine\'s',
    },
    "cap-add": { type: "string", valueHint: "list", repeatable: true, description: "Add Linux capabilities" },
    "cap-drop": { type: "string", valueHint: "list", repeatable: true, description: "Drop Linux capabilities" },
    privileged: { type: "boolean", description: "As in a container with extended privileges" },
    profile: {
      type: "string",
      valueHint: "string",
      default: "builtin",
      description: 'A profile\'s file, "builtin" or "unconfined"',
    },
  },
  async run({ flags, operands: [call = "", ...rest] }) {
    const capabilities = flags.privileged
      ? allCapabilities()
      : capabilitiesFromFlags(flags["cap-add"], flags["cap-drop"]);
    const context = contextHere(capabilities);
    const target = targetOf(flags.arch, context.native);
    // A privileged container has no filter unless it is given one.
    const isUnasked = flags.privileged && flags.profile === "builtin";
    const profile = isUnasked ? undefined : readProfile(flags.profile);
    const args = rest.length === 0 ? undefined : rest.map(argument);
    const { call: name, number, shown, lines, notes } = explain(profile, context, target, call, args);
    printLine(`${name === `${number}` ? shown : `${name} (${shown})`} on ${target.word}`);
    for (const { answer, when, why } of lines) {
      printLine(`  ${answer}${when === undefined ? "" : when === "otherwise" ? ", otherwise" : ` if ${when}`}`);
      printLine(`    ${why}`);
    }
    for (const note of notes) printLine(`  ${note}`);
    return 0;
  },
});

function argument(text: string): bigint {
  if (!/^(-?\d{1,20}|0x[0-9a-f]{1,16})$/i.test(text)) {
    throw new UsageError(`ctr: invalid argument ${JSON.stringify(text)}: must be a number`, 1);
  }
  return BigInt.asUintN(64, BigInt(text));
}
