/** Trying credentials at a registry, as `docker login` does before it keeps them. */
import { CtrError } from "../errors/error.ts";
import type { Credentials } from "./credentials.ts";
import { Session } from "./session.ts";
import { endpointsOf, type RegistrySettings } from "./settings.ts";
import { Transport } from "./transport.ts";

/**
 * The credentials to keep: with the identity token if the registry's token server gives one for the password. Throws
 * RegistryError `denied` if the registry refuses them.
 */
export async function verifyCredentials(
  settings: RegistrySettings,
  host: string,
  credentials: Credentials,
): Promise<Credentials> {
  using transport = new Transport(settings, undefined);
  const [endpoint] = await endpointsOf(settings, host, "push");
  if (endpoint === undefined) throw new CtrError("internal", `${host}: no endpoint`);
  const authority = { get: async () => credentials };
  const session = new Session(transport, endpoint, authority, { settings }, { wantsIdentity: true });
  const answer = await session.ask({ method: "GET", target: "/v2/", scopes: [] }, [200, 401]);
  await answer.discard();
  if (answer.status === 401) {
    const what = `login attempt to ${answer.url.href} failed with status: 401 Unauthorized`;
    throw new CtrError("denied", what);
  }
  const identityToken = await session.identityToken();
  return identityToken === undefined ? credentials : { ...credentials, password: "", identityToken };
}

/** What a user typed for a registry as its host: `https://registry.example.com/v2/` → `registry.example.com`. */
export function hostOfServer(server: string): string {
  const host = server.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  if (!/^[\w.-]+(?::\d{1,5})?$|^\[[0-9a-fA-F:.]+\](?::\d{1,5})?$/.test(host)) {
    throw new CtrError("invalid", `invalid registry ${JSON.stringify(server.slice(0, 100))}`);
  }
  return host;
}
