/**
 * Registries for tests: Debian's docker-registry (plain, TLS by a private authority, htpasswd, behind a token server),
 * and servers that behave badly on purpose. All of them listen on ports of their own and end with the test file.
 */
import { afterAll } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Socket } from "bun";
import { parseRegistrySettings, type RegistrySettings } from "../../internal/registry/settings.ts";
import { testHome } from "./home.ts";

export interface RunningRegistry {
  /** `127.0.0.1:40123`: what stands before the first slash of a reference. */
  readonly host: string;
  /** `http://…` or `https://…`, without a slash at its end. */
  readonly url: string;
  /** Where it keeps what was pushed. */
  readonly storage: string;
  stop(): Promise<void>;
  /** Started again at the same address, with what it had. */
  restart(): Promise<void>;
}

export interface RegistryOptions {
  readonly tls?: ServerCertificate;
  /** User names and passwords. */
  readonly users?: { readonly [name: string]: string };
  readonly tokens?: TokenServer;
  /** Listens here instead of 127.0.0.1. */
  readonly address?: string;
  /** A pull-through cache of this registry. */
  readonly proxyOf?: string;
}

const home = testHome("registry");
const cleanups: (() => void | Promise<void>)[] = [];
afterAll(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  rmSync(home, { recursive: true, force: true });
});

/** An empty directory that goes away with the test file. */
export function scratchDirectory(name: string): string {
  return mkdtempSync(`${home}/${name}-`);
}

/** Settings of a test's own, with an empty Docker configuration unless the environment names one. */
export function testSettings(toml = "", environment: { readonly [name: string]: string } = {}): RegistrySettings {
  const own = { DOCKER_CONFIG: `${home}/no-such-directory`, PATH: process.env["PATH"] };
  return parseRegistrySettings(toml, "registries.toml", { ...own, ...environment });
}

/** Starts docker-registry and waits until it listens. */
export async function startRegistry(options: RegistryOptions = {}): Promise<RunningRegistry> {
  const directory = scratchDirectory("docker-registry");
  const storage = `${directory}/storage`;
  mkdirSync(storage);
  const address = options.address ?? "127.0.0.1";
  const config = {
    version: 0.1,
    log: { level: "info", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: {
      addr: `${address}:0`,
      // Uploads are found again after a restart only by a secret that stays.
      secret: "test",
      ...(options.tls ? { tls: { certificate: options.tls.certPath, key: options.tls.keyPath } } : {}),
    },
    ...(options.proxyOf ? { proxy: { remoteurl: options.proxyOf } } : {}),
    ...(options.users ? { auth: { htpasswd: { realm: "test", path: writeHtpasswd(directory, options.users) } } } : {}),
    ...(options.tokens ? { auth: { token: options.tokens.registrySettings } } : {}),
  };
  let child: { readonly port: number; end(): Promise<void> } | undefined = await spawnRegistry(directory, config);
  const { port } = child;
  cleanups.push(async () => await child?.end());
  return {
    host: `${address}:${port}`,
    url: `${options.tls ? "https" : "http"}://${address}:${port}`,
    storage,
    async stop() {
      await child?.end();
      child = undefined;
    },
    async restart() {
      await child?.end();
      child = await spawnRegistry(directory, { ...config, http: { ...config.http, addr: `${address}:${port}` } });
    },
  };
}

async function spawnRegistry(
  directory: string,
  config: object,
): Promise<{ readonly port: number; end(): Promise<void> }> {
  const path = `${directory}/config.yml`;
  writeFileSync(path, JSON.stringify(config)); // JSON is YAML
  const child = Bun.spawn(["docker-registry", "serve", path], { stdout: "ignore", stderr: "pipe", env: {} });
  let text = "";
  const reader = child.stderr.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`docker-registry ended: ${text}`);
    text += new TextDecoder().decode(value);
    const port = /listening on [^\s"]*:(\d+)/.exec(text)?.[1];
    if (port === undefined) continue;
    // Read on: a full pipe would stop it.
    void (async () => {
      while (!(await reader.read()).done);
    })();
    return {
      port: Number(port),
      async end() {
        child.kill("SIGKILL");
        await child.exited;
      },
    };
  }
}

