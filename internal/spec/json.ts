/**
 * JSON whose 64-bit masks stay whole. JavaScript's numbers lose the lower bits of what is above 2^53; the values that
 * seccomp conditions compare with are the only fields where they matter.
 */

declare global {
  interface JSON {
    /** ECMAScript 2026: a number's text, written as it is. */
    rawJSON(text: string): unknown;
  }
}

const EXACT = new Set(["value", "valuetwo"]);

/** As JSON.parse, but whole numbers above 2^53 in the fields of a seccomp condition are bigints. */
export function parseJson(text: string): unknown {
  // Most documents hold no such number, and the plain parser is several times as fast.
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  return JSON.parse(text, (key, value: unknown, context?: { readonly source?: string }) => {
    if (typeof value !== "number" || Number.isSafeInteger(value) || !EXACT.has(key.toLowerCase())) return value;
    const source = context?.source ?? "";
    return /^\d+$/.test(source) ? BigInt(source) : value;
  });
}

/** As JSON.stringify, for what `parseJson` gave. */
export function stringifyJson(value: unknown): string {
  return JSON.stringify(value, (_, field: unknown) =>
    typeof field === "bigint" ? JSON.rawJSON(field.toString()) : field,
  );
}
