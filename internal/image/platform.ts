/** Platforms as images name them (image-spec config.md: GOOS and GOARCH). */
import { CtrError } from "../errors/error.ts";

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

const ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  ["x86_64", "amd64"],
  ["x64", "amd64"],
  ["aarch64", "arm64"],
  ["armhf", "arm"],
  ["i386", "386"],
]);

/** Variants of an architecture that run what the ones after them run, best first; the first one is what no name means. */
const OLDER_VARIANTS: { readonly [architecture: string]: { readonly [variant: string]: readonly string[] } } = {
  arm: { v8: ["v8", "v7", "v6", "v5"], v7: ["v7", "v6", "v5"], v6: ["v6", "v5"], v5: ["v5"] },
  arm64: { v8: ["v8"], v9: ["v9", "v8"] },
  amd64: { v1: ["v1"], v2: ["v2", "v1"], v3: ["v3", "v2", "v1"], v4: ["v4", "v3", "v2", "v1"] },
};
const USUAL_VARIANT: { readonly [architecture: string]: string } = { arm: "v7", arm64: "v8", amd64: "v1" };

/**
 * How well what is offered suits the wanted platform: 0 is exactly it, more is older, undefined does not run there. As
 * containerd's `platforms.Only` orders them.
 */
export function platformRank(wanted: Platform, offered: OfferedPlatform): number | undefined {
  const architecture = ARCHITECTURES.get(offered.architecture) ?? offered.architecture;
  if (offered.os !== wanted.os || architecture !== wanted.architecture) return undefined;
  const usual = USUAL_VARIANT[architecture] ?? "";
  const asked = wanted.variant ?? usual;
  const variants = OLDER_VARIANTS[architecture]?.[asked] ?? [asked];
  const rank = variants.indexOf(offered.variant === undefined || offered.variant === "" ? usual : offered.variant);
  return rank < 0 ? undefined : rank;
}

/** A platform as a document names it. */
export interface OfferedPlatform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}

/** `linux/arm64`, `linux/arm/v7`. */
export function formatPlatform(platform: OfferedPlatform): string {
  const { os, architecture, variant } = platform;
  return [os, architecture, ...(variant === undefined || variant === "" ? [] : [variant])].join("/");
}

/** GOARCH of linux, as far as images exist for it. */
const KNOWN = new Set(["386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x"]);

/** The platform this executable runs on. */
export function hostPlatform(): Platform {
  return { os: "linux", architecture: ARCHITECTURES.get(process.arch) ?? process.arch, variant: undefined };
}

/** `os[/arch[/variant]]`, or an architecture alone. Throws `invalid`; only linux can be. */
export function parsePlatform(text: string): Platform {
  const parts = text.split("/");
  if (text === "" || parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_-]+$/.test(part))) {
    throw new CtrError(
      "invalid",
      `${JSON.stringify(text)}: cannot parse platform specifier: it is os[/arch[/variant]]`,
    );
  }
  const [first = "", second, variant] = parts.map((part) => part.toLowerCase());
  const isArchitectureOnly = second === undefined && (KNOWN.has(first) || ARCHITECTURES.has(first));
  const os = isArchitectureOnly ? "linux" : first;
  if (os !== "linux") throw new CtrError("unsupported", `operating system ${JSON.stringify(os)} is not supported`);
  const named = isArchitectureOnly ? first : second;
  const architecture = named === undefined ? hostPlatform().architecture : (ARCHITECTURES.get(named) ?? named);
  return { os, architecture, variant };
}
