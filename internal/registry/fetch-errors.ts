/** What goes wrong with fetch, in words. */
import type { ErrorKind } from "../errors/error.ts";
import { RegistryError, shown } from "./registry-error.ts";

/** What an error thrown by fetch means; `context` is what was asked. */
export function fetchFailure(context: string, error: unknown): RegistryError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const found = FETCH_ERRORS.find(({ codes }) => codes.includes(code));
  const why = found?.why ?? `the request failed${code === "" ? "" : `: ${shown(code, 60)}`}`;
  return new RegistryError(found?.kind ?? "unavailable", `${context}: ${why}`, {
    isTransient: found?.isTransient ?? false,
    ...(found?.isUnreached === true ? { code: UNREACHED } : {}),
    cause: error,
  });
}

/** The `code` of the error when a host was not even reached. */
export const UNREACHED = "UNREACHED";

interface FetchError {
  readonly codes: readonly string[];
  readonly kind: ErrorKind;
  readonly why: string;
  readonly isTransient?: boolean;
  readonly isUnreached?: boolean;
}

/** fetch's codes, in the words of Go's net and crypto packages, which Docker's users know. */
const FETCH_ERRORS: readonly FetchError[] = [
  { codes: ["ECONNREFUSED"], kind: "unavailable", why: "connection refused", isTransient: true, isUnreached: true },
  { codes: ["ENOTFOUND", "EAI_NONAME"], kind: "unavailable", why: "no such host", isUnreached: true },
  {
    codes: ["EAI_AGAIN", "DNSException"],
    kind: "unavailable",
    why: "the host's name could not be looked up",
    isTransient: true,
    isUnreached: true,
  },
  { codes: ["EHOSTUNREACH"], kind: "unavailable", why: "no route to host", isTransient: true, isUnreached: true },
  { codes: ["ENETUNREACH"], kind: "unavailable", why: "network is unreachable", isTransient: true, isUnreached: true },
  {
    codes: ["ETIMEDOUT", "ConnectionTimeout", "Timeout"],
    kind: "unavailable",
    why: "connection timed out",
    isTransient: true,
    isUnreached: true,
  },
  {
    codes: ["ECONNRESET", "EPIPE", "ConnectionClosed"],
    kind: "unavailable",
    why: "the connection was closed before the answer was complete",
    isTransient: true,
  },
  {
    codes: ["EPROTO"],
    kind: "unavailable",
    why: "the TLS handshake failed: does it speak plain HTTP? (insecure registries: docs/registries.md)",
    isUnreached: true,
  },
  { codes: ["ERR_PROXY_TUNNEL"], kind: "unavailable", why: "the proxy refuses the connection", isUnreached: true },
  {
    codes: ["FailedToOpenSocket"],
    kind: "invalid",
    why: "no connection could be set up: are the client certificate and its key whole?",
  },
  {
    codes: ["ERR_TLS_CERT_ALTNAME_INVALID"],
    kind: "denied",
    why: "tls: failed to verify certificate: x509: certificate is valid for another host",
  },
  {
    codes: ["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"],
    kind: "denied",
    why: "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
  },
  {
    codes: [
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "UNABLE_TO_GET_ISSUER_CERT",
      "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      "SELF_SIGNED_CERT_IN_CHAIN",
    ],
    kind: "denied",
    why: "tls: failed to verify certificate: x509: certificate signed by unknown authority",
  },
  {
    codes: ["Malformed_HTTP_Response", "InvalidContentLength", "InvalidHTTPResponse"],
    kind: "invalid",
    why: "malformed HTTP response",
  },
  { codes: ["ResponseHeadersTooLarge"], kind: "invalid", why: "the answer's headers are too long" },
];
