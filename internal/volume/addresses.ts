/**
 * Servers of volumes that lie on the network, by number: the kernel looks no name up (nfs(5), "addr="; moby volume/local
 * does it at every mount too).
 */
import { CtrError } from "../errors/error.ts";
import { localMount } from "./local-driver.ts";
import type { LocalOptions, MountPoint } from "./mount-point.ts";

const OF_THE_NETWORK = ["nfs", "nfs4", "cifs"];
const ADDRESS = /(^|,)addr=([^,]*)/;
const NUMERIC = /^\d+\.\d+\.\d+\.\d+$|:/;

/** The name in a volume's `addr=`, or undefined where nothing is to be looked up. */
function nameOf(options: LocalOptions | undefined): string | undefined {
  if (options === undefined || !OF_THE_NETWORK.includes(localMount(options).type)) return undefined;
  const name = ADDRESS.exec(options["o"] ?? "")?.[2];
  return name === undefined || name === "" || NUMERIC.test(name) ? undefined : name;
}

/** The mounts with every name replaced by an address. Throws `unavailable` for one that is not found. */
export async function withAddresses(mounts: readonly MountPoint[]): Promise<MountPoint[]> {
  return await Promise.all(
    mounts.map(async (mount) => {
      const name = nameOf(mount.options);
      if (name === undefined) return mount;
      const address = await lookUp(name);
      const o = (mount.options?.["o"] ?? "").replace(ADDRESS, `$1addr=${address}`);
      return { ...mount, options: { ...mount.options, o } };
    }),
  );
}

async function lookUp(name: string): Promise<string> {
  let found: readonly { readonly address: string }[];
  try {
    found = await Bun.dns.lookup(name, { family: 4 });
  } catch (error) {
    throw new CtrError("unavailable", `error resolving passed in network volume address: ${name}`, { cause: error });
  }
  const [first] = found;
  if (first === undefined)
    throw new CtrError("unavailable", `error resolving passed in network volume address: ${name}`);
  return first.address;
}
