/** `ctr login`: tries credentials at a registry and keeps them. */
import { CtrError } from "../../../internal/errors/error.ts";
import { type CredentialStore, type Credentials, openCredentialStore } from "../../../internal/registry/credentials.ts";
import { hostOfServer, verifyCredentials } from "../../../internal/registry/login.ts";
import { loadRegistrySettings } from "../../../internal/registry/settings.ts";
import { defineCommand } from "../command.ts";
import { harmless } from "../fail.ts";
import { printError, printLine } from "../output.ts";
import { mayAsk, openPrompt } from "../prompt.ts";

const MAX_PASSWORD = 64 << 10;

export const command = defineCommand({
  meta: {
    name: "login",
    description: "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
  },
  usage: "[OPTIONS] [SERVER]",
  operands: [0, 1],
  flags: {
    password: {
      type: "string",
      alias: "p",
      valueHint: "string",
      description: "Password or Personal Access Token (PAT)",
    },
    "password-stdin": {
      type: "boolean",
      description: "Take the Password or Personal Access Token (PAT) from stdin",
    },
    username: { type: "string", alias: "u", valueHint: "string", description: "Username" },
  },
  async run({ flags, operands }) {
    const { username, password, "password-stdin": isFromStdin } = flags;
    if (isFromStdin && password !== undefined) {
      throw new CtrError("invalid", "conflicting options: cannot specify both --password and --password-stdin");
    }
    if (isFromStdin && (username ?? "") === "") {
      throw new CtrError("invalid", "the --password-stdin option requires --username to be set");
    }
    if (username === "") throw new CtrError("invalid", "username is empty");
    if (password !== undefined) {
      printError("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    const settings = loadRegistrySettings(process.env);
    const store = openCredentialStore(process.env);
    const host = operands[0] === undefined || operands[0] === "" ? "docker.io" : hostOfServer(operands[0]);
    const kept = await store.get(host);
    const isAsKept = username === undefined && password === undefined && kept !== undefined;
    if (isAsKept && kept.username !== "") {
      printError(`Authenticating with existing credentials... [Username: ${harmless(kept.username)}]`);
      printError("\n Info -> To login with a different account, run 'ctr logout' followed by 'ctr login'\n\n");
    }
    const tried = isAsKept
      ? kept
      : await collect(username ?? "", isFromStdin ? await passwordFromStdin() : (password ?? ""), kept?.username);
    const verified = await verifyCredentials(settings, host, tried);
    await keep(store, host, verified, kept);
    printLine("Login Succeeded");
    return 0;
  },
});

/** What the flags did not say, the terminal is asked for. */
async function collect(username: string, password: string, known: string | undefined): Promise<Credentials> {
  if (username !== "" && password !== "") return { username, password, identityToken: undefined };
  if (!mayAsk()) throw new CtrError("invalid", "Cannot perform an interactive login from a non TTY device");
  await using prompt = openPrompt();
  const preset = known === undefined || known === "" ? "" : ` (${harmless(known)})`;
  const name = username !== "" ? username : (await prompt.ask(`Username${preset}: `)).trim() || (known ?? "");
  if (name === "") throw new CtrError("invalid", "username is empty");
  const secret = password !== "" ? password : await prompt.askSecret("Password: ");
  if (secret === "") throw new CtrError("invalid", "password is empty");
  return { username: name, password: secret, identityToken: undefined };
}

/** All of standard input, without the newline that `echo` puts at its end. */
async function passwordFromStdin(): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of Bun.stdin.stream()) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_PASSWORD) throw new CtrError("invalid", `the password is longer than ${MAX_PASSWORD} bytes`);
  }
  return text.replace(/\r?\n$/, "");
}

async function keep(
  store: CredentialStore,
  host: string,
  credentials: Credentials,
  kept: Credentials | undefined,
): Promise<void> {
  const isSame =
    kept?.username === credentials.username &&
    kept.password === credentials.password &&
    kept.identityToken === credentials.identityToken;
  await store.put(host, credentials);
  const keeper = store.keeperOf(host);
  if (isSame || credentials.identityToken !== undefined || "helper" in keeper) return;
  printError(
    `\nWARNING! Your credentials are stored unencrypted in '${harmless(keeper.file)}'.\n` +
      "Configure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n",
  );
}
