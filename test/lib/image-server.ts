/**
 * A registry that is made up for a test: any manifests and blobs, right or wrong, whole or cut off, and a note of what
 * was asked. Plain HTTP, distribution-spec's pull half.
 */
import { type FaultyServer, type RawConnection, type RawRequest, startFaultyServer } from "./registry.ts";

export interface ServedBlob {
  readonly bytes: Uint8Array;
  /** Answers the request instead. */
  readonly respond?: (request: RawRequest, connection: RawConnection, bytes: Uint8Array) => void | Promise<void>;
}

export interface ImageServer extends FaultyServer {
  /** Serves a blob under its digest, or under a wrong one; gives its descriptor. */
  blob(bytes: Uint8Array, mediaType: string, options?: BlobOptions): ServedDescriptor;
  /** Serves a document under its digest and, if given, a tag; gives its descriptor. */
  manifest(document: object | string, mediaType: string, tag?: string): ServedDescriptor;
  /** An image of these layers under a tag; `changes` is laid over its manifest. */
  image(tag: string, layers: readonly ServedLayer[], changes?: ImageChanges): ServedDescriptor;
  /** How often a path that holds `text` was asked for. */
  asked(text: string): number;
}

export interface BlobOptions {
  readonly digest?: string;
  readonly respond?: ServedBlob["respond"];
}

export interface ImageChanges {
  readonly manifest?: object;
  readonly config?: object;
}

export interface ServedDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export interface ServedLayer extends ServedDescriptor {
  readonly diffId: string;
}

export const sha256 = (bytes: Uint8Array | string) =>
  `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";

export function startImageServer(): ImageServer {
  const blobs = new Map<string, ServedBlob>();
  const documents = new Map<string, { readonly bytes: Uint8Array; readonly mediaType: string }>();
  const server = startFaultyServer(async (request, connection) => {
    const [, kind, name = ""] = /\/(blobs|manifests)\/([^/]+)$/.exec(request.path) ?? [];
    if (request.path === "/v2/") return await connection.answer("200 OK", {});
    if (kind === "manifests") {
      const found = documents.get(name);
      if (found === undefined) return await connection.answer("404 Not Found", {}, UNKNOWN);
      const headers = { "Content-Type": found.mediaType, "Docker-Content-Digest": sha256(found.bytes) };
      if (request.method !== "HEAD") return await connection.answer("200 OK", headers, found.bytes);
      return await connection.answer("200 OK", { ...headers, "Content-Length": String(found.bytes.length) });
    }
    const blob = kind === "blobs" ? blobs.get(name) : undefined;
    if (blob === undefined) return await connection.answer("404 Not Found", {}, UNKNOWN);
    if (blob.respond !== undefined) return await blob.respond(request, connection, blob.bytes);
    await answerRange(request, connection, blob.bytes);
  });
  const imageServer: ImageServer = {
    ...server,
    asked: (text) => server.requests.filter(({ path }) => path.includes(text)).length,
    blob(bytes, mediaType, options = {}) {
      const digest = options.digest ?? sha256(bytes);
      blobs.set(digest, { bytes, ...(options.respond === undefined ? {} : { respond: options.respond }) });
      return { mediaType, digest, size: bytes.length };
    },
    manifest(document, mediaType, tag) {
      const bytes = Buffer.from(typeof document === "string" ? document : JSON.stringify(document));
      const digest = sha256(bytes);
      for (const name of [digest, ...(tag === undefined ? [] : [tag])]) documents.set(name, { bytes, mediaType });
      return { mediaType, digest, size: bytes.length };
    },
    image(tag, layers, changes = {}) {
      const config = {
        architecture: process.arch === "x64" ? "amd64" : "arm64",
        os: "linux",
        config: { Cmd: ["true"], Labels: { tag } },
        rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
        ...changes.config,
      };
      const manifest = {
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        config: imageServer.blob(Buffer.from(JSON.stringify(config)), OCI_CONFIG),
        layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
        ...changes.manifest,
      };
      return imageServer.manifest(manifest, OCI_MANIFEST, tag);
    },
  };
  return imageServer;
}

const UNKNOWN = '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}';

/** Where a range begins; 0 without one. */
export function rangeStart(request: RawRequest): number {
  return Number(/^bytes=(\d+)-/.exec(request.headers["range"] ?? "")?.[1] ?? 0);
}

/** The head of an answer with a blob from the range's start on. */
export function rangeHead(request: RawRequest, size: number): string {
  const start = rangeStart(request);
  const status = start > 0 ? "206 Partial Content" : "200 OK";
  const range = start > 0 ? `Content-Range: bytes ${start}-${size - 1}/${size}\r\n` : "";
  return `HTTP/1.1 ${status}\r\n${range}Content-Length: ${size - start}\r\n\r\n`;
}

export async function answerRange(request: RawRequest, connection: RawConnection, bytes: Uint8Array): Promise<void> {
  await connection.write(rangeHead(request, bytes.length));
  if (request.method !== "HEAD") await connection.write(bytes.subarray(rangeStart(request)));
}

/** A layer of one file of `size` bytes that compress badly, packed by GNU tar. */
export function fileLayer(
  server: ImageServer,
  name: string,
  content: Uint8Array | string,
  options: LayerOptions = {},
): ServedLayer {
  const tar = tarOf({ [name]: content });
  const bytes = options.compress === undefined ? Bun.gzipSync(tar) : options.compress(tar);
  const descriptor = server.blob(bytes, options.mediaType ?? `${OCI_LAYER}+gzip`, options);
  return { ...descriptor, diffId: sha256(tar) };
}

export interface LayerOptions extends BlobOptions {
  readonly compress?: (tar: Uint8Array<ArrayBuffer>) => Uint8Array;
  readonly mediaType?: string;
}

/** A ustar archive of regular files, owner 0, time 0. */
export function tarOf(files: { readonly [name: string]: Uint8Array | string }): Uint8Array<ArrayBuffer> {
  const blocks: Uint8Array[] = [];
  for (const [name, text] of Object.entries(files)) {
    const content = typeof text === "string" ? Buffer.from(text) : text;
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write("0000644\0", 100);
    header.write("0000000\0", 108);
    header.write("0000000\0", 116);
    header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("00000000000\0", 136);
    header.write("        ", 148);
    header.write("0", 156);
    header.write("ustar\x0000", 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    blocks.push(header, content, Buffer.alloc((512 - (content.length % 512)) % 512));
  }
  return new Uint8Array(Buffer.concat([...blocks, Buffer.alloc(1024)]));
}