function writeHtpasswd(directory: string, users: { readonly [name: string]: string }): string {
  const lines = Object.entries(users).map(
    ([name, password]) => `${name}:${Bun.password.hashSync(password, { algorithm: "bcrypt", cost: 4 })}\n`,
  );
  writeFileSync(`${directory}/htpasswd`, lines.join(""));
  return `${directory}/htpasswd`;
}

export interface ServerCertificate {
  readonly certPath: string;
  readonly keyPath: string;
  readonly cert: string;
  readonly key: string;
}

export interface CertificateAuthority {
  readonly caPath: string;
  readonly ca: string;
  /** A certificate for these names and addresses. */
  issue(names: readonly string[], use?: "server" | "client"): ServerCertificate;
  /** Writes it as Docker's `certs.d` has it; gives the directory to name in `certificate-directories`. */
  certsDirectory(...hosts: readonly string[]): string;
}

/** A private authority. */
export function createAuthority(): CertificateAuthority {
  const directory = scratchDirectory("ca");
  const caPath = `${directory}/ca.crt`;
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...ec, "-keyout", `${directory}/ca.key`, "-out", caPath, "-subj", "/CN=test authority");
  let issued = 0;
  const ca = readFileSync(caPath, "utf8");
  return {
    caPath,
    ca,
    issue(names, use = "server") {
      const base = `${directory}/${issued++}`;
      const alternative = names.map((name) => (/^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(",");
      writeFileSync(`${base}.ext`, `subjectAltName=${alternative}\nextendedKeyUsage=${use}Auth\n`);
      openssl("req", ...ec, "-keyout", `${base}.key`, "-out", `${base}.csr`, "-subj", `/CN=${names[0] ?? "test"}`);
      const signed = ["-CA", caPath, "-CAkey", `${directory}/ca.key`, "-CAcreateserial", "-extfile", `${base}.ext`];
      openssl("x509", "-req", "-in", `${base}.csr`, "-out", `${base}.crt`, "-days", "30", ...signed);
      return {
        certPath: `${base}.crt`,
        keyPath: `${base}.key`,
        cert: readFileSync(`${base}.crt`, "utf8"),
        key: readFileSync(`${base}.key`, "utf8"),
      };
    },
    certsDirectory(...hosts) {
      const certs = scratchDirectory("certs.d");
      for (const host of hosts) {
        mkdirSync(`${certs}/${host}`);
        writeFileSync(`${certs}/${host}/ca.crt`, ca);
      }
      return certs;
    },
  };
}

function openssl(...operands: readonly string[]): void {
  const made = Bun.spawnSync(["openssl", ...operands]);
  if (made.exitCode !== 0) throw new Error(`openssl ${operands.join(" ")}: ${made.stderr}`);
}

export interface TokenServer {
  readonly url: string;
  /** What it was asked: `GET`, `POST refresh_token`, `POST password`, with the scopes. */
  readonly asked: { readonly how: string; readonly scopes: readonly string[]; readonly user: string }[];
  /** From now on tokens are worth nothing to the registry (signed for another service). */
  isForging: boolean;
  /** Seconds tokens say they last. */
  lifetime: number;
  /** For docker-registry's configuration. */
  readonly registrySettings: object;
}

/**
 * A token server (distribution, Token Authentication) that signs for docker-registry. Users may push and pull their own
 * and pull `public/…`; nobody may pull `public/…` only. `only` makes it take passwords by one way alone.
 */
export async function startTokenServer(
  users: { readonly [name: string]: string },
  { only, tls }: { readonly only?: "GET" | "POST"; readonly tls?: ServerCertificate } = {},
): Promise<TokenServer> {
  const directory = scratchDirectory("tokens");
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...ec, "-keyout", `${directory}/key`, "-out", `${directory}/crt`, "-subj", "/CN=tokens");
  openssl("pkcs8", "-topk8", "-nocrypt", "-in", `${directory}/key`, "-outform", "DER", "-out", `${directory}/der`);
  const certificate = readFileSync(`${directory}/crt`, "utf8").replace(/-----[A-Z ]+-----|\s/g, "");
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const key = await crypto.subtle.importKey("pkcs8", readFileSync(`${directory}/der`), algorithm, false, ["sign"]);
  const identities = new Map<string, string>();

  const sign = async (user: string, scopes: readonly string[]): Promise<string> => {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: "test-issuer",
      sub: user,
      aud: server.isForging ? "somebody else" : "test-registry",
      exp: now + 600,
      nbf: now - 10,
      iat: now,
      jti: crypto.randomUUID(),
      access: scopes.flatMap((scope) => {
        const [type = "", name = "", actions = ""] = scope.split(":");
        const may = name.startsWith("public/") || user !== "" ? ["pull", ...(user === "" ? [] : ["push"])] : [];
        return [{ type, name, actions: actions.split(",").filter((action) => may.includes(action)) }];
      }),
    };
    const header = { typ: "JWT", alg: "ES256", x5c: [certificate] };
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const text = `${part(header)}.${part(claims)}`;
    const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, Buffer.from(text));
    return `${text}.${Buffer.from(signature).toString("base64url")}`;
  };
  const answer = async (how: string, user: string, scopes: readonly string[], identity?: string) => {
    server.asked.push({ how, scopes, user });
    const token = await sign(user, scopes);
    return Response.json({
      ...(how === "GET" ? { token } : { access_token: token }),
      expires_in: server.lifetime,
      ...(identity === undefined ? {} : { refresh_token: identity }),
    });
  };
  const refuse = () =>
    Response.json({ errors: [{ code: "UNAUTHORIZED", message: "incorrect username or password" }] }, { status: 401 });
  const newIdentity = (user: string) => {
    const identity = `identity-${crypto.randomUUID()}`;
    identities.set(identity, user);
    return identity;
  };

  const http = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    ...(tls ? { tls: { cert: tls.cert, key: tls.key } } : {}),
    async fetch(request) {
      const url = new URL(request.url);
      if (request.method === "POST") {
        if (only === "GET") return new Response("", { status: 405 });
        const form = new URLSearchParams(await request.text());
        const scopes = (form.get("scope") ?? "").split(" ").filter((scope) => scope !== "");
        const grant = form.get("grant_type");
        if (grant === "refresh_token") {
          const user = identities.get(form.get("refresh_token") ?? "");
          return user === undefined ? refuse() : await answer("POST refresh_token", user, scopes);
        }
        const user = form.get("username") ?? "";
        if (users[user] !== form.get("password")) return refuse();
        const identity = form.get("access_type") === "offline" ? newIdentity(user) : undefined;
        return await answer("POST password", user, scopes, identity);
      }
      if (only === "POST") return new Response("", { status: 405 });
      const scopes = url.searchParams.getAll("scope").flatMap((scope) => scope.split(" "));
      const [, basic] = /^Basic (.*)$/.exec(request.headers.get("authorization") ?? "") ?? [];
      if (basic === undefined) return await answer("GET", "", scopes);
      const [user = "", password] = Buffer.from(basic, "base64").toString().split(":");
      if (users[user] !== password) return refuse();
      const identity = url.searchParams.get("offline_token") === "true" ? newIdentity(user) : undefined;
      return await answer("GET", user, scopes, identity);
    },
  });
  cleanups.push(() => http.stop(true));
  const url = `${tls ? "https" : "http"}://127.0.0.1:${http.port}/token`;
  const server: TokenServer = {
    url,
    asked: [],
    isForging: false,
    lifetime: 300,
    registrySettings: {
      realm: url,
      service: "test-registry",
      issuer: "test-issuer",
      rootcertbundle: `${directory}/crt`,
    },
  };
  return server;
}

