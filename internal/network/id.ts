/** Ids of networks and endpoints: 64 hexadecimal digits, as Docker's. */
export function randomId(): string {
  return crypto.getRandomValues(new Uint8Array(32)).toHex();
}
