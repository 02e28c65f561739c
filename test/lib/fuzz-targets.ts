/** Everything that reads bytes of others, with seeds to start from: test/kernel/fuzz.test.ts, scripts/fuzz. */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { ByteQueue } from "../../internal/archive/byte-queue.ts";
import { decompress } from "../../internal/archive/decompress.ts";
import { parseTar } from "../../internal/archive/tar-reader.ts";
import { openEngine } from "../../internal/db/engine.ts";
import { CtrError } from "../../internal/errors/error.ts";
import { parseImageConfig } from "../../internal/image/config.ts";
import { parseDockerArchive, parseIndex, parseManifest } from "../../internal/image/documents.ts";
import { loadImages } from "../../internal/image/load.ts";
import { formatReference, parseReference, parseTarget } from "../../internal/image/reference.ts";
import { encodeFrame, FrameReader } from "../../internal/ipc/frame.ts";
import { decodeFromInit, decodeToInit } from "../../internal/ipc/init.ts";
import { decodeFromNetd, decodeToNetd } from "../../internal/ipc/netd.ts";
import { decodeFromSupervisor, decodeToSupervisor } from "../../internal/ipc/supervisor.ts";
import { decodeLink } from "../../internal/netlink/link.ts";
import {
  attribute,
  decodeAttributes,
  decodeError,
  decodeMessages,
  encodeMessage,
  nested,
  nestedOf,
  numberOf,
  repeatedOf,
  textOf,
  u32,
} from "../../internal/netlink/message.ts";
import { decodeAddress, decodeRoute } from "../../internal/netlink/route.ts";
import { decodeRoute6 } from "../../internal/netlink/route6.ts";
import {
  answer,
  codeOf,
  isAnswerTo,
  isTruncated,
  nameAt,
  parseQuery,
  refusal,
  relay,
  withId,
} from "../../internal/network/dns/message.ts";
import { parseServers } from "../../internal/network/dns/resolv-conf.ts";
import { parseToken } from "../../internal/registry/authorization.ts";
import {
  parseChallenges,
  parseContentRange,
  parseLength,
  parseMediaType,
  parseNextLink,
  parseRetryAfter,
  parseUploadRange,
} from "../../internal/registry/headers.ts";
import { manifestView } from "../../internal/registry/inspect-manifest.ts";
import { checkManifest, MANIFEST_TYPES } from "../../internal/registry/manifest.ts";
import { errorOfAnswer } from "../../internal/registry/registry-error.ts";
import { parseTags } from "../../internal/registry/repository.ts";
import { parseResults } from "../../internal/registry/search.ts";
import { resolveUserIn } from "../../internal/rootfs/users.ts";
import { compileSeccomp } from "../../internal/security/seccomp/compile.ts";
import { parseProfile } from "../../internal/security/seccomp/parse-profile.ts";
import { defaultProfile } from "../../internal/security/seccomp/profile.ts";
import { resolveProfile } from "../../internal/security/seccomp/resolve.ts";
import { digestOf } from "../../internal/spec/digest.ts";
import { parseJson } from "../../internal/spec/json.ts";
import { DEFAULT_LIMITS } from "../../internal/spec/layer-entry.ts";
import { parseSpec } from "../../internal/spec/parse-spec.ts";
import type { FuzzTarget } from "./fuzz.ts";
import { testHome } from "./home.ts";
import { archive, paxHeader, rawEntry } from "./hostile-tar.ts";

const decoder = new TextDecoder();
const text = (bytes: Uint8Array) => decoder.decode(bytes);
const json = (value: unknown) => JSON.stringify(value);
const sha256 = (bytes: Uint8Array | string) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
const DIGEST = `sha256:${"ab".repeat(32)}`;

/** JSON that is none is refused before anything else is asked. */
function parsed(bytes: Uint8Array): unknown {
  try {
    return parseJson(text(bytes));
  } catch {
    throw new CtrError("invalid", "no JSON");
  }
}

/** Runs each; only the errors that are for a user pass. */
function each(...actions: readonly (() => unknown)[]): void {
  for (const action of actions) {
    try {
      action();
    } catch (error) {
      if (!(error instanceof CtrError)) throw error;
    }
  }
}

