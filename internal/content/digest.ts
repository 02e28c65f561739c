/** Digests live in `internal/spec`, where rooms of every floor may read them; the store's users find them here too. */
export { chainIds, type Digest, digestOf, hexOf, isDigest, parseDigest } from "../spec/digest.ts";
