/**
 * Registries as they are: Debian's docker-registry in its four dresses, skopeo beside us, and servers that cut, stall,
 * lie and redirect. The client is called as the image room calls it; the commands are called as a user does.
 */
import { beforeAll, describe, expect } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { ANONYMOUS, type Authority, openCredentialStore } from "../../internal/registry/credentials.ts";
import { RegistryError } from "../../internal/registry/registry-error.ts";
import { type Descriptor, openRepository, type Repository } from "../../internal/registry/repository.ts";
import type { RegistrySettings } from "../../internal/registry/settings.ts";
import { digestOf, parseDigest } from "../../internal/spec/digest.ts";
import { tempEngine } from "../lib/engine.ts";
import { needs } from "../lib/needs.ts";
import {
  createAuthority,
  type FaultyServer,
  type RawConnection,
  type RawRequest,
  scratchDirectory,
  startCutter,
  startFaultyServer,
  startProxy,
  startRegistry,
  startTokenServer,
  storedBlobs,
  testSettings,
} from "../lib/registry.ts";
import { openSession } from "../lib/terminal.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
/** An address that is not this machine's by name: TLS is verified here. */
const OUTSIDE = "10.88.88.1";

beforeAll(() => {
  Bun.spawnSync(["ip", "address", "add", `${OUTSIDE}/32`, "dev", "lo"]);
});

const encoder = new TextEncoder();
const user = (username: string, password: string): Authority => ({
  get: async () => ({ username, password, identityToken: undefined }),
});

interface OpenOptions {
  readonly settings?: RegistrySettings;
  readonly authority?: Authority;
  readonly actions?: "pull" | "push";
  readonly path?: string;
  readonly signal?: AbortSignal;
  readonly onRetry?: (why: string) => void;
}

function open(host: string, options: OpenOptions = {}): Promise<Repository> {
  const { settings = testSettings(), authority = ANONYMOUS, actions = "pull", path = "public/app", ...rest } = options;
  return openRepository({ domain: host, path }, { settings, authority, actions, ...rest });
}

/** Bytes that do not repeat, and their descriptor. */
function blobOf(size: number, seed = 1): { readonly bytes: Uint8Array; readonly descriptor: Descriptor } {
  const bytes = new Uint8Array(size);
  for (let at = 0, state = seed; at < size; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    bytes[at] = state >>> 24;
  }
  return { bytes, descriptor: { mediaType: "application/octet-stream", digest: digestOf(bytes), size } };
}

function reader(bytes: Uint8Array, step = 64 << 10): (offset: number) => AsyncIterable<Uint8Array> {
  return async function* (offset) {
    for (let at = offset; at < bytes.length; at += step) yield bytes.subarray(at, Math.min(bytes.length, at + step));
  };
}

async function collect(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  return Buffer.concat(await Array.fromAsync(body));
}

async function failureOf(asked: Promise<unknown>): Promise<RegistryError> {
  const outcome = await asked.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(RegistryError);
  return outcome as RegistryError;
}

/** An image of one layer, pushed under a tag by us. */
async function pushImage(repository: Repository, tag: string, seed = 1): Promise<Descriptor> {
  const layer = blobOf(300_000, seed);
  await repository.upload(layer.descriptor, reader(layer.bytes));
  const config = encoder.encode(
    JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } }),
  );
  const configDescriptor = {
    mediaType: "application/vnd.oci.image.config.v1+json",
    digest: digestOf(config),
    size: config.length,
  };
  await repository.upload(configDescriptor, reader(config));
  const layers = [{ ...layer.descriptor, mediaType: "application/vnd.oci.image.layer.v1.tar" }];
  const manifest = encoder.encode(
    JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config: configDescriptor, layers }),
  );
  await repository.putManifest(tag, MANIFEST, manifest);
  return { mediaType: MANIFEST, digest: digestOf(manifest), size: manifest.length };
}

/** Everything a repository can do, once. */
async function roundTrip(repository: Repository): Promise<void> {
  const pushed = await pushImage(repository, "v1");
  expect(await repository.resolve("v1")).toEqual(pushed);
  expect(await repository.resolve(pushed.digest)).toEqual(pushed);
  const manifest = await repository.manifest("v1");
  expect(manifest.mediaType).toBe(MANIFEST);
  expect(manifest.digest).toBe(pushed.digest);
  const { bytes, descriptor } = blobOf(300_000);
  expect(await repository.hasBlob(descriptor.digest)).toBe(true);
  expect(await repository.hasBlob(digestOf("nobody has this"))).toBe(false);
  const whole = await repository.blob(descriptor, 0);
  expect(digestOf(await collect(whole.body))).toBe(descriptor.digest);
  const rest = await repository.blob(descriptor, 299_000);
  expect(rest.offset).toBe(299_000);
  expect(await collect(rest.body)).toEqual(Buffer.from(bytes.subarray(299_000)));
  expect(await Array.fromAsync(repository.tags())).toEqual(["v1"]);
}