const DECODERS = [decodeToInit, decodeFromInit, decodeToSupervisor, decodeFromSupervisor, decodeToNetd, decodeFromNetd];
const MESSAGES: readonly object[] = [
  { type: "hello", conversation: "netd", version: 1 },
  { type: "ready", terminalFd: 7 },
  { type: "failed", step: "mount", message: "x", errno: 2, exitStatus: 127 },
  { type: "start", id: "ab".repeat(32), hasSpec: true },
  {
    type: "exec",
    process: { args: ["sh"], env: ["A=b"], terminal: true, user: "1" },
    streams: { stdin: true },
    size: { rows: 1, columns: 2 },
  },
  { type: "stdin", data: new Uint8Array([1, 2, 3]) },
  {
    type: "attach",
    containerId: "a",
    name: "a",
    sandbox: { pid: 1 },
    network: "bridge",
    ports: [{ containerPort: 80, protocol: "tcp" }],
  },
];

const MANIFEST = {
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: DIGEST, size: 10 },
  layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: DIGEST, size: 100, urls: ["http://a"] }],
  annotations: { a: "b" },
};
const INDEX = {
  schemaVersion: 2,
  manifests: [
    {
      mediaType: MANIFEST.mediaType,
      digest: DIGEST,
      size: 5,
      platform: { architecture: "amd64", os: "linux", variant: "v1" },
      annotations: { "org.opencontainers.image.ref.name": "a:b" },
    },
  ],
};
const IMAGE_CONFIG = {
  architecture: "amd64",
  os: "linux",
  created: "2024-01-01T00:00:00Z",
  config: {
    Env: ["A=b"],
    Cmd: ["sh"],
    Entrypoint: ["/x"],
    Volumes: { "/v": {} },
    ExposedPorts: { "80/tcp": {} },
    Labels: { a: "b" },
    User: "0",
    WorkingDir: "/",
    StopSignal: "TERM",
    Healthcheck: { Test: ["CMD", "x"], Interval: 1 },
  },
  rootfs: { type: "layers", diff_ids: [DIGEST] },
  history: [{ created: "2024-01-01T00:00:00Z", created_by: "x", empty_layer: true }],
};
const SPEC = {
  ociVersion: "1.2.0",
  process: {
    terminal: false,
    args: ["sh"],
    env: ["A=b"],
    cwd: "/",
    user: { uid: 0, gid: 0, additionalGids: [1] },
    capabilities: { bounding: ["CAP_KILL"] },
    rlimits: [{ type: "RLIMIT_NOFILE", soft: 1, hard: 2 }],
  },
  root: { path: "/x", readonly: true },
  hostname: "h",
  mounts: [{ destination: "/proc", type: "proc", source: "proc", options: ["nosuid"] }],
  hooks: { prestart: [{ path: "/bin/x", args: ["x"], timeout: 1 }] },
  annotations: { a: "b" },
  linux: {
    namespaces: [{ type: "pid" }, { type: "network", path: "/x" }],
    uidMappings: [{ containerID: 0, hostID: 1, size: 2 }],
    devices: [{ path: "/dev/x", type: "c", major: 1, minor: 3, fileMode: 438, uid: 0, gid: 0 }],
    resources: {
      memory: { limit: 1 },
      cpu: { shares: 2, cpus: "0-1" },
      pids: { limit: 1 },
      devices: [{ allow: true, type: "c", major: 1, access: "rwm" }],
      unified: { "memory.high": "1" },
    },
    sysctl: { "net.core.somaxconn": "1" },
    maskedPaths: ["/proc/kcore"],
    seccomp: {
      defaultAction: "SCMP_ACT_ERRNO",
      architectures: ["SCMP_ARCH_X86_64"],
      syscalls: [
        {
          names: ["read"],
          action: "SCMP_ACT_ALLOW",
          args: [{ index: 0, value: 1, valueTwo: 2, op: "SCMP_CMP_MASKED_EQ" }],
        },
      ],
    },
  },
};

/** A query for "web.test.", and a reply to it with one address. */
const QUERY = Buffer.from("12340100000100000000000103776562047465737400000100010000291000000000000000", "hex");
const REPLY = Buffer.from(
  "1234818000010001000000000377656204746573740000010001c00c000100010000003c00047f000001",
  "hex",
);

const LINK = encodeMessage(16, 0, new Uint8Array(16), [
  attribute(3, "eth0"),
  attribute(1, new Uint8Array(6)),
  attribute(4, 1500),
  nested(18, [attribute(1, "veth"), nested(2, [attribute(1, u32(1))])]),
]);

