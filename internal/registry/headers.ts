/**
 * What registries say in headers: challenges, links, ranges, delays. Each parser gives undefined (or nothing) for what
 * it does not understand, and looks at a bounded text once.
 */

/** One way to say who we are (RFC 9110, 11.6.1): `Bearer realm="https://auth.example.com/token",service="registry"`. */
export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: { readonly [name: string]: string };
}

const MAX_HEADER = 8192;
const MAX_CHALLENGES = 16;

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const SPACE = /[ \t]*/y;
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y;

/** The challenges of WWW-Authenticate; several headers come joined by commas. Stops at what is no challenge. */
export function parseChallenges(header: string): readonly Challenge[] {
  const input = header.slice(0, MAX_HEADER);
  const challenges: Challenge[] = [];
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(input)?.[0];
    at += found?.length ?? 0;
    return found;
  };
  const skipCommas = () => {
    take(SPACE);
    while (input[at] === ",") {
      at++;
      take(SPACE);
    }
  };
  /** `name = value`; undefined, with `at` where it was, if what follows is the next scheme. */
  const parameter = (): readonly [string, string] | undefined => {
    const start = at;
    const name = take(TOKEN);
    take(SPACE);
    if (name === undefined || input[at] !== "=") {
      at = start;
      return undefined;
    }
    at++;
    take(SPACE);
    const value = input[at] === '"' ? quoted() : take(TOKEN);
    if (value === undefined) {
      at = input.length;
      return undefined;
    }
    return [name.toLowerCase(), value];
  };
  const quoted = (): string | undefined => {
    let value = "";
    for (at++; at < input.length; at++) {
      const character = input[at] ?? "";
      if (character === '"') {
        at++;
        return value;
      }
      if (character === "\\") at++;
      value += input[at] ?? "";
    }
    return undefined;
  };
  for (skipCommas(); at < input.length && challenges.length < MAX_CHALLENGES; skipCommas()) {
    const scheme = take(TOKEN);
    if (scheme === undefined) break;
    const parameters: { [name: string]: string } = Object.create(null);
    take(SPACE);
    take(TOKEN68);
    for (skipCommas(); at < input.length; skipCommas()) {
      const found = parameter();
      if (found === undefined) break;
      // The first one counts: a second `realm` must not replace it.
      if (parameters[found[0]] === undefined) parameters[found[0]] = found[1];
    }
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
  }
  return challenges;
}

/** The target of `rel="next"` (RFC 8288): `</v2/app/tags/list?last=b&n=2>; rel="next"`. */
export function parseNextLink(header: string): string | undefined {
  const input = header.slice(0, MAX_HEADER);
  for (const match of input.matchAll(/<([^<>]*)>([^<]*)/g)) {
    if (/;[ \t]*rel[ \t]*=[ \t]*(?:"(?:[^"]* )?next(?: [^"]*)?"|next)[ \t]*(?=[;,]|$)/i.test(match[2] ?? "")) {
      return match[1];
    }
  }
  return undefined;
}

/** `bytes 100-199/200`; `total` undefined for `*`. */
export function parseContentRange(
  header: string,
): { readonly first: number; readonly last: number; readonly total: number | undefined } | undefined {
  const match = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/.exec(header);
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2]);
  const total = match[3] === "*" ? undefined : Number(match[3]);
  if (![first, last, total ?? 0].every(Number.isSafeInteger) || last < first) return undefined;
  return total !== undefined && last >= total ? undefined : { first, last, total };
}

/**
 * How many bytes an upload has, by its `Range: 0-1023` (distribution-spec, Pushing a blob in chunks). `0-0` is one byte
 * by the letter, but docker-registry says it for none, and sending one byte again is refused, not lost.
 */
export function parseUploadRange(header: string): number | undefined {
  const match = /^(?:bytes=)?0-(\d{1,16})$/.exec(header);
  const last = Number(match?.[1]);
  if (match === null || !Number.isSafeInteger(last)) return undefined;
  return last === 0 ? 0 : last + 1;
}

/** Retry-After in milliseconds from `nowMs` on: seconds or a date (RFC 9110, 10.2.3). */
export function parseRetryAfter(header: string, nowMs: number): number | undefined {
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  if (!/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(header)) return undefined;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}

/** Content-Length as a number; undefined if it is none. */
export function parseLength(header: string | null): number | undefined {
  if (header === null || !/^\d{1,16}$/.test(header)) return undefined;
  const length = Number(header);
  return Number.isSafeInteger(length) ? length : undefined;
}

/** A media type without its parameters, lower case; empty for what is none. */
export function parseMediaType(header: string | null): string {
  const type = (header ?? "").slice(0, MAX_HEADER).split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+$/.test(type) ? type : "";
}
