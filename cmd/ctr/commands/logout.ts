/** `ctr logout`: forgets the credentials for a registry. */
import { openCredentialStore, serverOf } from "../../../internal/registry/credentials.ts";
import { hostOfServer } from "../../../internal/registry/login.ts";
import { defineCommand } from "../command.ts";
import { printLine } from "../output.ts";

export const command = defineCommand({
  meta: {
    name: "logout",
    description: "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
  },
  usage: "[SERVER]",
  operands: [0, 1],
  flags: {},
  async run({ operands }) {
    const host = operands[0] === undefined || operands[0] === "" ? "docker.io" : hostOfServer(operands[0]);
    // Docker says so whether there were any or not.
    printLine(`Removing login credentials for ${serverOf(host)}`);
    await openCredentialStore(process.env).remove(host);
    return 0;
  },
});
