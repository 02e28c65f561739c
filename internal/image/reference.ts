/** Image references with Docker's normalisation: `alpine` is `docker.io/library/alpine:latest` and is shown as `alpine`. */
import { CtrError } from "../errors/error.ts";

export interface Reference {
  /** The registry: `docker.io`, `localhost:5000`. */
  readonly domain: string;
  /** The repository's path below the registry: `library/alpine`. */
  readonly path: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

// distribution-spec, as github.com/distribution/reference has it.
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const DOMAIN =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const TAG = /^[\w][\w.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const MAX_NAME = 255;

/** Parses what a user typed. Throws CtrError `invalid` with Docker's words. No tag is added: see `withDefaultTag`. */
export function parseReference(text: string): Reference {
  if (/^[a-f0-9]{64}$/.test(text)) {
    throw invalid(text, `cannot specify 64-byte hexadecimal strings`);
  }
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : text.slice(at + 1);
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(":");
  const hasTag = colon > named.lastIndexOf("/");
  const tag = hasTag ? named.slice(colon + 1) : undefined;
  const { domain, path } = splitDomain(hasTag ? named.slice(0, colon) : named);
  if (path.toLowerCase() !== path) throw invalid(text, "repository name must be lowercase");
  const isWellFormed =
    path !== "" &&
    path.split("/").every((part) => PATH_COMPONENT.test(part)) &&
    DOMAIN.test(domain) &&
    (tag === undefined || TAG.test(tag)) &&
    (digest === undefined || DIGEST.test(digest));
  if (!isWellFormed) throw new CtrError("invalid", "invalid reference format");
  if (`${domain}/${path}`.length > MAX_NAME)
    throw new CtrError("invalid", `repository name must not be more than ${MAX_NAME} characters`);
  return { domain, path, tag, digest };
}

function invalid(text: string, reason: string): CtrError {
  return new CtrError(
    "invalid",
    reason.startsWith("cannot")
      ? `invalid repository name (${text}), ${reason}`
      : `invalid reference format: ${reason}`,
  );
}

/** The first component is a host only with `.`, `:` or if it is `localhost`. */
function splitDomain(name: string): { readonly domain: string; readonly path: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = slash >= 0 && (/[.:]/.test(first) || first === "localhost");
  const domain = isHost ? (first === "index.docker.io" ? "docker.io" : first) : "docker.io";
  const path = isHost ? name.slice(slash + 1) : name;
  return { domain, path: domain === "docker.io" && !path.includes("/") && path !== "" ? `library/${path}` : path };
}

/** The reference with `:latest` if it names neither a tag nor a digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: "latest" } : reference;
}

/** In full: `docker.io/library/alpine:latest`. */
export function formatReference(reference: Reference): string {
  return suffixed(`${reference.domain}/${reference.path}`, reference);
}

/** As it is shown: `alpine:latest`. */
export function familiarReference(reference: Reference): string {
  return suffixed(familiarName(reference), reference);
}

/** The repository alone, as it is shown: `alpine`, `user/app`, `localhost:5000/app`. */
export function familiarName(reference: Reference): string {
  if (reference.domain !== "docker.io") return `${reference.domain}/${reference.path}`;
  const short = reference.path.replace(/^library\//, "");
  return short.includes("/") ? reference.path : short;
}

function suffixed(name: string, reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${name}${tag}${digest}`;
}

/** A reference to tag with: a name and a tag, no digest. Full form, as the `tag` table keeps it. */
export function parseTarget(text: string): string {
  const reference = parseReference(text);
  if (reference.digest !== undefined) throw new CtrError("invalid", "refusing to create a tag with a digest reference");
  if (reference.domain === "docker.io" && reference.path === "library/sha256") {
    throw new CtrError("invalid", `refusing to create an ambiguous tag using digest algorithm as name`);
  }
  return formatReference(withDefaultTag(reference));
}

/** The familiar form of a stored reference. */
export function familiar(stored: string): string {
  return familiarReference(parseReference(stored));
}