/** A request as a faulty server saw it. */
export interface RawRequest {
  readonly method: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: { readonly [name: string]: string };
  /** How often this path has been asked by this method, counting this one. */
  readonly count: number;
}

export interface RawConnection {
  /** Sends bytes; waits until the other side takes them. */
  write(bytes: string | Uint8Array): Promise<void>;
  /** A whole answer. */
  answer(status: string, headers: { readonly [name: string]: string }, body?: string | Uint8Array): Promise<void>;
  /** The size of the request's body, when it has come whole. */
  readonly body: Promise<number>;
  /** Closes in good order. */
  end(): void;
  /** Cuts it off. */
  cut(): void;
  /** Resolves when the other side is gone. */
  readonly closed: Promise<void>;
}

export interface FaultyServer {
  readonly host: string;
  readonly url: string;
  readonly requests: readonly RawRequest[];
}

/**
 * A server that answers as the test wants, byte by byte. It is called when a request's head has come; `body` of the
 * connection resolves with the size of the request's body when that has come whole.
 */
export function startFaultyServer(
  respond: (request: RawRequest, connection: RawConnection) => void | Promise<void>,
  { tls, address = "127.0.0.1" }: { readonly tls?: ServerCertificate; readonly address?: string } = {},
): FaultyServer {
  const requests: RawRequest[] = [];
  interface State {
    head: string;
    bodyLeft: number;
    bodySize: number;
    body: PromiseWithResolvers<number>;
    drained: (() => void) | undefined;
    readonly closed: PromiseWithResolvers<void>;
  }
  const write = async (socket: Socket<State>, data: string | Uint8Array): Promise<void> => {
    let bytes = typeof data === "string" ? Buffer.from(data, "latin1") : data;
    while (bytes.length > 0 && socket.readyState > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      socket.data.drained = resolve;
      const written = socket.write(bytes);
      if (written < 0) return;
      bytes = bytes.subarray(written);
      if (bytes.length > 0) await Promise.race([promise, socket.data.closed.promise]);
    }
  };
  const connectionOf = (socket: Socket<State>): RawConnection => ({
    write: (bytes) => write(socket, bytes),
    async answer(status, headers, body = "") {
      const bytes = typeof body === "string" ? Buffer.from(body) : body;
      const all = { "Content-Length": String(bytes.length), ...headers };
      const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
      await write(socket, `HTTP/1.1 ${status}\r\n${lines.join("")}\r\n`);
      await write(socket, bytes);
    },
    end: () => socket.end(),
    cut: () => socket.terminate(),
    body: socket.data.body.promise,
    closed: socket.data.closed.promise,
  });
  /** Takes what has come: the rest of a body, then the next head. */
  const take = (socket: Socket<State>, bytes: Buffer): void => {
    const state = socket.data;
    if (state.bodyLeft > 0) {
      const ofBody = Math.min(state.bodyLeft, bytes.length);
      state.bodyLeft -= ofBody;
      if (state.bodyLeft > 0) return;
      state.body.resolve(state.bodySize);
      if (ofBody < bytes.length) take(socket, bytes.subarray(ofBody));
      return;
    }
    state.head += bytes.toString("latin1");
    // A TLS greeting to a plain server: who asks shall not wait.
    if (state.head.charCodeAt(0) === 0x16) {
      socket.end();
      return;
    }
    const end = state.head.indexOf("\r\n\r\n");
    if (end < 0) return;
    const rest = Buffer.from(state.head.slice(end + 4), "latin1");
    const [line = "", ...lines] = state.head.slice(0, end).split("\r\n");
    state.head = "";
    const [method = "", path = ""] = line.split(" ");
    const headers = Object.fromEntries(
      lines.map((text) => [text.slice(0, text.indexOf(":")).toLowerCase(), text.slice(text.indexOf(":") + 1).trim()]),
    );
    state.body = Promise.withResolvers();
    state.bodySize = Number(headers["content-length"] ?? 0);
    state.bodyLeft = state.bodySize;
    if (state.bodyLeft === 0) state.body.resolve(0);
    const count = requests.filter((request) => request.path === path && request.method === method).length + 1;
    const request = { method, path, headers, count };
    requests.push(request);
    void respond(request, connectionOf(socket));
    if (rest.length > 0) take(socket, rest);
  };
  const server = Bun.listen<State>({
    hostname: address,
    port: 0,
    ...(tls ? { tls: { cert: tls.cert, key: tls.key } } : {}),
    socket: {
      open(socket) {
        const [body, closed] = [Promise.withResolvers<number>(), Promise.withResolvers<void>()];
        socket.data = { head: "", bodyLeft: 0, bodySize: 0, body, drained: undefined, closed };
      },
      data: (socket, bytes) => take(socket, bytes),
      drain: (socket) => socket.data.drained?.(),
      close: (socket) => socket.data.closed.resolve(),
      error: (socket) => socket.data.closed.resolve(),
    },
  });
  cleanups.push(() => server.stop(true));
  return {
    host: `${address}:${server.port}`,
    url: `${tls ? "https" : "http"}://${address}:${server.port}`,
    requests,
  };
}