describe("docker-registry", () => {
  test("plain: everything goes through, and skopeo reads what we sent", async () => {
    const registry = await startRegistry();
    await using repository = await open(registry.host, { actions: "push" });
    await roundTrip(repository);
    expect(repository.endpoint).toBe(registry.host);
    const seen = Bun.spawnSync([
      "skopeo",
      "inspect",
      "--raw",
      "--tls-verify=false",
      `docker://${registry.host}/public/app:v1`,
    ]);
    expect(digestOf(seen.stdout)).toBe((await repository.resolve("v1")).digest);
  });

  test("TLS by a private authority: refused without it, verified with its file in certs.d", async () => {
    const authority = createAuthority();
    const registry = await startRegistry({ tls: authority.issue([OUTSIDE]), address: OUTSIDE });
    {
      await using repository = await open(registry.host, { settings: testSettings("retries = 0") });
      const error = await failureOf(repository.resolve("v1"));
      expect(error.kind).toBe("denied");
      expect(error.message).toBe(
        `Head "https://${registry.host}/v2/public/app/manifests/v1": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
      );
    }
    const certs = authority.certsDirectory(registry.host);
    const settings = testSettings(`certificate-directories = ["/nonexistent", ${JSON.stringify(certs)}]`);
    await using repository = await open(registry.host, { settings, actions: "push" });
    await roundTrip(repository);
  });

  test("TLS: a certificate for another host is refused, an insecure registry may have any", async () => {
    const authority = createAuthority();
    const registry = await startRegistry({ tls: authority.issue(["elsewhere.example.com"]), address: OUTSIDE });
    const certs = JSON.stringify(authority.certsDirectory(registry.host));
    await using strict = await open(registry.host, { settings: testSettings(`certificate-directories = [${certs}]`) });
    expect((await failureOf(strict.hasBlob(digestOf("x")))).message).toEndWith(
      "x509: certificate is valid for another host",
    );
    const settings = testSettings(`[registry.${JSON.stringify(registry.host)}]\ninsecure = true\n`);
    await using repository = await open(registry.host, { settings, actions: "push" });
    await roundTrip(repository);
  });

  test("TLS is not given up for NODE_TLS_REJECT_UNAUTHORIZED, and an unverified connection is not used for a strict one", async () => {
    const registry = await startRegistry({ tls: createAuthority().issue([OUTSIDE]), address: OUTSIDE });
    const settings = testSettings(`insecure-networks = ["${OUTSIDE}/32"]`);
    await using loose = await open(registry.host, { settings });
    expect(await loose.hasBlob(digestOf("x"))).toBe(false);
    const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      await using strict = await open(registry.host);
      expect((await failureOf(strict.hasBlob(digestOf("x")))).message).toContain("signed by unknown authority");
    } finally {
      if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
    }
  });

  test("a server that wants our certificate gets the one of certs.d", async () => {
    const authority = createAuthority();
    const server = authority.issue([OUTSIDE]);
    const { promise: seen, resolve } = Promise.withResolvers<string>();
    const listening = Bun.serve({
      hostname: OUTSIDE,
      port: 0,
      tls: { cert: server.cert, key: server.key, ca: authority.ca, requestCert: true, rejectUnauthorized: true },
      fetch(request) {
        resolve(request.url);
        return new Response("", { status: 404 });
      },
    });
    try {
      const host = `${OUTSIDE}:${listening.port}`;
      const certs = authority.certsDirectory(host);
      const client = authority.issue(["client"], "client");
      writeFileSync(`${certs}/${host}/client.cert`, client.cert);
      const settings = testSettings(`certificate-directories = [${JSON.stringify(certs)}]\nretries = 0`);
      await using keyless = await open(host, { settings });
      await expect(keyless.hasBlob(digestOf("x"))).rejects.toThrow(
        "missing key client.key for client certificate client.cert",
      );
      writeFileSync(`${certs}/${host}/client.key`, client.key);
      await using repository = await open(host, { settings });
      expect(await repository.hasBlob(digestOf("x"))).toBe(false);
      expect(await seen).toContain(host);
    } finally {
      await listening.stop(true);
    }
  });

  test("plain HTTP where TLS is due: refused, with a word about insecure registries", async () => {
    const registry = await startRegistry({ address: OUTSIDE });
    await using repository = await open(registry.host);
    const error = await failureOf(repository.resolve("v1"));
    expect(error.kind).toBe("unavailable");
    expect(error.message).toContain(
      "the TLS handshake failed: does it speak plain HTTP? (insecure registries: docs/registries.md)",
    );
    const settings = testSettings(`insecure-networks = ["10.88.0.0/16"]`);
    await using insecure = await open(registry.host, { settings, actions: "push" });
    await roundTrip(insecure);
  });

  test("htpasswd: Basic with the right password, refused with a wrong one or none", async () => {
    const registry = await startRegistry({ users: { me: "pass:word" } });
    await using repository = await open(registry.host, { authority: user("me", "pass:word"), actions: "push" });
    await roundTrip(repository);
    await using wrong = await open(registry.host, { authority: user("me", "wrong") });
    expect(await failureOf(wrong.manifest("v1"))).toMatchObject({ kind: "denied", status: 401 });
    await using nobody = await open(registry.host);
    expect((await failureOf(nobody.manifest("v1"))).message).toBe(
      `Get "http://${registry.host}/v2/public/app/manifests/v1": no basic auth credentials`,
    );
  });

  test("token server: one token per scope, for any number of requests at once", async () => {
    const tokens = await startTokenServer({ me: "secret" });
    const registry = await startRegistry({ tokens });
    await using repository = await open(registry.host, { authority: user("me", "secret"), actions: "push" });
    await roundTrip(repository);
    expect(tokens.asked).toEqual([{ how: "GET", scopes: ["repository:public/app:pull,push"], user: "me" }]);
    await using anonymous = await open(registry.host);
    await Promise.all(Array.from({ length: 8 }, () => anonymous.resolve("v1")));
    expect(tokens.asked.slice(1)).toEqual([{ how: "GET", scopes: ["repository:public/app:pull"], user: "" }]);
    await using barred = await open(registry.host, { path: "me/own" });
    expect(await failureOf(barred.manifest("v1"))).toMatchObject({ kind: "denied" });
    await using wrong = await open(registry.host, { authority: user("me", "wrong") });
    expect((await failureOf(wrong.manifest("v1"))).message).toBe(
      `Get "http://${registry.host}/v2/public/app/manifests/v1": unauthorized: incorrect username or password`,
    );
  });

  test("a token that was withdrawn is replaced once; one that never works is a refusal", async () => {
    const tokens = await startTokenServer({ me: "secret" });
    const registry = await startRegistry({ tokens });
    await using repository = await open(registry.host, { authority: user("me", "secret"), actions: "push" });
    tokens.isForging = true;
    const asked = repository.hasBlob(digestOf("x"));
    expect(await failureOf(asked)).toMatchObject({ kind: "denied", status: 401 });
    expect(tokens.asked.length).toBeLessThanOrEqual(2);
    tokens.isForging = false;
    expect(await repository.hasBlob(digestOf("x"))).toBe(false);
  });

  test("a token is replaced before it runs out", async () => {
    const tokens = await startTokenServer({ me: "secret" });
    const registry = await startRegistry({ tokens });
    tokens.lifetime = 1;
    await using repository = await open(registry.host);
    expect(await repository.hasBlob(digestOf("x"))).toBe(false);
    await Bun.sleep(950); // the token's own time: it counts as old after nine tenths of it
    expect(await repository.hasBlob(digestOf("x"))).toBe(false);
    expect(tokens.asked.length).toBe(2);
  });

  test("identity tokens go in a form, passwords too where the server wants that", async () => {
    const tokens = await startTokenServer({ me: "secret" }, { only: "POST" });
    const registry = await startRegistry({ tokens });
    await using repository = await open(registry.host, {
      authority: user("me", "secret"),
      actions: "push",
      path: "me/own",
    });
    await roundTrip(repository);
    expect(tokens.asked).toEqual([{ how: "POST password", scopes: ["repository:me/own:pull,push"], user: "me" }]);
  });

  test("mount: a blob of another repository is not sent again; what cannot be mounted leaves no upload open", async () => {
    const tokens = await startTokenServer({ me: "secret" });
    const registry = await startRegistry({ tokens });
    const authority = user("me", "secret");
    await using from = await open(registry.host, { authority, actions: "push", path: "me/one" });
    await pushImage(from, "v1");
    await using to = await open(registry.host, { authority, actions: "push", path: "me/two" });
    const { descriptor } = blobOf(300_000);
    expect(await to.hasBlob(descriptor.digest)).toBe(false);
    expect(await to.mount(descriptor.digest, "me/one")).toBe(true);
    expect(await to.hasBlob(descriptor.digest)).toBe(true);
    expect(tokens.asked.at(-1)?.scopes).toEqual(["repository:me/two:pull,push", "repository:me/one:pull"]);
    const other = blobOf(1000, 9);
    expect(await to.mount(other.descriptor.digest, "me/one")).toBe(false);
    await to.upload(other.descriptor, reader(other.bytes));
    expect(await to.hasBlob(other.descriptor.digest)).toBe(true);
    const uploads = `${registry.storage}/docker/registry/v2/repositories/me/two/_uploads`;
    expect(
      existsSync(uploads) ? Array.from(new Bun.Glob("*").scanSync({ cwd: uploads, onlyFiles: false })) : [],
    ).toEqual([]);
  });

  test("a pull-through mirror of it answers for it", async () => {
    const upstream = await startRegistry();
    await using push = await open(upstream.host, { actions: "push" });
    const pushed = await pushImage(push, "v1");
    const mirror = await startRegistry({ proxyOf: upstream.url });
    const settings = testSettings(`[registry."registry.invalid"]\nmirrors = ["http://${mirror.host}"]`);
    await using repository = await open("registry.invalid", { settings });
    expect(await repository.resolve("v1")).toEqual(pushed);
    expect(repository.endpoint).toBe(mirror.host);
  });
});

describe("uploads", () => {
  test("in pieces: any size, also none and one byte, arrives whole", async () => {
    const registry = await startRegistry();
    await using repository = await open(registry.host, { actions: "push" });
    for (const [size, chunkSize] of [
      [0, 10],
      [1, 10],
      [1_000_000, 1_000_000],
      [1_000_000, 999_999],
      [3_000_001, 1_000_000],
    ] as const) {
      const { bytes, descriptor } = blobOf(size, size + chunkSize);
      const progress: number[] = [];
      await repository.upload(descriptor, reader(bytes), {
        chunkSize,
        onProgress: (reached) => progress.push(reached),
      });
      const { body } = await repository.blob(descriptor, 0);
      expect(digestOf(await collect(body))).toBe(descriptor.digest);
      expect(progress.at(-1) ?? 0).toBe(size);
    }
  });

  test("the wrong bytes are refused and not stored; too few are told", async () => {
    const registry = await startRegistry();
    await using repository = await open(registry.host, { actions: "push" });
    const { bytes } = blobOf(10_000);
    const other = { ...blobOf(10_000, 2).descriptor };
    const error = await failureOf(repository.upload(other, reader(bytes)));
    expect(error).toMatchObject({ kind: "invalid", code: "DIGEST_INVALID" });
    const short = await failureOf(repository.upload({ ...other, size: 20_000 }, reader(bytes)));
    expect(short.message).toBe("the blob ended after 10000 of 20000 bytes");
    expect(storedBlobs(registry)).toBe(0);
  });

  test.each<readonly [string, number | undefined]>([
    ["in one request", undefined],
    ["in pieces", 2 << 20],
  ])("%s: cut off twice, it goes on, and the registry has it whole", async (_name, chunkSize) => {
    const registry = await startRegistry();
    const cutter = startCutter(registry.host, [3_000_000, 2_500_000]);
    const retries: string[] = [];
    await using repository = await open(cutter.host, { actions: "push", onRetry: (why) => retries.push(why) });
    const { bytes, descriptor } = blobOf(9_000_000, chunkSize ?? 0);
    const opened: number[] = [];
    const source = (offset: number) => {
      opened.push(offset);
      return reader(bytes)(offset);
    };
    await repository.upload(descriptor, source, chunkSize === undefined ? {} : { chunkSize });
    expect(cutter.done.length).toBe(2);
    expect(retries.length).toBeGreaterThanOrEqual(2);
    expect(opened[0]).toBe(0);
    await using direct = await open(registry.host);
    expect(digestOf(await collect((await direct.blob(descriptor, 0)).body))).toBe(descriptor.digest);
  });

  test("the registry restarts in the middle: what it had is not sent again", async () => {
    const registry = await startRegistry();
    await using repository = await open(registry.host, { actions: "push" });
    const { bytes, descriptor } = blobOf(6 << 20);
    const opened: number[] = [];
    let isRestarted = false;
    const source = async function* (offset: number) {
      opened.push(offset);
      for await (const chunk of reader(bytes)(offset)) {
        offset += chunk.length;
        if (offset > 3 << 20 && !isRestarted) {
          isRestarted = true;
          await registry.restart();
        }
        yield chunk;
      }
    };
    await repository.upload(descriptor, source, { chunkSize: 1 << 20 });
    expect(await repository.hasBlob(descriptor.digest)).toBe(true);
    expect(opened[0]).toBe(0);
    expect(opened.at(-1)).toBeGreaterThanOrEqual(1 << 20);
  });

  test("the answer to the last request is lost: the registry is asked, and nothing is sent twice", async () => {
    let sent = 0;
    const server = startFaultyServer(async (request, connection) => {
      if (request.method === "POST")
        return await connection.answer("202 Accepted", { Location: "/v2/public/app/blobs/uploads/1?s=a%20b" });
      if (request.method === "PUT") {
        sent += await connection.body;
        return connection.cut();
      }
      if (request.method === "HEAD") return await connection.answer("200 OK", { "Content-Length": "0" });
      return await connection.answer("404 Not Found", {});
    });
    await using repository = await open(server.host, { actions: "push" });
    const { bytes, descriptor } = blobOf(200_000);
    await repository.upload(descriptor, reader(bytes));
    expect(sent).toBe(200_000);
    const put = server.requests.find(({ method }) => method === "PUT");
    expect(put?.path).toBe(`/v2/public/app/blobs/uploads/1?s=a+b&digest=${encodeURIComponent(descriptor.digest)}`);
  });

  test("a registry that took less than it was sent gets the rest from there", async () => {
    const ranges: string[] = [];
    const server = startFaultyServer(async (request, connection) => {
      const Location = "/v2/public/app/blobs/uploads/1";
      if (request.method === "POST") return await connection.answer("202 Accepted", { Location });
      await connection.body;
      if (request.method === "GET") return await connection.answer("204 No Content", { Location, Range: "0-29" });
      if (request.method === "PUT") return await connection.answer("201 Created", {});
      ranges.push(request.headers["content-range"] ?? "");
      const last = request.count === 1 ? 29 : Number(request.headers["content-range"]?.split("-")[1]);
      return await connection.answer("202 Accepted", { Location, Range: `0-${last}` });
    });
    await using repository = await open(server.host, { actions: "push" });
    const { bytes, descriptor } = blobOf(100);
    await repository.upload(descriptor, reader(bytes), { chunkSize: 60 });
    expect(ranges).toEqual(["0-59", "30-89", "90-99"]);
  });

  test("a location at another host gets no credentials; one from https to http is refused", async () => {
    const elsewhere = startFaultyServer(async (request, connection) => {
      await connection.body;
      await connection.answer(request.method === "PUT" ? "201 Created" : "404 Not Found", {});
    });
    const server = startFaultyServer(async (request, connection) => {
      if (request.headers["authorization"] === undefined) {
        return await connection.answer("401 Unauthorized", { "WWW-Authenticate": 'Basic realm="x"' });
      }
      return await connection.answer("202 Accepted", { Location: `${elsewhere.url}/upload/1` });
    });
    await using repository = await open(server.host, { actions: "push", authority: user("me", "secret") });
    const { bytes, descriptor } = blobOf(1000);
    await repository.upload(descriptor, reader(bytes));
    expect(server.requests.at(-1)?.headers["authorization"]).toBe(`Basic ${btoa("me:secret")}`);
    expect(elsewhere.requests.filter(({ headers }) => "authorization" in headers)).toEqual([]);
    expect(elsewhere.requests.at(-1)?.method).toBe("PUT");
    const tls = createAuthority().issue(["127.0.0.1"]);
    const secure = startFaultyServer(
      (_request, connection) => connection.answer("202 Accepted", { Location: "http://storage.example.com/1" }),
      { tls },
    );
    await using downgraded = await open(secure.host, { actions: "push" });
    expect((await failureOf(downgraded.upload(descriptor, reader(bytes)))).message).toContain(
      "leads from https to http: refused",
    );
  });
});

describe("mirrors", () => {
  const settingsFor = (...mirrors: readonly string[]) =>
    testSettings(`retries = 2\n[registry."docker.io"]\nmirrors = ${JSON.stringify(mirrors)}`);

  test("one that is down, one that fails, one without the image: the next answers, and stays", async () => {
    const broken = startFaultyServer((_request, connection) => connection.answer("500 Internal Server Error", {}));
    const empty = await startRegistry();
    const full = await startRegistry();
    await using push = await open(full.host, { actions: "push", path: "library/app" });
    const pushed = await pushImage(push, "v1");
    const settings = settingsFor("http://127.0.0.1:1", broken.url, empty.url, full.url);
    await using repository = await open("docker.io", { settings, path: "library/app" });
    expect(await repository.resolve("v1")).toEqual(pushed);
    expect(repository.endpoint).toBe(full.host);
    const asked = broken.requests.length;
    const { descriptor } = blobOf(300_000);
    expect(digestOf(await collect((await repository.blob(descriptor, 0)).body))).toBe(descriptor.digest);
    expect(broken.requests.length).toBe(asked);
  });

  test("one that gives another image under a digest is passed over", async () => {
    const lying = startFaultyServer((_request, connection) =>
      connection.answer("200 OK", { "Content-Type": MANIFEST }, '{"schemaVersion":2,"layers":[]}'),
    );
    const honest = await startRegistry();
    await using push = await open(honest.host, { actions: "push", path: "library/app" });
    const pushed = await pushImage(push, "v1");
    await using repository = await open("docker.io", {
      settings: settingsFor(lying.url, honest.url),
      path: "library/app",
    });
    expect((await repository.manifest(pushed.digest)).digest).toBe(pushed.digest);
    expect(repository.endpoint).toBe(honest.host);
  });

  test("credentials of the registry are not shown to its mirror", async () => {
    const mirror = startFaultyServer((_request, connection) =>
      connection.answer("401 Unauthorized", { "WWW-Authenticate": 'Basic realm="x"' }),
    );
    const directory = scratchDirectory("config");
    const auth = Buffer.from("me:secret").toString("base64");
    writeFileSync(`${directory}/config.json`, JSON.stringify({ auths: { "https://index.docker.io/v1/": { auth } } }));
    const settings = testSettings(`retries = 0\n[registry."docker.io"]\nmirrors = ["${mirror.url}"]`, {
      DOCKER_CONFIG: directory,
    });
    const authority = openCredentialStore(settings.environment);
    expect(await authority.get("docker.io")).toMatchObject({ username: "me" });
    await using repository = await open("docker.io", { settings, authority, path: "library/app" });
    await failureOf(repository.resolve("v1"));
    expect(mirror.requests.length).toBeGreaterThan(0);
    expect(mirror.requests.filter(({ headers }) => "authorization" in headers)).toEqual([]);
  });
});

/** A server for one manifest; everything else is 404. */
function manifestServer(
  respond: (request: RawRequest, connection: RawConnection) => void | Promise<void>,
): FaultyServer {
  return startFaultyServer(async (request, connection) => {
    if (request.path.includes("/manifests/")) await respond(request, connection);
    else await connection.answer("404 Not Found", {});
  });
}

const GOOD = '{"schemaVersion":2,"layers":[]}';
const giveGood = (connection: RawConnection) => connection.answer("200 OK", { "Content-Type": MANIFEST }, GOOD);

describe("faults", () => {
  test.each<readonly [string, (connection: RawConnection) => void | Promise<void>, string]>([
    ["500", (connection) => connection.answer("500 Internal Server Error", {}), "500 Internal Server Error"],
    [
      "503 with a body",
      (c) => c.answer("503 Service Unavailable", {}, '{"errors":[{"code":"UNAVAILABLE","message":"soon"}]}'),
      "unavailable: soon",
    ],
    ["429", (connection) => connection.answer("429 Too Many Requests", { "Retry-After": "1" }), "toomanyrequests"],
    ["a connection cut before the answer", (connection) => connection.cut(), "closed before the answer was complete"],
  ])("%s: tried again, and said so", async (_name, fault, word) => {
    const server = manifestServer((request, connection) =>
      request.count <= 2 ? fault(connection) : giveGood(connection),
    );
    const retries: string[] = [];
    const started = performance.now();
    await using repository = await open(server.host, { onRetry: (why) => retries.push(why) });
    expect((await repository.manifest("v1")).digest).toBe(digestOf(GOOD));
    expect(retries.length).toBe(2);
    expect(retries[0]).toContain(word);
    expect(retries[0]).toMatch(/: trying again in \d+\.\d s$/);
    // Retry-After is kept to; otherwise half a second and a whole one, less up to half.
    expect(performance.now() - started).toBeGreaterThan(word === "toomanyrequests" ? 1990 : 700);
  });

  test("after the last attempt the failure is told; a wait beyond the limit is not begun", async () => {
    const failing = manifestServer((_request, connection) => connection.answer("502 Bad Gateway", {}));
    await using repository = await open(failing.host, { settings: testSettings("retries = 1") });
    expect(await failureOf(repository.manifest("v1"))).toMatchObject({
      kind: "unavailable",
      message: "received unexpected HTTP status: 502 Bad Gateway",
    });
    expect(failing.requests.filter(({ path }) => path.includes("manifests")).length).toBe(2);
    const limited = manifestServer((_request, connection) =>
      connection.answer(
        "429 Too Many Requests",
        { "Retry-After": "3600" },
        '{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}',
      ),
    );
    await using patient = await open(limited.host);
    expect((await failureOf(patient.manifest("v1"))).message).toBe(
      "toomanyrequests: pull rate limit (the registry asks to wait 3600 seconds)",
    );
    expect(limited.requests.filter(({ path }) => path.includes("manifests")).length).toBe(1);
  });

  test("what is no accident is not tried again", async () => {
    for (const [status, kind] of [
      ["404 Not Found", "not-found"],
      ["403 Forbidden", "denied"],
      ["400 Bad Request", "invalid"],
      ["405 Method Not Allowed", "unsupported"],
    ] as const) {
      const server = manifestServer((_request, connection) => connection.answer(status, {}));
      await using repository = await open(server.host);
      expect((await failureOf(repository.manifest("v1"))).kind).toBe(kind);
      expect(server.requests.filter(({ path }) => path.includes("manifests")).length).toBe(1);
    }
    const started = performance.now();
    await using nowhere = await open("127.0.0.1:1");
    expect((await failureOf(nowhere.manifest("v1"))).message).toBe(
      'Get "http://127.0.0.1:1/v2/public/app/manifests/v1": connection refused',
    );
    expect(performance.now() - started).toBeLessThan(1000);
    await using impossible = await open("127.0.0.1:99999");
    expect((await failureOf(impossible.manifest("v1"))).message).toBe(
      "http://127.0.0.1:99999/v2/public/app/manifests/v1: invalid port",
    );
  });

  test("a connection on which nothing comes is given up, before and in the middle of a body", async () => {
    const settings = testSettings("retries = 0\nstall-timeout = 1");
    const silent = manifestServer(() => {});
    // A host that never said anything is not asked again and again.
    await using waiting = await open(silent.host, { settings: testSettings("retries = 4\nstall-timeout = 1") });
    const started = performance.now();
    expect((await failureOf(waiting.manifest("v1"))).message).toEndWith("nothing came for 1 second");
    expect(performance.now() - started).toBeLessThan(1900);
    const { bytes, descriptor } = blobOf(100_000);
    const stalling = startFaultyServer(async (request, connection) => {
      if (!request.path.includes("/blobs/")) return await connection.answer("404 Not Found", {});
      await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
      await connection.write(bytes.subarray(0, 50_000));
    });
    await using repository = await open(stalling.host, { settings });
    const { body } = await repository.blob(descriptor, 0);
    let reached = 0;
    const reading = (async () => {
      for await (const chunk of body) reached += chunk.length;
    })();
    expect(await failureOf(reading)).toMatchObject({ kind: "unavailable", isTransient: true });
    expect(reached).toBe(50_000);
  });

  test("a slow reader is no stall", async () => {
    const { bytes, descriptor } = blobOf(4 << 20);
    const server = startFaultyServer((request, connection) =>
      request.path.includes("/blobs/")
        ? connection.answer("200 OK", {}, bytes)
        : connection.answer("404 Not Found", {}),
    );
    await using repository = await open(server.host, { settings: testSettings("retries = 0\nstall-timeout = 1") });
    const { body } = await repository.blob(descriptor, 0);
    let read = 0;
    for await (const chunk of body) {
      if (read === 0) await Bun.sleep(1300); // longer than the limit: the reader's own time
      read += chunk.length;
    }
    expect(read).toBe(bytes.length);
  });

  test.each<readonly [string, string, Record<string, string>, number, string]>([
    ["a longer Content-Length", "200 OK", { "Content-Length": "101" }, 0, "the blob has 101 bytes, not 100"],
    ["a shorter Content-Length", "200 OK", { "Content-Length": "99" }, 0, "the blob has 99 bytes, not 100"],
    [
      "another range",
      "206 Partial Content",
      { "Content-Range": "bytes 10-99/100", "Content-Length": "90" },
      50,
      "asked for the bytes from 50 on, others came",
    ],
    [
      "a range without its header",
      "206 Partial Content",
      { "Content-Length": "50" },
      50,
      "asked for the bytes from 50 on, others came",
    ],
    [
      "a range of another blob",
      "206 Partial Content",
      { "Content-Range": "bytes 50-119/120", "Content-Length": "70" },
      50,
      "the blob has 120 bytes, not 100",
    ],
  ])("a blob with %s is refused before it is read", async (_name, status, headers, offset, message) => {
    const server = startFaultyServer((_request, connection) =>
      connection.answer(status, headers, "x".repeat(Number(headers["Content-Length"]))),
    );
    await using repository = await open(server.host);
    const error = await failureOf(repository.blob(blobOf(100).descriptor, offset));
    expect(error.kind).toBe("invalid");
    expect(error.message).toEndWith(message);
  });

  test("a server that ignores ranges is read from the start; 416 too", async () => {
    const { bytes, descriptor } = blobOf(1000);
    const server = startFaultyServer((request, connection) =>
      request.headers["range"] !== undefined && request.path.startsWith("/v2/public/strict/")
        ? connection.answer("416 Range Not Satisfiable", {})
        : connection.answer("200 OK", {}, bytes),
    );
    for (const path of ["public/app", "public/strict"]) {
      await using repository = await open(server.host, { path });
      const { offset, body } = await repository.blob(descriptor, 500);
      expect(offset).toBe(0);
      expect(digestOf(await collect(body))).toBe(descriptor.digest);
    }
  });

  test("a body without a length ends at the blob's size; one that is cut off says so", async () => {
    const { bytes, descriptor } = blobOf(1000);
    const server = startFaultyServer(async (request, connection) => {
      const isEndless = request.path.startsWith("/v2/public/endless/");
      await connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      await connection.write(`${(isEndless ? 1000 : 400).toString(16)}\r\n`);
      await connection.write(bytes.subarray(0, isEndless ? 1000 : 400));
      if (!isEndless) return await connection.write("\r\n0\r\n\r\n");
      await connection.write("\r\n");
      const more = `10000\r\n${"x".repeat(0x10000)}\r\n`;
      let isOpen = true;
      void connection.closed.then(() => (isOpen = false));
      while (isOpen) {
        await connection.write(more);
        // A turn of the event loop, in which the end of the connection is heard: writing to it fails at once, without one.
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    await using endless = await open(server.host, { path: "public/endless" });
    expect(digestOf(await collect((await endless.blob(descriptor, 0)).body))).toBe(descriptor.digest);
    await using short = await open(server.host);
    const error = await failureOf(collect((await short.blob(descriptor, 0)).body));
    expect(error).toMatchObject({ kind: "unavailable", isTransient: true });
    expect(error.message).toEndWith("the body ended 600 bytes early");
  });

  test("limits: a manifest, a token and a header that are too long, a manifest of another digest", async () => {
    const big = manifestServer((request, connection) =>
      request.path.endsWith("/chunked")
        ? connection.write(
            `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${`10000\r\n${" ".repeat(0x10000)}\r\n`.repeat(70)}`,
          )
        : connection.answer("200 OK", { "Content-Type": MANIFEST }, " ".repeat(5 << 20)),
    );
    await using repository = await open(big.host);
    for (const tag of ["v1", "chunked"]) {
      expect((await failureOf(repository.manifest(tag))).message).toEndWith(
        "the manifest is longer than 4194304 bytes",
      );
    }
    const other = manifestServer((_request, connection) => giveGood(connection));
    await using swapped = await open(other.host);
    expect((await failureOf(swapped.manifest(digestOf("another")))).message).toEndWith(
      `the content has digest ${digestOf(GOOD)}, not ${digestOf("another")}`,
    );
    const headers = manifestServer((_request, connection) =>
      connection.write(`HTTP/1.1 200 OK\r\nX: ${"a".repeat(4 << 20)}\r\n\r\n`),
    );
    await using flooded = await open(headers.host);
    expect((await failureOf(flooded.manifest("v1"))).kind).toBe("invalid");
    const tokens = startFaultyServer((request, connection) =>
      request.path.startsWith("/token")
        ? connection.answer("200 OK", {}, `{"token":"${"a".repeat(2 << 20)}"}`)
        : connection.answer("401 Unauthorized", {
            "WWW-Authenticate": `Bearer realm="http://${request.headers["host"]}/token"`,
          }),
    );
    await using greedy = await open(tokens.host);
    expect((await failureOf(greedy.manifest("v1"))).message).toEndWith(
      "the token server's answer is longer than 1048576 bytes",
    );
  });

  test("escapes in a registry's words do not reach the terminal", async () => {
    const server = manifestServer((_request, connection) =>
      connection.answer(
        "400 Bad Request",
        {},
        JSON.stringify({ errors: [{ code: "X", message: "\x1b]0;owned\x07\x1b[2J" }] }),
      ),
    );
    const { stderr, status } = await engine.ctr("manifest", "inspect", `${server.host}/public/app:v1`);
    expect(status).toBe(1);
    expect(stderr).toBe("ctr: x: ]0;owned [2J\n");
  });

  test("a signal ends a request and a wait at once", async () => {
    const silent = manifestServer(() => {});
    for (const server of [
      silent,
      manifestServer((_request, connection) => connection.answer("429 Wait", { "Retry-After": "50" })),
    ]) {
      const controller = new AbortController();
      await using repository = await open(server.host, { signal: controller.signal });
      const started = performance.now();
      setTimeout(() => controller.abort(new Error("enough")), 100);
      await expect(repository.manifest("v1")).rejects.toThrow("enough");
      expect(performance.now() - started).toBeLessThan(2000);
    }
  });
});

describe("redirects", () => {
  test("a blob at a storage host is fetched there, without Authorization and with its range", async () => {
    const { bytes, descriptor } = blobOf(1000);
    const storage = startFaultyServer((_request, connection) =>
      connection.answer("206 Partial Content", { "Content-Range": "bytes 400-999/1000" }, bytes.subarray(400)),
    );
    const server = startFaultyServer((request, connection) => {
      if (request.headers["authorization"] === undefined) {
        return connection.answer("401 Unauthorized", { "WWW-Authenticate": 'Basic realm="x"' });
      }
      const isFirst = request.path.startsWith("/v2/");
      return connection.answer("307 Temporary Redirect", {
        Location: isFirst ? "/moved" : `${storage.url}/blob?signature=s`,
      });
    });
    await using repository = await open(server.host, { authority: user("me", "secret") });
    const { offset, body } = await repository.blob(descriptor, 400);
    expect(offset).toBe(400);
    expect(await collect(body)).toEqual(Buffer.from(bytes.subarray(400)));
    // At its own host the second request still says who we are.
    expect(server.requests.find(({ path }) => path === "/moved")?.headers["authorization"]).toBe(
      `Basic ${btoa("me:secret")}`,
    );
    expect(storage.requests.length).toBe(1);
    expect(storage.requests[0]?.headers).not.toHaveProperty("authorization");
    expect(storage.requests[0]?.headers["range"]).toBe("bytes=400-");
  });

  test("another port is another host; from https to http is refused; a circle ends; other schemes too", async () => {
    const plain = startFaultyServer((_request, connection) => connection.answer("200 OK", {}, "x"), {
      address: OUTSIDE,
    });
    const tls = createAuthority().issue(["127.0.0.1"]);
    let target = `${plain.url}/blob`;
    const server = startFaultyServer((_request, connection) => connection.answer("302 Found", { Location: target }), {
      tls,
    });
    await using repository = await open(server.host);
    const { descriptor } = blobOf(1);
    expect((await failureOf(repository.blob(descriptor, 0))).message).toEndWith(
      `redirected from https to ${plain.url}: refused`,
    );
    expect(plain.requests.length).toBe(0);
    target = "/again";
    expect((await failureOf(repository.blob(descriptor, 0))).message).toEndWith("redirected too often");
    target = "file:///etc/passwd";
    expect((await failureOf(repository.blob(descriptor, 0))).message).toEndWith(
      "redirected to file:///etc/passwd, which is no web address",
    );
  });

  test("a token server that is not https gets no password from a registry that is", async () => {
    const authority = createAuthority();
    const thief = startFaultyServer((_request, connection) => connection.answer("200 OK", {}, '{"token":"t"}'), {
      address: OUTSIDE,
    });
    const server = startFaultyServer(
      (_request, connection) =>
        connection.answer("401 Unauthorized", { "WWW-Authenticate": `Bearer realm="${thief.url}/token"` }),
      { tls: authority.issue([OUTSIDE]), address: OUTSIDE },
    );
    const certs = JSON.stringify(authority.certsDirectory(server.host));
    const settings = testSettings(`certificate-directories = [${certs}]`);
    await using repository = await open(server.host, { settings, authority: user("me", "secret") });
    expect((await failureOf(repository.manifest("v1"))).message).toContain(
      `credentials are not sent to ${thief.url}: it is not https`,
    );
    expect(thief.requests.length).toBe(0);
  });
});

describe("tags", () => {
  test("all of docker-registry's; page by page where there is a Link", async () => {
    const registry = await startRegistry();
    await using repository = await open(registry.host, { actions: "push" });
    const pushed = await pushImage(repository, "t0");
    const { bytes } = await repository.manifest(pushed.digest);
    for (let at = 1; at < 5; at++) await repository.putManifest(`t${at}`, MANIFEST, bytes);
    const all = ["t0", "t1", "t2", "t3", "t4"];
    expect((await Array.fromAsync(repository.tags())).sort()).toEqual(all);
    const pager = startFaultyServer(async (request, connection) => {
      const [, query] = request.path.split("?");
      const from = all.indexOf(new URLSearchParams(query).get("last") ?? "") + 1;
      const tags = all.slice(from, from + 2);
      const next = `</v2/public/app/tags/list?n=2&last=${tags.at(-1)}>; rel="next"`;
      await connection.answer("200 OK", from + 2 < all.length ? { Link: next } : {}, JSON.stringify({ tags }));
    });
    await using paged = await open(pager.host);
    expect(await Array.fromAsync(paged.tags())).toEqual(all);
    expect(pager.requests.filter(({ path }) => path.includes("tags")).length).toBe(3);
  });

  test.each<readonly [string, Record<string, string>, string, string]>([
    [
      "a circle",
      { Link: '</v2/public/app/tags/list?last=a>; rel="next"' },
      '{"tags":["a"]}',
      "the pages go round in a circle",
    ],
    [
      "another host",
      { Link: '<http://evil.example.com/>; rel="next"' },
      '{"tags":["a"]}',
      "the next page is at another host: http://evil.example.com/",
    ],
    ["a tag that is none", {}, '{"tags":["../../x"]}', "the answer is no list of tags"],
    ["no JSON", {}, "<html>", "the answer is not JSON"],
  ])("%s is an error", async (_name, headers, body, message) => {
    const server = startFaultyServer((_request, connection) => connection.answer("200 OK", headers, body));
    await using repository = await open(server.host);
    expect((await failureOf(Array.fromAsync(repository.tags()))).message).toEndWith(message);
  });
});

describe("proxies", () => {
  test("http and https go through them, with the proxy's own password; NO_PROXY and this machine do not", async () => {
    const authority = createAuthority();
    const secure = await startRegistry({ tls: authority.issue([OUTSIDE]), address: OUTSIDE });
    const plain = await startRegistry({ address: OUTSIDE });
    const local = await startRegistry();
    const proxy = startProxy();
    const withPassword = proxy.url.replace("://", "://joe:pw@");
    const certs = JSON.stringify(authority.certsDirectory(secure.host));
    const toml = `certificate-directories = [${certs}]\n[registry."${plain.host}"]\ninsecure = true\n`;
    const environment = { HTTP_PROXY: proxy.url, https_proxy: withPassword };
    for (const [registry, seen] of [
      [plain, `POST http://${plain.host}/v2/public/app/`],
      [secure, `CONNECT ${secure.host} `],
    ] as const) {
      await using repository = await open(registry.host, {
        settings: testSettings(toml, environment),
        actions: "push",
      });
      await roundTrip(repository);
      expect(proxy.seen.some((line) => line.startsWith(seen))).toBe(true);
    }
    expect(proxy.seen.find((line) => line.startsWith(`CONNECT ${secure.host}`))).toEndWith(`Basic ${btoa("joe:pw")}`);
    const before = proxy.seen.length;
    await using direct = await open(secure.host, {
      settings: testSettings(toml, { ...environment, NO_PROXY: "10.88.0.0/16" }),
    });
    expect(await direct.hasBlob(digestOf("x"))).toBe(false);
    await using machine = await open(local.host, { settings: testSettings(toml, environment) });
    expect(await machine.hasBlob(digestOf("x"))).toBe(false);
    expect(proxy.seen.length).toBe(before);
  });

  test("a proxy that refuses, cuts or is not there is named; its password is not", async () => {
    const refusing = startFaultyServer((_request, connection) =>
      connection.answer("407 Proxy Authentication Required", {}),
    );
    for (const [proxy, why] of [
      [refusing.url, "the proxy refuses the connection"],
      ["http://127.0.0.1:1", "connection refused"],
    ] as const) {
      const { host } = new URL(proxy);
      const settings = testSettings("", { HTTPS_PROXY: proxy.replace("://", "://joe:hunter2@") });
      await using repository = await open(`${OUTSIDE}:5000`, { settings });
      expect((await failureOf(repository.manifest("v1"))).message).toBe(
        `Get "https://${OUTSIDE}:5000/v2/public/app/manifests/v1" by proxy ${host}: ${why}`,
      );
    }
  });

  test("the variables of our own environment decide nothing: only the settings do", async () => {
    const registry = await startRegistry({ address: OUTSIDE });
    const before = process.env["HTTP_PROXY"];
    process.env["HTTP_PROXY"] = "http://127.0.0.1:1";
    try {
      await using repository = await open(registry.host, {
        settings: testSettings(`insecure-networks = ["${OUTSIDE}/32"]`),
      });
      expect(await repository.hasBlob(digestOf("x"))).toBe(false);
    } finally {
      if (before === undefined) delete process.env["HTTP_PROXY"];
      else process.env["HTTP_PROXY"] = before;
    }
  });
});

