/** Sizes as Docker prints them (go-units). */

const DECIMAL_UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const BINARY_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** A size in units of 1000 with three digits: `1.98MB`. */
export function humanSize(bytes: number, digits = 3): string {
  return sized(bytes, 1000, DECIMAL_UNITS, digits);
}

/** A size in units of 1024 with four digits, as for memory: `1.934GiB`. */
export function humanBinarySize(bytes: number): string {
  return sized(bytes, 1024, BINARY_UNITS, 4);
}

function sized(bytes: number, base: number, units: readonly string[], digits: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= base && unit < units.length - 1) {
    value /= base;
    unit++;
  }
  return `${Number(value.toPrecision(digits))}${units[unit] ?? ""}`;
}
