/** Digests (image-spec descriptor.md#digests): parsed before they touch a path. */
import { CtrError } from "../errors/error.ts";

/** `sha256:` and 64 lower-case hexadecimal digits; made only by `parseDigest` and `digestOf`. */
export type Digest = string & { readonly brand: "digest" };

const PATTERN = /^sha256:[0-9a-f]{64}$/;

/** Throws CtrError `invalid` for anything but a sha256 digest; `what` names it in the message. */
export function parseDigest(text: string, what = "digest"): Digest {
  if (!isDigest(text)) throw new CtrError("invalid", `invalid ${what} ${JSON.stringify(text.slice(0, 200))}`);
  return text;
}

export function isDigest(text: string): text is Digest {
  return PATTERN.test(text);
}

/** The hexadecimal part. */
export function hexOf(digest: Digest): string {
  return digest.slice("sha256:".length);
}

/** The digest of bytes in memory. */
export function digestOf(bytes: Uint8Array | string): Digest {
  return parseDigest(`sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`);
}

/** chain id = sha256(parent chain + " " + diff id), image-spec config.md#layer-chainid. */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const parent = chain.at(-1);
    chain.push(parent === undefined ? diffId : digestOf(`${parent} ${diffId}`));
  }
  return chain;
}