describe("memory", () => {
  const GIB2 = 2 * 2 ** 30;
  const program = `${import.meta.dir}/../lib/read-blob.ts`;
  const measure = async (...operands: readonly string[]) => {
    const child = Bun.spawn([process.execPath, program, ...operands], { stdout: "pipe", stderr: "inherit" });
    return JSON.parse(await child.stdout.text()) as { bytes: number; ms: number; peakMiB: number };
  };

  test("a blob of 2 GiB passes in less than 150 MiB, plain and TLS, down and up", async () => {
    const chunk = new Uint8Array(1 << 20);
    const authority = createAuthority();
    for (const tls of [undefined, authority.issue([OUTSIDE])]) {
      const server = startFaultyServer(
        async (request, connection) => {
          const Location = "/v2/app/blobs/uploads/1";
          if (request.method === "POST") return await connection.answer("202 Accepted", { Location });
          if (request.method === "PUT") {
            expect(await connection.body).toBe(GIB2);
            return await connection.answer("201 Created", {});
          }
          if (!request.path.includes("/blobs/")) return await connection.answer("404 Not Found", {});
          await connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${GIB2}\r\n\r\n`);
          for (let sent = 0; sent < GIB2; sent += chunk.length) await connection.write(chunk);
        },
        tls === undefined ? {} : { tls, address: OUTSIDE },
      );
      const certs = authority.certsDirectory(server.host);
      for (const how of ["get", "put"]) {
        const found = await measure(how, server.host, String(GIB2), certs);
        expect(found.bytes).toBe(GIB2);
        expect(found.peakMiB).toBeLessThan(150);
        console.error(
          `${how} of 2 GiB by ${tls === undefined ? "http" : "https"}: ${found.ms} ms, peak ${found.peakMiB} MiB`,
        );
      }
    }
  }, 120_000);
});

/** A Docker configuration of a test's own, and `ctr` with it. */
function userOf(config?: object) {
  const directory = scratchDirectory("docker-config");
  const path = `${directory}/config.json`;
  if (config !== undefined) writeFileSync(path, JSON.stringify(config));
  const registries = `${directory}/registries.toml`;
  writeFileSync(registries, "");
  const env = { DOCKER_CONFIG: directory, CTR_REGISTRIES: registries };
  return {
    directory,
    path,
    env,
    registries,
    ctr: (...operands: readonly string[]) => engine.ctrWith({ env }, ...operands),
    ctrWith: (stdin: string, ...operands: readonly string[]) => engine.ctrWith({ env, stdin }, ...operands),
    auths: (): Record<string, { auth?: string; identitytoken?: string }> =>
      JSON.parse(readFileSync(path, "utf8")).auths,
  };
}

describe("login and logout", () => {
  test.if(needs("ctr"))("a password from standard input is tried, kept 0600, used, and forgotten", async () => {
    const registry = await startRegistry({ users: { me: "pass word" } });
    const me = userOf();
    const wrong = await me.ctrWith("wrong\n", "login", "-u", "me", "--password-stdin", registry.host);
    expect([wrong.status, wrong.stderr]).toEqual([
      1,
      `ctr: login attempt to http://${registry.host}/v2/ failed with status: 401 Unauthorized\n`,
    ]);
    expect(existsSync(me.path)).toBe(false);
    const right = await me.ctrWith(
      "pass word\r\n",
      "login",
      "-u",
      "me",
      "--password-stdin",
      `http://${registry.host}/v2/`,
    );
    expect([right.status, right.stdout]).toEqual([0, "Login Succeeded\n"]);
    expect(right.stderr).toBe(
      `\nWARNING! Your credentials are stored unencrypted in '${me.path}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n`,
    );
    expect(statSync(me.path).mode & 0o777).toBe(0o600);
    expect(me.auths()).toEqual({ [registry.host]: { auth: btoa("me:pass word") } });
    const again = await me.ctr("login", registry.host);
    expect([again.status, again.stdout, again.stderr]).toEqual([
      0,
      "Login Succeeded\n",
      "Authenticating with existing credentials... [Username: me]\n\n Info -> To login with a different account, run 'ctr logout' followed by 'ctr login'\n\n\n",
    ]);
    const missing = await me.ctr("manifest", "inspect", `${registry.host}/a:b`);
    expect([missing.status, missing.stderr]).toEqual([1, `ctr: no such manifest: ${registry.host}/a:b\n`]);
    // skopeo finds what we kept
    const seen = Bun.spawnSync([
      "skopeo",
      "list-tags",
      "--tls-verify=false",
      "--authfile",
      me.path,
      `docker://${registry.host}/a`,
    ]);
    expect(seen.stderr.toString()).not.toContain("authentication required");
    const out = await me.ctr("logout", registry.host);
    expect([out.status, out.stdout]).toEqual([0, `Removing login credentials for ${registry.host}\n`]);
    expect(me.auths()).toEqual({});
    expect((await me.ctr("logout")).stdout).toBe("Removing login credentials for https://index.docker.io/v1/\n");
    const barred = await me.ctr("manifest", "inspect", `${registry.host}/a:b`);
    expect(barred.stderr).toBe(`ctr: Get "http://${registry.host}/v2/a/manifests/b": no basic auth credentials\n`);
  });

  test.if(needs("ctr"))("-p works, with Docker's warning; combinations are refused in its words", async () => {
    const registry = await startRegistry({ users: { me: "p" } });
    const me = userOf();
    const given = await me.ctr("login", "-u", "me", "-p", "p", registry.host);
    expect([given.status, given.stdout]).toEqual([0, "Login Succeeded\n"]);
    expect(given.stderr).toStartWith("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
    for (const [operands, message] of [
      [
        ["--password-stdin", "-u", "me", "-p", "p"],
        "conflicting options: cannot specify both --password and --password-stdin",
      ],
      [["--password-stdin"], "the --password-stdin option requires --username to be set"],
      [["-u", "", "-p", "p"], "username is empty"],
      [["-u", "me"], "Cannot perform an interactive login from a non TTY device"],
    ] as const) {
      const refused = await userOf().ctrWith("p\n", "login", ...operands, registry.host);
      expect(refused.status).toBe(1);
      expect(refused.stderr).toEndWith(`ctr: ${message}\n`);
    }
    const odd = await me.ctr("login", "-u", "a", "-p", "b", "not a host");
    expect([odd.status, odd.stderr.split("\n")[1]]).toEqual([1, 'ctr: invalid registry "not a host"']);
  });

  test.if(needs("ctr"))(
    "at a terminal: the password does not show, and the echo comes back, also after ctrl-c",
    async () => {
      const registry = await startRegistry({ users: { me: "secret" } });
      const me = userOf();
      const script = `"$CTR" login ${registry.host}; echo "status $?"; stty -a | grep -o -- '-\\?echo\\b'`;
      const env = { ...me.env, CTR: process.env["CTR_BIN"] ?? `${import.meta.dir}/../../dist/ctr` };
      {
        await using session = openSession(["sh", "-c", script], { env });
        await session.expect("Username: ");
        session.type("me\r");
        await session.expect("Password: ");
        session.type("secret\r");
        await session.expect("status 0");
        await session.expect(/\becho\b/);
        expect(session.output()).toContain("Login Succeeded");
        expect(session.output()).not.toContain("secret");
        expect(session.output()).not.toContain("-echo");
      }
      await me.ctr("logout", registry.host);
      await using session = openSession(["sh", "-c", `trap : INT; ${script}`], { env });
      await session.expect("Username: ");
      session.type("me\r");
      await session.expect("Password: ");
      session.type("sec\x03");
      await session.expect("status 130");
      await session.expect(/\becho\b/);
      expect(session.output()).not.toContain("-echo");
    },
  );

  test.if(needs("ctr"))(
    "a token server's identity token is kept instead of the password, and does for it",
    async () => {
      const tokens = await startTokenServer({ me: "secret" });
      const registry = await startRegistry({ tokens });
      const me = userOf();
      expect((await me.ctrWith("secret", "login", "-u", "me", "--password-stdin", registry.host)).status).toBe(0);
      const kept = me.auths()[registry.host];
      expect(kept?.auth).toBe(btoa("me:"));
      expect(kept?.identitytoken).toStartWith("identity-");
      await me.ctr("manifest", "inspect", `${registry.host}/me/own:v1`);
      expect(tokens.asked.at(-1)).toEqual({
        how: "POST refresh_token",
        scopes: ["repository:me/own:pull"],
        user: "me",
      });
      const bad = await me.ctrWith("wrong", "login", "-u", "me", "--password-stdin", registry.host);
      expect([bad.status, bad.stderr]).toEqual([
        1,
        `ctr: Get "http://${registry.host}/v2/": unauthorized: incorrect username or password\n`,
      ]);
    },
  );

  test.if(needs("ctr"))(
    "with a credential helper nothing is written in the clear; no secret is on a command line",
    async () => {
      const registry = await startRegistry({ users: { me: "s3cr3t" } });
      const me = userOf({ credHelpers: { [registry.host]: "test" } });
      const bin = `${me.directory}/bin`;
      mkdirSync(bin);
      const helper = `#!/bin/sh\ntr '\\0' ' ' < /proc/$PPID/cmdline >> ${bin}/lines; tr '\\0' ' ' < /proc/$$/cmdline >> ${bin}/lines\ncase $1 in store) cat > ${bin}/kept;; get) cat > /dev/null; cat ${bin}/kept 2> /dev/null || { echo credentials not found in native keychain; exit 1; };; erase) rm ${bin}/kept;; esac\n`;
      writeFileSync(`${bin}/docker-credential-test`, helper);
      chmodSync(`${bin}/docker-credential-test`, 0o755);
      const env = { ...me.env, PATH: `${bin}:${process.env["PATH"]}` };
      const login = await engine.ctrWith(
        { env, stdin: "s3cr3t" },
        "login",
        "-u",
        "me",
        "--password-stdin",
        registry.host,
      );
      expect([login.status, login.stdout, login.stderr]).toEqual([0, "Login Succeeded\n", ""]);
      expect(JSON.parse(readFileSync(`${bin}/kept`, "utf8"))).toEqual({
        ServerURL: registry.host,
        Username: "me",
        Secret: "s3cr3t",
      });
      expect(readFileSync(me.path, "utf8")).not.toContain(btoa("me:s3cr3t"));
      expect(readFileSync(`${bin}/lines`, "utf8")).toContain("login -u me --password-stdin");
      expect(readFileSync(`${bin}/lines`, "utf8")).not.toContain("s3cr3t");
      expect((await engine.ctrWith({ env }, "manifest", "inspect", `${registry.host}/a:b`)).stderr).toContain(
        "no such manifest",
      );
      expect((await engine.ctrWith({ env }, "logout", registry.host)).status).toBe(0);
      expect(existsSync(`${bin}/kept`)).toBe(false);
    },
  );

  test.if(needs("ctr"))("a settings file that is wrong stops a command with its name and the key", async () => {
    const me = userOf();
    writeFileSync(me.registries, '[registry."docker.io"]\nmirror = ["x"]\n');
    const { status, stderr } = await me.ctr("manifest", "inspect", "busybox");
    expect(status).toBe(1);
    expect(stderr).toBe(
      `ctr: ${me.registries}: registry."docker.io".mirror: is not known here (insecure, mirrors are)\n`,
    );
  });
});

describe("a user's day", () => {
  test.if(needs("ctr", "skopeo"))(
    "log in, push, remove, pull: plain, by certs.d, htpasswd, token server",
    async () => {
      const image = await engine.image("minimal");
      const authority = createAuthority();
      const tokens = await startTokenServer({ me: "secret" });
      const dresses = [
        { registry: await startRegistry(), needsLogin: false },
        {
          registry: await startRegistry({ tls: authority.issue([OUTSIDE]), address: OUTSIDE, users: { me: "secret" } }),
          needsLogin: true,
        },
        { registry: await startRegistry({ users: { me: "secret" } }), needsLogin: true },
        { registry: await startRegistry({ tokens }), needsLogin: true },
      ];
      for (const { registry, needsLogin } of dresses) {
        const me = userOf();
        const certs = authority.certsDirectory(registry.host);
        writeFileSync(me.registries, `certificate-directories = [${JSON.stringify(certs)}]\n`);
        const ref = `${registry.host}/me/minimal:v1`;
        const ok = async (...operands: readonly string[]) => {
          const { stdout, stderr, status } = await me.ctr(...operands);
          expect(`${operands[0]}: ${status} ${status === 0 ? "" : stderr}`).toBe(`${operands[0]}: 0 `);
          return stdout.trimEnd();
        };
        await ok("tag", image, ref);
        if (needsLogin) {
          const refused = await me.ctr("push", ref);
          expect([refused.status, /denied|no basic auth credentials|unauthorized/.test(refused.stderr)]).toEqual([
            1,
            true,
          ]);
          const login = await me.ctrWith("secret", "login", "-u", "me", "--password-stdin", registry.host);
          expect([login.status, login.stdout]).toEqual([0, "Login Succeeded\n"]);
        }
        await ok("push", "-q", ref);
        const id = await ok("image", "inspect", "--format", "{{.Id}}", ref);
        const tls = registry.url.startsWith("https")
          ? ["--cert-dir", `${certs}/${registry.host}`]
          : ["--tls-verify=false"];
        const credentials = needsLogin ? ["--creds", "me:secret"] : [];
        // Not spawnSync: the token server lives in this process.
        const config = Bun.spawn(
          ["skopeo", "inspect", "--config", "--raw", ...tls, ...credentials, `docker://${ref}`],
          { stdout: "pipe", stderr: "inherit" },
        );
        expect(digestOf(await config.stdout.bytes())).toBe(parseDigest(id));
        await ok("rmi", ref);
        await ok("pull", "-q", ref);
        expect(await ok("image", "inspect", "--format", "{{.Id}}", ref)).toBe(id);
        await ok("rmi", ref);
      }
    },
    90_000,
  );
});

describe("search", () => {
  const results = [
    {
      star_count: 120,
      is_official: true,
      name: "busybox",
      is_automated: false,
      description: `Busybox base image. ${"x".repeat(60)}\nmore`,
    },
    { star_count: 3, is_official: false, name: "foo/busybox", is_automated: true, description: "" },
    { star_count: 30, is_official: false, name: "bar/busybox", is_automated: false, description: "short\ttab\x1b[31m" },
  ];
  const start = () =>
    startFaultyServer((request, connection) =>
      request.path.startsWith("/v1/search?")
        ? connection.answer(
            "200 OK",
            { "Content-Type": "application/json" },
            JSON.stringify({ num_results: 3, results }),
          )
        : connection.answer("404 Not Found", {}),
    );

  test.if(needs("ctr"))("Docker's table, in the registry's order, cut unless --no-trunc", async () => {
    const server = start();
    expect(await engine.ok("search", `${server.host}/busybox`)).toBe(
      [
        "NAME          DESCRIPTION                                     STARS     OFFICIAL",
        "busybox       Busybox base image. xxxxxxxxxxxxxxxxxxxxxxxx…   120       [OK]",
        "foo/busybox                                                   3         ",
        "bar/busybox   short tab\\x1b[31m                               30        ",
      ].join("\n"),
    );
    expect(server.requests.at(-1)?.path).toBe("/v1/search?q=busybox&n=25");
    expect(await engine.ok("search", "--no-trunc", `${server.host}/busybox`)).toContain(`${"x".repeat(60)} more   120`);
    await engine.ok("search", "--limit", "5", `${server.host}/library/bus y`);
    expect(server.requests.at(-1)?.path).toBe("/v1/search?q=library%2Fbus+y&n=5");
    expect((await engine.ok("search", "--limit", "1", `${server.host}/busybox`)).split("\n").length).toBe(2);
  });

  test.if(needs("ctr"))("filters and formats", async () => {
    const server = start();
    const names = async (...flags: readonly string[]) =>
      (await engine.ok("search", ...flags, "--format", "{{.Name}}", `${server.host}/busybox`))
        .split("\n")
        .filter((name) => name !== "");
    expect(await names("--filter", "stars=30")).toEqual(["busybox", "bar/busybox"]);
    expect(await names("-f", "is-official=true")).toEqual(["busybox"]);
    expect(await names("-f", "is-official=false", "-f", "stars=4")).toEqual(["bar/busybox"]);
    const automated = await engine.ctr(
      "search",
      "-f",
      "is-automated=true",
      "--format",
      "{{.Name}}",
      `${server.host}/busybox`,
    );
    expect([automated.stdout, automated.stderr]).toEqual([
      "foo/busybox\n",
      'WARNING: the "is-automated" filter is deprecated, and searching for "is-automated=true" will not yield any results in future.\n',
    ]);
    expect(await engine.ok("search", "--format", "json", "-f", "stars=100", `${server.host}/busybox`)).toBe(
      '{"Description":"Busybox base image. xxxxxxxxxxxxxxxxxxxxxxxx…","IsOfficial":"true","Name":"busybox","StarCount":"120"}',
    );
    expect(
      await engine.ok(
        "search",
        "--format",
        "table {{.Name}}\t{{.IsOfficial}}",
        "-f",
        "stars=100",
        `${server.host}/busybox`,
      ),
    ).toBe("NAME      OFFICIAL\nbusybox   [OK]");
    for (const [flags, message] of [
      [["-f", "stars=x"], "ctr: Invalid filter 'stars=x'\n"],
      [["-f", "is-official=zz"], "ctr: Invalid filter 'is-official=[zz]'\n"],
      [["-f", "foo=true"], "ctr: Invalid filter 'foo'\n"],
      [["--limit", "101"], "ctr: Limit 101 is outside the range of [1, 100]\n"],
    ] as const) {
      expect(await engine.fails(1, "search", ...flags, `${server.host}/busybox`)).toBe(message);
    }
    expect(await engine.fails(1, "search", `http://${server.host}/busybox`)).toBe(
      'ctr: invalid repository name (ex: "registry.domain.tld/myrepos")\n',
    );
    expect(await engine.fails(1, "search", "127.0.0.1:1/busybox")).toBe(
      'ctr: Get "http://127.0.0.1:1/v1/search": connection refused\n',
    );
  });
});

describe("manifest inspect", () => {
  test.if(needs("ctr"))("an OCI image, plain and verbose, in Docker's form", async () => {
    const registry = await startRegistry();
    await using repository = await open(registry.host, { actions: "push" });
    const pushed = await pushImage(repository, "v1");
    const { bytes } = await repository.manifest("v1");
    const ref = `${registry.host}/public/app:v1`;
    const plain = await engine.ok("manifest", "inspect", ref);
    expect(plain).toBe(JSON.stringify(JSON.parse(new TextDecoder().decode(bytes)), undefined, "\t"));
    const verbose = JSON.parse(await engine.ok("manifest", "inspect", "-v", "--insecure", ref));
    expect(Object.keys(verbose)).toEqual(["Ref", "Descriptor", "Raw", "OCIManifest"]);
    expect(verbose.Ref).toBe(ref);
    expect(verbose.Descriptor).toEqual({ ...pushed, platform: { architecture: "amd64", os: "linux" } });
    expect(Buffer.from(verbose.Raw, "base64").toString()).toBe(new TextDecoder().decode(bytes));
    expect(verbose.OCIManifest).toEqual(JSON.parse(plain));
  });

  test.if(needs("ctr"))("Docker's schema 2 and a list of it keep Docker's order of fields", async () => {
    const registry = await startRegistry();
    await using repository = await open(registry.host, { actions: "push" });
    await pushImage(repository, "oci");
    const copy = Bun.spawnSync([
      ...["skopeo", "copy", "--format", "v2s2", "--src-tls-verify=false", "--dest-tls-verify=false"],
      ...[`docker://${registry.host}/public/app:oci`, `docker://${registry.host}/public/app:docker`],
    ]);
    expect(copy.stderr.toString()).toBe("");
    const ref = `${registry.host}/public/app`;
    const image = await engine.ok("manifest", "inspect", `${ref}:docker`);
    expect(image).toMatch(
      /^\{\n\t"schemaVersion": 2,\n\t"mediaType": "[^"]+v2\+json",\n\t"config": \{\n\t\t"mediaType": "[^"]+",\n\t\t"size": \d+,\n\t\t"digest"/,
    );
    const entry = await repository.resolve("docker");
    const list = {
      schemaVersion: 2,
      mediaType: "application/vnd.docker.distribution.manifest.list.v2+json",
      manifests: [{ ...entry, platform: { os: "linux", architecture: "arm64", variant: "v8" } }],
    };
    await repository.putManifest("list", list.mediaType, encoder.encode(JSON.stringify(list)));
    expect(await engine.ok("manifest", "inspect", `${ref}:list`)).toBe(
      [
        "{",
        '   "schemaVersion": 2,',
        `   "mediaType": "${list.mediaType}",`,
        '   "manifests": [',
        "      {",
        `         "mediaType": "${entry.mediaType}",`,
        `         "size": ${entry.size},`,
        `         "digest": "${entry.digest}",`,
        '         "platform": {',
        '            "architecture": "arm64",',
        '            "os": "linux",',
        '            "variant": "v8"',
        "         }",
        "      }",
        "   ]",
        "}",
      ].join("\n"),
    );
    const verbose = JSON.parse(await engine.ok("manifest", "inspect", "--verbose", `${ref}:list`));
    expect(verbose.length).toBe(1);
    expect(verbose[0].Ref).toBe(`${ref}:list@${entry.digest}`);
    expect(verbose[0].Descriptor.platform).toEqual({ architecture: "arm64", os: "linux", variant: "v8" });
    expect(verbose[0].SchemaV2Manifest).toEqual(JSON.parse(image));
  });

  test.if(needs("ctr"))("what is not there, and what is no reference", async () => {
    const registry = await startRegistry();
    expect(await engine.fails(1, "manifest", "inspect", `${registry.host}/a/none:1`)).toBe(
      `ctr: no such manifest: ${registry.host}/a/none:1\n`,
    );
    expect(await engine.fails(1, "manifest", "inspect", "BAD")).toContain("invalid reference format: repository name");
  });
});
