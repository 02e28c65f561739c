/** MAC addresses: six bytes, written `02:42:ac:11:00:02`. */
import { CtrError } from "../errors/error.ts";

/** A locally administered unicast address (IEEE 802: bit 1 of the first byte set, bit 0 clear), otherwise random. */
export function randomMac(): Uint8Array {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  bytes[0] = ((bytes[0] ?? 0) | 0x02) & 0xfe;
  return bytes;
}

/** The bytes of six hexadecimal pairs. Throws CtrError for other text, for a multicast address and for all zeros. */
export function parseMac(text: string): Uint8Array {
  const parts = text.split(/[:-]/);
  const bytes = new Uint8Array(parts.map((part) => Number.parseInt(part, 16)));
  const isMac = parts.length === 6 && parts.every((part) => /^[0-9a-fA-F]{2}$/.test(part));
  if (!isMac || ((bytes[0] ?? 0) & 1) !== 0 || bytes.every((byte) => byte === 0)) {
    throw new CtrError("invalid", `invalid MAC address: ${text}`);
  }
  return bytes;
}

export function formatMac(bytes: Uint8Array): string {
  return bytes.toHex().replace(/..(?=.)/g, "$&:");
}
