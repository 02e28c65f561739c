/** How a registry's refusal becomes an error: Docker's words, nothing that could steer a terminal. */
import { CtrError, type ErrorKind } from "../errors/error.ts";

interface RegistryErrorOptions {
  readonly status?: number;
  readonly code?: string;
  readonly isTransient?: boolean;
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** A request that failed, by the registry's answer or on the way. */
export class RegistryError extends CtrError {
  /** The HTTP status; undefined if there was no answer. */
  readonly status: number | undefined;
  /** The first error code of the answer: `MANIFEST_UNKNOWN` (distribution-spec, Error Codes). */
  readonly code: string | undefined;
  /** True if the same request may well succeed later or elsewhere: 429, 5xx, a lost or stalled connection. */
  readonly isTransient: boolean;
  /** How long the registry asks to wait before the next attempt. */
  readonly retryAfterMs: number | undefined;

  constructor(kind: ErrorKind, message: string, options: RegistryErrorOptions = {}) {
    super(kind, message, options.cause === undefined ? {} : { cause: options.cause });
    this.status = options.status;
    this.code = options.code;
    this.isTransient = options.isTransient === true;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** The same failure, with what it was the failure of; it has had its attempts. */
  during(what: string): RegistryError {
    const { status, code } = this;
    return new RegistryError(this.kind, `${what}: ${this.message}`, {
      ...(status === undefined ? {} : { status }),
      ...(code === undefined ? {} : { code }),
      cause: this,
    });
  }
}

/** The most that is shown of one text of a server. */
const MAX_SHOWN = 300;
const MAX_SHOWN_ERRORS = 5;

/** A server's text for a message: printable, one line, short. */
export function shown(text: string, most = MAX_SHOWN): string {
  // Cut first: a hostile text may be as long as the limit of the body that held it.
  const harmless = text
    .slice(0, most + 1)
    .replace(/[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+/g, " ")
    .trim();
  return harmless.length > most ? `${harmless.slice(0, most)}…` : harmless;
}

/** The error for an answer that is none of those hoped for. `body` is its beginning. */
export function errorOfAnswer(status: number, statusText: string, body: string, retryAfterMs?: number): RegistryError {
  const errors = parseErrors(body);
  const code = errors[0]?.code;
  const message =
    errors.length === 0
      ? wordsOfStatus(status, statusText)
      : errors.slice(0, MAX_SHOWN_ERRORS).map(formatError).join(", ");
  return new RegistryError(kindOf(status, code), message, {
    status,
    ...(code === undefined ? {} : { code }),
    isTransient: isTransientStatus(status),
    retryAfterMs,
  });
}

/** 408 and 425 ask for a repetition by what they mean (RFC 9110, RFC 8470); 429 and most of 5xx pass. */
export function isTransientStatus(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
}

interface AnsweredError {
  readonly code: string;
  readonly message: string;
  readonly detail: string;
}

/** `{"errors": [{"code", "message", "detail"}]}`; token servers and old registries send `{"details"}`, `{"error"}` too. */
export function parseErrors(body: string): readonly AnsweredError[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    // A proxy's HTML page, a cut text: the status has to do.
    return [];
  }
  const answer = asObject(parsed);
  const list = answer?.["errors"];
  if (Array.isArray(list)) return list.slice(0, MAX_SHOWN_ERRORS + 1).flatMap((item) => answeredError(asObject(item)));
  // RFC 6749, 5.2 (token servers); registries before the error format.
  const message = text(answer?.["details"]) ?? text(answer?.["error_description"]) ?? text(answer?.["message"]);
  const code = text(answer?.["error"]);
  if (message === undefined && code === undefined) return [];
  return [{ code: code ?? "", message: message ?? "", detail: "" }];
}

function answeredError(item: { readonly [key: string]: unknown } | undefined): AnsweredError[] {
  const code = text(item?.["code"]);
  const message = text(item?.["message"]);
  if (code === undefined && message === undefined) return [];
  return [{ code: code ?? "", message: message ?? "", detail: text(item?.["detail"]) ?? "" }];
}

/** Docker's form: `manifest unknown: manifest unknown`. */
function formatError({ code, message, detail }: AnsweredError): string {
  const words = shown(code).toLowerCase().replaceAll("_", " ");
  return [words, shown(message), shown(detail)].filter((part) => part !== "").join(": ");
}

function wordsOfStatus(status: number, statusText: string): string {
  if (status === 401) return "unauthorized: authentication required";
  if (status === 403) return "denied: requested access to the resource is denied";
  if (status === 429) return "toomanyrequests: the registry refuses further requests for now";
  return `received unexpected HTTP status: ${status}${statusText === "" ? "" : ` ${shown(statusText, 60)}`}`;
}

function kindOf(status: number, code: string | undefined): ErrorKind {
  if (code === "DENIED" || code === "UNAUTHORIZED" || status === 401 || status === 403) return "denied";
  if (status === 404) return "not-found";
  if (code === "UNSUPPORTED" || status === 405 || status === 501) return "unsupported";
  if (isTransientStatus(status)) return "unavailable";
  return status >= 400 && status < 500 ? "invalid" : "unavailable";
}

export function asObject(value: unknown): { readonly [key: string]: unknown } | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as { readonly [key: string]: unknown })
    : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
