/** Whether a host's addresses lie in one of the networks. */
import { dns } from "bun";
import { isInNetwork, type Network, parseAddress } from "./host-match.ts";

/** True if any of the host's addresses is in one of the networks; a name that does not resolve is in none. */
export async function isHostIn(hostname: string, networks: readonly Network[]): Promise<boolean> {
  const literal = parseAddress(hostname);
  let found: readonly string[] = [hostname];
  if (literal === undefined) {
    try {
      found = (await dns.lookup(hostname)).map(({ address }) => address);
    } catch {
      // The request that follows says that the name does not resolve.
      return false;
    }
  }
  return found.some((text) => {
    const address = parseAddress(text);
    return address !== undefined && networks.some((network) => isInNetwork(address, network));
  });
}
