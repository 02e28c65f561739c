/** Platforms as images name them (image-spec config.md: GOOS and GOARCH). */
import { CtrError } from "../errors/error.ts";

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

const ARCHITECTURES: { readonly [name: string]: string } = {
  x86_64: "amd64",
  x64: "amd64",
  aarch64: "arm64",
  armhf: "arm",
  i386: "386",
};

/** GOARCH of linux, as far as images exist for it. */
const KNOWN = new Set(["386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x"]);

/** The platform this executable runs on. */
export function hostPlatform(): Platform {
  return { os: "linux", architecture: ARCHITECTURES[process.arch] ?? process.arch, variant: undefined };
}

/** `os[/arch[/variant]]`, or an architecture alone. Throws `invalid`; only linux can be. */
export function parsePlatform(text: string): Platform {
  const parts = text.split("/");
  if (text === "" || parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_-]+$/.test(part))) {
    throw new CtrError("invalid", `${JSON.stringify(text)} is an invalid platform: it is os[/arch[/variant]]`);
  }
  const [first = "", second, variant] = parts.map((part) => part.toLowerCase());
  const isArchitectureOnly = second === undefined && (KNOWN.has(first) || first in ARCHITECTURES);
  const os = isArchitectureOnly ? "linux" : first;
  if (os !== "linux") throw new CtrError("unsupported", `operating system ${JSON.stringify(os)} is not supported`);
  const named = isArchitectureOnly ? first : second;
  const architecture = named === undefined ? hostPlatform().architecture : (ARCHITECTURES[named] ?? named);
  return { os, architecture, variant };
}
