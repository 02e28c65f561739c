/**
 * The certificates of one host, laid out as Docker has it (`certs.d/<host:port>/`): `*.crt` are authorities trusted in
 * addition to the system's, `*.cert` with its `*.key` is what we show.
 */
import { CtrError, ENOENT, ENOTDIR, isErrno } from "../errors/error.ts";
import { O_DIRECTORY, O_RDONLY, open } from "../sys/fd.ts";
import { getdents64, readText } from "../sys/file.ts";
import type { Environment } from "./settings.ts";

export interface Certificates {
  /** PEM texts of every authority trusted; undefined if the system's bundle is not found: then Bun's own is used. */
  readonly authorities: readonly string[] | undefined;
  readonly client: { readonly cert: string; readonly key: string } | undefined;
}

/** Where distributions keep their bundle; the same list as Go's crypto/x509 has, first one first. */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];
const MAX_BUNDLE = 16 << 20;
const MAX_FILES = 100;
const decoder = new TextDecoder();

/** Reads the certificates for a host (`registry.example.com:5000`) from the first of the directories that has one for it. */
export function readCertificates(host: string, directories: readonly string[], environment: Environment): Certificates {
  const system = systemBundle(environment);
  for (const parent of directories) {
    const directory = `${parent}/${host}`;
    const names = listNames(directory);
    if (names === undefined) continue;
    const own = names.filter((name) => name.endsWith(".crt")).map((name) => readPem(`${directory}/${name}`));
    const authorities = own.length === 0 && system === undefined ? undefined : [...(system ? [system] : []), ...own];
    return { authorities, client: clientCertificate(directory, names) };
  }
  return { authorities: system === undefined ? undefined : [system], client: undefined };
}

/** SSL_CERT_FILE, else the distribution's. */
function systemBundle(environment: Environment): string | undefined {
  const chosen = environment["SSL_CERT_FILE"];
  for (const path of chosen ? [chosen] : SYSTEM_BUNDLES) {
    try {
      return readText(path, MAX_BUNDLE);
    } catch (error) {
      if (!isErrno(error, ENOENT, ENOTDIR)) throw error;
    }
  }
  return undefined;
}

function listNames(directory: string): readonly string[] | undefined {
  try {
    using fd = open(directory, O_RDONLY | O_DIRECTORY);
    const names = getdents64(fd.number).map(({ name }) => decoder.decode(name));
    return names.sort().slice(0, MAX_FILES);
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR)) return undefined;
    throw error;
  }
}

function clientCertificate(directory: string, names: readonly string[]): Certificates["client"] {
  const pairs = names.filter((name) => name.endsWith(".cert"));
  for (const name of pairs) {
    const key = name.replace(/cert$/, "key");
    if (!names.includes(key)) {
      throw new CtrError(
        "invalid",
        `${directory}: missing key ${key} for client certificate ${name}; CA certificates must use the extension .crt`,
      );
    }
  }
  const orphan = names.find((name) => name.endsWith(".key") && !names.includes(name.replace(/key$/, "cert")));
  if (orphan !== undefined) {
    throw new CtrError(
      "invalid",
      `${directory}: missing client certificate ${orphan.replace(/key$/, "cert")} for key ${orphan}`,
    );
  }
  const [first] = pairs;
  if (first === undefined) return undefined;
  return { cert: readPem(`${directory}/${first}`), key: readPem(`${directory}/${first.replace(/cert$/, "key")}`) };
}

function readPem(path: string): string {
  const text = readText(path, MAX_BUNDLE);
  if (!text.includes("-----BEGIN ")) throw new CtrError("invalid", `${path} is not in PEM form`);
  return text;
}
