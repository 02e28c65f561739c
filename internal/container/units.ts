/** Numbers with units, as Docker's flags take them. */
import { durationFault, parseGoDuration } from "../image/go-duration.ts";
import { OptionError } from "./option-error.ts";

/** A flag's value that was given; an empty one is for `parse` to refuse, as pflag's numbers and sizes do. */
export function ifGiven<T>(text: string | undefined, parse: (text: string) => T): T | undefined {
  return text === undefined ? undefined : parse(text);
}

const SHIFT: { readonly [unit: string]: number } = { "": 0, b: 0, k: 10, m: 20, g: 30, t: 40, p: 50 };

/** A size in bytes: `64m`, `1.5g`, `512`, `10MiB`; 1024-based (go-units RAMInBytes). */
export function parseSize(flag: string, text: string): number {
  const [, digits, unit = ""] = /^((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?) ?([bkmgtp]?)(?:i?b)?$/i.exec(text.trim()) ?? [];
  const bytes = Math.floor(Number(digits) * 2 ** (SHIFT[unit.toLowerCase()] ?? 0));
  if (digits === undefined || !Number.isSafeInteger(bytes)) {
    throw new OptionError(`invalid size: '${text}'`, flag, text);
  }
  return bytes;
}

/** A size, or -1 for none (`--memory-swap -1`). */
export function parseSizeOrUnlimited(flag: string, text: string): number {
  return text === "-1" ? -1 : parseSize(flag, text);
}

/** CPUs in billionths: `0.5`, `1.25`, `3/2`, `1e-1`; how many there may be is the engine's question. */
export function parseCpus(flag: string, text: string): number {
  const [, above, below = "1"] = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(?:\/(\d+))?$/i.exec(text) ?? [];
  if (above === undefined || Number(below) === 0) {
    throw new OptionError(`failed to parse ${text} as a rational number`, flag, text);
  }
  const nano = (Number(above) / Number(below)) * 1e9;
  if (Math.abs(nano - Math.round(nano)) > 1e-3) throw new OptionError("value is too precise", flag, text);
  return Math.round(nano);
}

/** A Go duration in nanoseconds. */
export function parseDuration(flag: string, text: string): number {
  const ns = parseGoDuration(text);
  if (ns === undefined) throw new OptionError(durationFault(text), flag, text);
  return ns;
}

/** A whole number; the command line has checked its digits already. */
export function parseInteger(flag: string, text: string): number {
  const value = Number(text);
  if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new OptionError(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`, flag, text);
  }
  return value;
}

const MAX_UINT16 = 65535;

/** A whole number from 0 to 65535. */
export function parseUint16(flag: string, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text)) {
    throw new OptionError(`strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`, flag, text);
  }
  if (value > MAX_UINT16) {
    throw new OptionError(`strconv.ParseUint: parsing ${JSON.stringify(text)}: value out of range`, flag, text);
  }
  return value;
}