/** A cable to another server that is cut: each connection after so many bytes from the client, then not any more. */
export function startCutter(
  target: string,
  cuts: readonly number[],
): { readonly host: string; readonly done: number[] } {
  interface State {
    left: number;
    peer: Promise<Socket<{ client: Socket<State> }>>;
    queue: Promise<unknown>;
  }
  const pending = [...cuts];
  const done: number[] = [];
  const [hostname = "", port = ""] = target.split(":");
  const server = Bun.listen<State>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        const peer = Bun.connect<{ client: Socket<State> }>({
          hostname,
          port: Number(port),
          data: { client: socket },
          socket: {
            data: (upstream, received) => void upstream.data.client.write(received),
            close: (upstream) => void upstream.data.client.end(),
          },
        });
        socket.data = { left: pending[0] ?? Number.POSITIVE_INFINITY, peer, queue: Promise.resolve() };
      },
      data(socket, bytes) {
        const { data } = socket;
        const copy = Buffer.from(bytes);
        data.left -= copy.length;
        const isCut = data.left < 0 && pending.length > 0;
        if (isCut) done.push(pending.shift() ?? 0);
        // What was let through arrives before the line goes dead.
        data.queue = data.queue.then(async () => {
          const peer = await data.peer;
          for (let rest = copy; rest.length > 0; ) {
            const written = peer.write(rest);
            if (written < 0) return;
            rest = rest.subarray(written);
            if (rest.length > 0) await Bun.sleep(1);
          }
          if (isCut) {
            peer.end();
            socket.terminate();
          }
        });
      },
      async close(socket) {
        (await socket.data.peer).end();
      },
    },
  });
  cleanups.push(() => server.stop(true));
  return { host: `127.0.0.1:${server.port}`, done };
}

