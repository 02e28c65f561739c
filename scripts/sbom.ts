/**
 * The parts of dist/ctr as an SPDX 2.3 document: the interpreter, the packages that are bundled with the checksums of
 * package-lock.json, and each file of csrc. The same sources give the same document.
 */
import { readdirSync } from "node:fs";

/** What of an entry of package-lock.json is told; `dev` for what is in no executable. */
interface Locked {
  readonly version: string;
  readonly integrity?: string;
  readonly license?: string;
}

interface Lock {
  readonly packages: { readonly [path: string]: Locked };
}

/** What the executable was made of, beside what lies in the tree. */
export interface Built {
  readonly executable: string;
  readonly version: string;
  readonly commit: string;
}

/** The packages that are bundled: a house test holds them against what the sources import. */
export const BUNDLED = ["citty", "msgpackr"];

const SPDX_EMPTY = "NOASSERTION";

async function sha256(path: string): Promise<string> {
  return new Bun.CryptoHasher("sha256").update(await Bun.file(path).bytes()).digest("hex");
}

/** `sha512-<base64>` of package-lock.json as SPDX writes it. */
function checksums(integrity: string | undefined): object {
  const [algorithm = "", base64 = ""] = integrity?.split("-") ?? [];
  if (algorithm !== "sha512") throw new Error(`a bundled package without a sha512 checksum: ${integrity}`);
  return { checksums: [{ algorithm: "SHA512", checksumValue: Uint8Array.fromBase64(base64).toHex() }] };
}

function npmPackage(lock: Lock, name: string, purpose: string): object {
  const entry = lock.packages[`node_modules/${name}`];
  if (entry === undefined) throw new Error(`${name} is not in package-lock.json`);
  const { version, integrity, license = SPDX_EMPTY } = entry;
  const file = name.slice(name.lastIndexOf("/") + 1);
  return {
    SPDXID: idOf(name),
    name,
    versionInfo: version,
    downloadLocation: `https://registry.npmjs.org/${name}/-/${file}-${version}.tgz`,
    filesAnalyzed: false,
    ...checksums(integrity),
    licenseConcluded: SPDX_EMPTY,
    licenseDeclared: license,
    copyrightText: SPDX_EMPTY,
    primaryPackagePurpose: purpose,
    externalRefs: [
      {
        referenceCategory: "PACKAGE-MANAGER",
        referenceType: "purl",
        referenceLocator: `pkg:npm/${name.replace("@", "%40")}@${version}`,
      },
    ],
  };
}

function idOf(name: string): string {
  return `SPDXRef-${name.replaceAll(/[^a-zA-Z0-9.]+/g, "-").replace(/^-/, "")}`;
}

/** Writes the document beside the executable. `top` is the tree's directory. */
export async function writeSbom(top: string, path: string, { executable, version, commit }: Built): Promise<void> {
  const lock: Lock = await Bun.file(`${top}/package-lock.json`).json();
  const interpreter = `@oven/bun-linux-${process.arch === "arm64" ? "aarch64" : process.arch}`;
  const bundled = [
    npmPackage(lock, interpreter, "FRAMEWORK"),
    ...BUNDLED.map((name) => npmPackage(lock, name, "LIBRARY")),
  ];
  const sources = await Promise.all(
    readdirSync(`${top}/csrc`)
      .sort()
      .map(async (name) => ({
        SPDXID: idOf(`csrc/${name}`),
        fileName: `./csrc/${name}`,
        fileTypes: ["SOURCE"],
        checksums: [{ algorithm: "SHA256", checksumValue: await sha256(`${top}/csrc/${name}`) }],
        licenseConcluded: "Apache-2.0",
        copyrightText: SPDX_EMPTY,
      })),
  );
  const digest = await sha256(executable);
  const ctr = {
    SPDXID: "SPDXRef-ctr",
    name: "ctr",
    versionInfo: version,
    sourceInfo: `commit ${commit}`,
    downloadLocation: SPDX_EMPTY,
    filesAnalyzed: false,
    checksums: [{ algorithm: "SHA256", checksumValue: digest }],
    licenseConcluded: "Apache-2.0",
    licenseDeclared: "Apache-2.0",
    copyrightText: SPDX_EMPTY,
    primaryPackagePurpose: "APPLICATION",
  };
  const relation = (from: string, type: string, to: string) => ({
    spdxElementId: from,
    relationshipType: type,
    relatedSpdxElement: to,
  });
  const document = {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `ctr-${version}`,
    documentNamespace: `https://spdx.org/spdxdocs/ctr-${version}-${digest}`,
    // Not the time of the build: that would make every document another one.
    creationInfo: { created: "1970-01-01T00:00:00Z", creators: ["Tool: ctr-build"] },
    packages: [ctr, ...bundled],
    files: sources,
    relationships: [
      relation("SPDXRef-DOCUMENT", "DESCRIBES", ctr.SPDXID),
      ...[interpreter, ...BUNDLED].map((name) => relation(ctr.SPDXID, "CONTAINS", idOf(name))),
      ...sources.map(({ SPDXID }) => relation(ctr.SPDXID, "GENERATED_FROM", SPDXID)),
    ],
  };
  await Bun.write(path, `${JSON.stringify(document, null, 2)}\n`);
}