function layerTar(): Uint8Array {
  return archive(
    rawEntry({ type: "5", name: "a/", mode: "0000755\0" }),
    rawEntry({ name: "a/f", content: "hello" }),
    paxHeader([
      ["path", "a/long"],
      ["SCHILY.xattr.user.x", "y"],
      ["GNU.sparse.map", "0,1"],
    ]),
    rawEntry({ name: "x", content: "pax" }),
    rawEntry({ type: "2", name: "a/l", linkname: "../../etc/passwd" }),
    rawEntry({ type: "1", name: "a/h", linkname: "a/f" }),
    rawEntry({ type: "L", name: "././@LongLink", content: `${"n".repeat(120)}\0` }),
    rawEntry({ name: "n", content: "long" }),
    rawEntry({ name: "a/.wh.f" }),
  );
}

function dockerArchive(): Uint8Array {
  const layer = layerTar();
  const config = json({
    ...IMAGE_CONFIG,
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
    history: [],
  });
  const manifest = json([{ Config: "c.json", RepoTags: ["a:b"], Layers: ["l/layer.tar"] }]);
  return archive(
    rawEntry({ name: "manifest.json", content: manifest }),
    rawEntry({ name: "c.json", content: config }),
    rawEntry({ type: "5", name: "l/" }),
    rawEntry({ name: "l/layer.tar", content: layer }),
    rawEntry({ type: "2", name: "l/link", linkname: "layer.tar" }),
  );
}