/** A proxy for http and, by CONNECT, for https; notes what went through it. */
export function startProxy(): { readonly url: string; readonly seen: string[] } {
  interface State {
    head: string;
    peer: Promise<Socket<{ client: Socket<State> }>> | undefined;
  }
  const seen: string[] = [];
  const server = Bun.listen<State>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { head: "", peer: undefined };
      },
      async data(socket, bytes) {
        const copy = Buffer.from(bytes);
        const { peer } = socket.data;
        if (peer !== undefined) {
          (await peer).write(copy); // small conversations: the kernel takes them whole
          return;
        }
        socket.data.head += copy.toString("latin1");
        const end = socket.data.head.indexOf("\r\n\r\n");
        if (end < 0) return;
        const [line = ""] = socket.data.head.split("\r\n");
        const authorization = /proxy-authorization: (.*)/i.exec(socket.data.head)?.[1]?.trim() ?? "";
        seen.push(`${line} ${authorization}`.trim());
        const [method = "", target = ""] = line.split(" ");
        const url = new URL(method === "CONNECT" ? `http://${target}` : target);
        socket.data.peer = Bun.connect<{ client: Socket<State> }>({
          hostname: url.hostname,
          port: Number(url.port),
          data: { client: socket },
          socket: {
            data: (upstream, received) => void upstream.data.client.write(Buffer.from(received)),
            close: (upstream) => void upstream.data.client.end(),
          },
        });
        if (method === "CONNECT") {
          await socket.data.peer;
          socket.write("HTTP/1.1 200 OK\r\n\r\n");
          return;
        }
        const head = socket.data.head.replace(target, `${url.pathname}${url.search}`);
        (await socket.data.peer).write(Buffer.from(head, "latin1"));
      },
      async close(socket) {
        (await socket.data.peer)?.end();
      },
    },
  });
  cleanups.push(() => server.stop(true));
  return { url: `http://127.0.0.1:${server.port}`, seen };
}

/** How many blobs a registry's storage holds. */
export function storedBlobs(registry: RunningRegistry): number {
  try {
    const top = `${registry.storage}/docker/registry/v2/blobs/sha256`;
    return readdirSync(top).reduce((sum, prefix) => sum + readdirSync(`${top}/${prefix}`).length, 0);
  } catch {
    return 0; // nothing was pushed yet
  }
}
