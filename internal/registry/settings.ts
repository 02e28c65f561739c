/** How registries are reached: mirrors, insecure ones, certificates, proxies. */

/** The variables of the caller's environment that matter here: HOME, DOCKER_CONFIG, PATH, CTR_REGISTRIES, HTTP_PROXY and its like. */
export type Environment = { readonly [name: string]: string | undefined };

/** One host that may answer for a registry. */
export interface Endpoint {
  /** `registry-1.docker.io`, `mirror.example.com:5000`. */
  readonly host: string;
  /** Put before the repository's path: `/cache` of a mirror at `https://example.com/cache`. Empty or with a leading slash. */
  readonly prefix: string;
  readonly scheme: "https" | "http";
  /** Its certificate is not verified, and plain HTTP is tried when it does not speak TLS. */
  readonly isInsecure: boolean;
  readonly isMirror: boolean;
}

/** What `/etc/ctr/registries.toml` and the environment say, checked. */
export interface RegistrySettings {
  readonly environment: Environment;
  readonly registries: { readonly [domain: string]: RegistryEntry };
  readonly insecureNetworks: readonly string[];
  /** Directories with `<host:port>/*.crt`, `*.cert` and `*.key`, first one first. */
  readonly certificateDirectories: readonly string[];
  readonly proxies: Proxies;
}

/** What the file says of one registry. */
export interface RegistryEntry {
  readonly isInsecure: boolean;
  readonly mirrors: readonly Endpoint[];
}

export interface Proxies {
  readonly http: string | undefined;
  readonly https: string | undefined;
  /** Hosts reached directly: names, `.suffix`, addresses, networks, `*`. */
  readonly except: readonly string[];
}