function ociArchive(): Uint8Array {
  const layer = layerTar();
  const config = json({
    ...IMAGE_CONFIG,
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
    history: [],
  });
  const descriptor = (mediaType: string, content: Uint8Array | string) => ({
    mediaType,
    digest: `sha256:${sha256(content)}`,
    size: content.length,
  });
  const manifest = json({
    ...MANIFEST,
    config: descriptor(MANIFEST.config.mediaType, config),
    layers: [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
  });
  const index = json({
    schemaVersion: 2,
    manifests: [
      { ...descriptor(MANIFEST.mediaType, manifest), annotations: { "org.opencontainers.image.ref.name": "x:y" } },
    ],
  });
  const blob = (content: Uint8Array | string) => rawEntry({ name: `blobs/sha256/${sha256(content)}`, content });
  return archive(
    rawEntry({ name: "oci-layout", content: '{"imageLayoutVersion":"1.0.0"}' }),
    rawEntry({ name: "index.json", content: index }),
    blob(manifest),
    blob(config),
    blob(layer),
  );
}

/** Loads archives into a store of their own, and looks whether anything appeared beside it. */
function loader(): FuzzTarget["read"] {
  let home: string | undefined;
  let engine: ReturnType<typeof openEngine> | undefined;
  return async (bytes) => {
    if (home === undefined) {
      home = testHome("fuzz");
      process.on("exit", () => rmSync(home ?? "", { recursive: true, force: true }));
      engine = openEngine({ root: `${home}/root`, state: `${home}/state` });
    }
    if (engine === undefined) return;
    writeFileSync(`${home}/image.tar`, bytes);
    const failed = await loadImages(engine, `${home}/image.tar`).then(
      () => undefined,
      (error: unknown) => error,
    );
    const beside = readdirSync(home).filter((name) => !["root", "state", "image.tar"].includes(name));
    if (beside.length > 0) throw new Error(`made ${beside.join(" ")}`);
    if (failed !== undefined) throw failed;
  };
}

export const TARGETS: Readonly<Record<string, FuzzTarget>> = {
  frames: {
    mutations: ["bytes"],
    seeds: MESSAGES.map((message) => encodeFrame(message)),
    read(bytes) {
      const frames = new FrameReader();
      // In two pieces, as a socket may give them.
      frames.push(bytes.subarray(0, bytes.length >> 1));
      frames.push(bytes.subarray(bytes.length >> 1));
      for (let value = frames.next(); value !== undefined; value = frames.next()) {
        const message = value;
        each(...DECODERS.map((decode) => () => decode(message)));
      }
    },
  },
  messages: {
    mutations: ["json"],
    seeds: [...MESSAGES.map(json), json({ type: "create", spec: SPEC })],
    read(bytes) {
      const value = parsed(bytes);
      each(...DECODERS.map((decode) => () => decode(value)));
    },
  },
  tar: {
    mutations: ["tar", "bytes"],
    seeds: [layerTar(), dockerArchive(), archive()],
    read(bytes) {
      const queue = new ByteQueue();
      const parser = parseTar(queue, DEFAULT_LIMITS);
      const run = () => {
        for (let next = parser.next(); next.done !== true && next.value !== undefined; next = parser.next());
      };
      for (let at = 0; at < bytes.length; at += 777) {
        queue.give(bytes.subarray(at, at + 777));
        run();
      }
      queue.end();
      run();
    },
  },
  compressed: {
    mutations: ["bytes"],
    seeds: [
      Bun.gzipSync(new Uint8Array(layerTar())),
      Bun.zstdCompressSync(new Uint8Array(layerTar())),
      Buffer.concat([Bun.gzipSync("a"), Bun.gzipSync("b")]),
    ],
    async read(bytes) {
      let size = 0;
      const pieces = async function* () {
        for (let at = 0; at < bytes.length; at += 100) yield bytes.slice(at, at + 100);
      };
      for await (const chunk of decompress(pieces())) size += chunk.length;
      if (size > bytes.length * 2000 + 65536) throw new Error(`${size} bytes out of ${bytes.length}`);
    },
  },
  load: { mutations: ["tar", "bytes"], seeds: [dockerArchive(), ociArchive()], read: loader(), limitMs: 5000 },
  manifests: {
    mutations: ["json", "bytes"],
    seeds: [json(MANIFEST), json(INDEX), json([{ Config: "a.json", RepoTags: ["a:b"], Layers: ["b/layer.tar"] }])],
    words: MANIFEST_TYPES,
    read(bytes) {
      const words = text(bytes);
      each(
        () => parseIndex(words, "index"),
        () => parseManifest(words, "manifest"),
        () => parseDockerArchive(words),
        ...MANIFEST_TYPES.map((type) => () => checkManifest(bytes, type, "x")),
        ...MANIFEST_TYPES.map((mediaType) => () => manifestView({ mediaType, bytes, digest: digestOf(bytes) })),
      );
    },
  },
  configs: {
    mutations: ["json", "bytes"],
    seeds: [json(IMAGE_CONFIG)],
    read: (bytes) => void parseImageConfig(text(bytes)),
  },
  references: {
    mutations: ["bytes"],
    seeds: ["busybox", "a.b:5000/c/d:e", `x@${DIGEST}`, `[::1]:5/a:b@${DIGEST}`, "localhost/a", "docker.io/library/a"],
    words: ["@", DIGEST, ":", "/", "[", "]", "localhost"],
    read(bytes) {
      const words = text(bytes);
      each(
        () => {
          const formatted = formatReference(parseReference(words));
          if (formatReference(parseReference(formatted)) !== formatted) throw new Error(`${words} is not what it was`);
        },
        () => parseTarget(words),
      );
    },
  },
  seccomp: {
    mutations: ["json"],
    seeds: [
      json({
        defaultAction: "SCMP_ACT_ERRNO",
        defaultErrnoRet: 1,
        archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
        syscalls: [
          {
            names: ["read", "clone"],
            action: "SCMP_ACT_ALLOW",
            args: [{ index: 0, value: 4096, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
            includes: { caps: ["CAP_KILL"], minKernel: "4.8", arches: ["amd64"] },
            excludes: {},
            errnoRet: 38,
          },
        ],
      }),
      json({ ...defaultProfile(), syscalls: defaultProfile().syscalls?.slice(0, 4) }),
    ],
    words: ["SCMP_ACT_ALLOW", "SCMP_ACT_KILL", "SCMP_ACT_NOTIFY", "SCMP_CMP_GE", "SCMP_ARCH_X32", "read", "socketcall"],
    read(bytes) {
      const profile = parseProfile(text(bytes));
      for (const native of ["x64", "arm64"] as const) {
        each(() =>
          compileSeccomp(resolveProfile(profile, { native, kernel: "6.1.0", capabilities: ["CAP_KILL"] }), native),
        );
      }
    },
  },
  netlink: {
    mutations: ["bytes"],
    seeds: [
      LINK,
      encodeMessage(20, 0, new Uint8Array(8), [attribute(1, 0x0100007f), attribute(2, 0x0100007f)]),
      encodeMessage(24, 0, new Uint8Array(12), [attribute(1, u32(1)), attribute(5, u32(2)), attribute(15, u32(254))]),
      encodeMessage(2, 0x200, new Uint8Array(20), [attribute(1, "words of the kernel")]),
    ],
    read(bytes) {
      for (const message of decodeMessages(bytes)) {
        each(
          () => decodeLink(message),
          () => decodeAddress(message),
          () => decodeRoute(message),
          () => decodeRoute6(message),
          () => decodeError(message),
        );
        for (const fixed of [0, 4, 12, 16]) {
          each(() => {
            const attributes = decodeAttributes(message.payload, fixed);
            for (let type = 0; type < 20; type++) {
              each(
                () => numberOf(attributes, type),
                () => textOf(attributes, type),
                () => nestedOf(nestedOf(attributes, type), 1),
              );
            }
          });
        }
        each(() => repeatedOf(message.payload, 1));
      }
    },
  },
  dns: {
    mutations: ["bytes"],
    seeds: [QUERY, REPLY, Buffer.concat([REPLY, Buffer.from("c00c", "hex")])],
    read(bytes) {
      const packet = Buffer.from(bytes);
      for (let at = 0; at < packet.length; at += 7) nameAt(packet, at);
      // As a container's question, and as another server's answer to one.
      const received = parseQuery(packet);
      if (received?.kind === "query") {
        const { query } = received;
        const records = [{ type: 1, value: new Uint8Array(4) }];
        for (const limit of [query.udpBytes, 512, 0xffff]) {
          if (answer(packet, query, 0, records, { limit, ttl: 60 }).length > Math.max(limit, query.questionEnd + 11))
            throw new Error("an answer above its limit");
        }
      } else if (received !== undefined) refusal(packet, received.code);
      const asked = parseQuery(QUERY);
      if (asked?.kind !== "query" || !isAnswerTo(packet, QUERY, asked.query.questionEnd)) return;
      for (const limit of [512, 0xffff]) relay(packet, QUERY, asked.query, limit);
      codeOf(packet);
      isTruncated(packet);
      withId(packet, 1);
    },
  },
  "resolv.conf": {
    mutations: ["bytes"],
    seeds: ["nameserver 1.1.1.1\nsearch a b\noptions ndots:1\n", "nameserver fe80::1%eth0\n"],
    read: (bytes) => void parseServers(text(bytes)),
  },
  headers: {
    mutations: ["bytes"],
    seeds: [
      'Bearer realm="https://a.b/token",service="c",scope="repository:a:pull,push"',
      'Basic realm="x", Digest qop=1',
      '</v2/a/tags/list?last=b&n=5>; rel="next"',
      "bytes 0-9/100",
      "0-99",
      "Wed, 21 Oct 2015 07:28:00 GMT",
      "application/json; charset=utf-8",
    ],
    words: ['"', "\\", ",", "=", ";", "<", ">", "rel=", "bytes ", "-"],
    read(bytes) {
      const words = text(bytes);
      each(
        () => parseChallenges(words),
        () => parseNextLink(words),
        () => parseContentRange(words),
        () => parseUploadRange(words),
        () => parseRetryAfter(words, 0),
        () => parseLength(words),
        () => parseMediaType(words),
      );
    },
  },
  answers: {
    mutations: ["json", "bytes"],
    seeds: [
      json({ errors: [{ code: "MANIFEST_UNKNOWN", message: "x", detail: { a: 1 } }] }),
      json({ token: "a", access_token: "b", expires_in: 60, issued_at: "2024-01-01T00:00:00Z", refresh_token: "c" }),
      json({ name: "a/b", tags: ["a", "b"] }),
      json({
        num_results: 1,
        results: [{ name: "a", description: "b", star_count: 1, is_official: true, is_automated: false }],
      }),
    ],
    read(bytes) {
      each(
        () => errorOfAnswer(404, "Not Found", text(bytes)),
        () => parseToken(bytes, "x"),
        () => parseTags(bytes, "x"),
        () => parseResults(bytes, "x"),
      );
    },
  },
  passwd: {
    mutations: ["bytes"],
    seeds: [
      "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
      "wheel:x:10:alice,root\nnone:x:99:\n",
    ],
    words: [":", "\n", "0", "4294967295", "2147483648", "alice", "#"],
    read(bytes) {
      const words = text(bytes);
      for (const user of ["", "alice", "0", "1000", "alice:wheel", "bob:10"]) {
        each(() => {
          const found = resolveUserIn(words, words, user, ["10"]);
          for (const id of [found.uid, found.gid, ...found.groups]) {
            if (!Number.isInteger(id) || id < 0 || id > 2 ** 31 - 1) throw new Error(`the id ${id}`);
          }
        });
      }
    },
  },
  specs: { mutations: ["json"], seeds: [json(SPEC)], read: (bytes) => void parseSpec(parsed(bytes)) },
};
