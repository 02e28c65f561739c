/** `pull`: from docker-registry, and from servers that break what they can. */
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import {
  answerRange,
  fileLayer,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  rangeHead,
  rangeStart,
  type ServedLayer,
  sha256,
  startImageServer,
  tarOf,
} from "../lib/image-server.ts";
import { binary, needs } from "../lib/needs.ts";
import { createAuthority, scratchDirectory, startRegistry } from "../lib/registry.ts";
import { test } from "../lib/test.ts";
import { tree } from "../lib/tree.ts";
import { waitFor } from "../lib/wait.ts";

const engine = tempEngine();
const registry = await startRegistry();
const server = startImageServer();
const minimal = await engine.image("minimal");

/** Runs a tool that must succeed; its standard output. */
function tool(...command: readonly string[]): string {
  const ran = Bun.spawnSync([...command]);
  if (ran.exitCode !== 0) throw new Error(`${command.join(" ")}: ${ran.stderr.toString()}`);
  return ran.stdout.toString();
}

const lines = (text: string) => text.trim().split("\n");
const json = async (...operands: readonly string[]) => JSON.parse(await engine.ok(...operands));

/** Everything of the store that a pull could leave: blobs, layers, workspaces. Downloads are kept on purpose. */
const stored = () =>
  ["content/blobs/sha256", "layers", "ingest"].flatMap((name) => {
    const path = `${engine.root}/${name}`;
    return existsSync(path) ? readdirSync(path).map((entry) => `${name}/${entry}`) : [];
  });
const downloads = () => (existsSync(`${engine.root}/downloads`) ? readdirSync(`${engine.root}/downloads`) : []);

/** Bytes that do not compress, the same for the same seed. */
function noise(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let state = seed * 2654435761 + 1;
  for (let at = 0; at < size; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

/** A pull of a made-up image fails with this in its one line, and leaves the store as it was. */
async function refused(tag: string, ...parts: readonly string[]): Promise<void> {
  const before = stored();
  const message = await engine.fails(1, "pull", `${server.host}/${tag}`);
  for (const part of parts) expect(message).toContain(part);
  expect(lines(message).length).toBe(1);
  expect(stored()).toEqual(before);
}

describe("docker-registry", () => {
  const name = `${registry.host}/team/app`;

  test.if(needs("skopeo"))(
    "pull: what skopeo pushed, in Docker's words; it runs and is known by its digest",
    async () => {
      const archive = `${engine.scratch}/min.tar`;
      await engine.ok("save", "-o", archive, minimal);
      tool("skopeo", "copy", "--dest-tls-verify=false", `docker-archive:${archive}`, `docker://${name}:v1`);
      const remote = JSON.parse(tool("skopeo", "inspect", "--tls-verify=false", `docker://${name}:v1`));
      await engine.ok("rmi", minimal);
      const short = remote.Layers[0].slice(7, 19);
      expect(lines(await engine.ok("pull", `${name}:v1`))).toEqual([
        "v1: Pulling from team/app",
        `${short}: Pulling fs layer`,
        `${short}: Verifying Checksum`,
        `${short}: Download complete`,
        `${short}: Pull complete`,
        `Digest: ${remote.Digest}`,
        `Status: Downloaded newer image for ${name}:v1`,
        `${name}:v1`,
      ]);
      expect(lines(await engine.ok("pull", `${name}:v1`))).toEqual([
        "v1: Pulling from team/app",
        `Digest: ${remote.Digest}`,
        `Status: Image is up to date for ${name}:v1`,
        `${name}:v1`,
      ]);
      const [image] = await json("inspect", `${name}:v1`);
      expect(image.RepoDigests).toEqual([`${name}@${remote.Digest}`]);
      expect(await engine.ok("images", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}")).toContain(
        `${name} v1 ${remote.Digest}`,
      );
      expect(await engine.ok("run", "--rm", "--network", "none", `${name}@${remote.Digest}`, "echo", "runs")).toBe(
        "runs",
      );
      expect(downloads()).toEqual([]);
    },
  );

  test("pull: by digest, tag@digest, without a tag, quietly", async () => {
    const [{ RepoDigests }] = await json("inspect", `${name}:v1`);
    const [byDigest = ""] = RepoDigests;
    const digest = byDigest.slice(byDigest.indexOf("@") + 1);
    await engine.ok("rmi", `${name}:v1`);
    expect(lines(await engine.ok("pull", byDigest))).toContain(`${byDigest}: Pulling from team/app`);
    expect((await json("inspect", byDigest))[0].RepoTags).toEqual([]);
    expect(await engine.ok("images", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}")).toContain(
      `${name} <none> ${digest}`,
    );
    expect(await engine.ok("pull", "-q", `${name}:v1@${digest}`)).toBe(`${name}:v1@${digest}`);
    expect(await engine.fails(1, "pull", name)).toContain(
      `manifest for ${name}:latest not found: manifest unknown: manifest unknown`,
    );
    expect(await engine.ok("pull", "-q", `${name}:v1`)).toBe(`${name}:v1`);
    expect(lines(await engine.ok("rmi", `${name}:v1`)).slice(0, 2)).toEqual([
      `Untagged: ${name}:v1`,
      `Untagged: ${byDigest}`,
    ]);
  });

  test.if(needs("skopeo"))("pull --all-tags: every tag of the repository", async () => {
    for (const tag of ["v2", "v3"]) {
      const [source, target] = [`docker://${name}:v1`, `docker://${name}:${tag}`];
      tool("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", source, target);
    }
    const output = lines(await engine.ok("pull", "-a", name));
    expect(output.filter((line) => line.includes("Pulling from")).toSorted()).toEqual([
      "v1: Pulling from team/app",
      "v2: Pulling from team/app",
      "v3: Pulling from team/app",
    ]);
    expect(output.slice(-2)).toEqual([`Status: Downloaded newer image for ${name}`, name]);
    expect((await json("inspect", `${name}:v3`))[0].RepoTags).toEqual(
      ["v1", "v2", "v3"].map((tag) => `${name}:${tag}`),
    );
    expect(await engine.fails(1, "pull", "-a", `${name}:v1`)).toBe("ctr: tag can't be used with --all-tags/-a\n");
    expect(await engine.fails(1, "pull", "-a", `${registry.host}/no/such`)).toContain(
      `repository ${registry.host}/no/such not found: name unknown`,
    );
    await engine.ok("rmi", `${name}:v1`, `${name}:v2`, `${name}:v3`);
  });

  test("run, create: --pull missing, always and never", async () => {
    const run = (...operands: readonly string[]) => engine.ctr("run", "--rm", "--network", "none", ...operands);
    const missing = await run(`${name}:v1`, "echo", "hello");
    expect(missing.stdout).toBe("hello\n");
    expect(lines(missing.stderr).slice(0, 2)).toEqual([
      `Unable to find image '${name}:v1' locally`,
      "v1: Pulling from team/app",
    ]);
    expect(missing.stderr).toContain(`Status: Downloaded newer image for ${name}:v1`);
    expect((await run(`${name}:v1`, "true")).stderr).toBe("");
    expect(lines((await run("--pull", "always", `${name}:v1`, "true")).stderr).slice(0, 1)).toEqual([
      "v1: Pulling from team/app",
    ]);
    expect((await run("--pull", "always", "-q", `${name}:v1`, "true")).stderr).toBe("");
    const never = await run("--pull", "never", `${name}:v9`, "true");
    expect([never.status, never.stderr]).toEqual([125, `ctr: No such image: ${name}:v9\n`]);
    const gone = await run(`${name}:v9`, "true");
    expect([gone.status, lines(gone.stderr)[0]]).toEqual([125, `Unable to find image '${name}:v9' locally`]);
    expect(await engine.fails(125, "run", "--pull", "now", name)).toContain(
      `invalid pull option: 'now': must be one of "always", "missing" or "never"`,
    );
    await engine.ok("rmi", `${name}:v1`);
    const created = await engine.ctr("create", "-q", `${name}:v1`, "true");
    expect([created.stdout, created.stderr]).toEqual([expect.stringMatching(/^[0-9a-f]{64}\n$/), ""]);
    await engine.ok("rm", created.stdout.trim());
    const other = await run("--platform", "linux/s390x", `${name}:v1`, "true");
    expect(other.status).toBe(125);
    expect(other.stderr).toContain("does not match the specified platform: wanted linux/s390x, actual: linux/");
  });
});

describe("registries", () => {
  /** A file for CTR_REGISTRIES and an empty or filled Docker configuration, as an environment. */
  const environment = (toml: string, auths: object = {}) => {
    const directory = scratchDirectory("environment");
    writeFileSync(`${directory}/registries.toml`, toml);
    writeFileSync(`${directory}/config.json`, JSON.stringify({ auths }));
    return { CTR_REGISTRIES: `${directory}/registries.toml`, DOCKER_CONFIG: directory };
  };

  test("push, pull: TLS by a private authority, a password of Docker's configuration", async () => {
    const authority = createAuthority();
    const secret = await startRegistry({ tls: authority.issue(["127.0.0.1"]), users: { ann: "pass word" } });
    const toml = `certificate-directories = [${JSON.stringify(authority.certsDirectory(secret.host))}]\n`;
    const auth = (password: string) => ({ [secret.host]: { auth: Buffer.from(`ann:${password}`).toString("base64") } });
    const name = `${secret.host}/private/app:1`;
    await engine.ok("pull", "-q", `${registry.host}/team/app:v1`);
    await engine.ok("tag", `${registry.host}/team/app:v1`, name);
    const right = environment(toml, auth("pass word"));
    const pushed = await engine.ctrWith({ env: right }, "push", "-q", name);
    expect([pushed.status, pushed.stderr]).toEqual([0, ""]);
    await engine.ok("rmi", name);
    for (const [env, why] of [
      [environment(toml), "no basic auth credentials"],
      [environment(toml, auth("wrong")), "unauthorized"],
    ] as const) {
      const refused = await engine.ctrWith({ env }, "pull", name);
      expect([refused.status, refused.stderr.toLowerCase()]).toEqual([1, expect.stringContaining(why)]);
      expect(refused.stderr).not.toContain("pass word");
    }
    const pulled = await engine.ctrWith({ env: right }, "pull", "-q", name);
    expect([pulled.status, pulled.stdout]).toEqual([0, `${name}\n`]);
    await engine.ok("rmi", name);
  });

  test("pull: from a mirror, under the name of the registry it stands for", async () => {
    const env = environment(`[registry."docker.io"]\nmirrors = ["http://${registry.host}"]\n`);
    const pulled = await engine.ctrWith({ env }, "pull", "-q", "team/app:v1");
    expect([pulled.stdout, pulled.stderr]).toEqual(["docker.io/team/app:v1\n", ""]);
    const [image] = await json("inspect", "team/app:v1");
    expect(image.RepoDigests).toContainEqual(expect.stringMatching(/^team\/app@sha256:/));
    await engine.ok("rmi", "team/app:v1");
  });
});

describe("platforms", () => {
  /** An image of one layer whose config and label say its platform. */
  const platformImage = (architecture: string, variant?: string) => {
    const layer = fileLayer(server, "platform", `${architecture}/${variant ?? ""}`);
    const changes = { config: { architecture, ...(variant === undefined ? {} : { variant }) } };
    const descriptor = server.image(`one-${architecture}${variant ?? ""}`, [layer], changes);
    return { ...descriptor, platform: { os: "linux", architecture, ...(variant === undefined ? {} : { variant }) } };
  };
  const index = (manifests: readonly object[], tag?: string) =>
    server.manifest({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }, OCI_INDEX, tag);
  const platformOf = async (name: string) => {
    const [image] = await json("inspect", name);
    return [image.Architecture, image.Variant].filter((part) => part !== undefined).join("/");
  };

  test("pull --platform: an index, nested ones, variants, and Docker's words for none", async () => {
    const arms = index([platformImage("arm", "v5"), platformImage("arm", "v6"), platformImage("arm64", "v8")]);
    const unknown = { ...platformImage("unknown"), platform: { os: "unknown", architecture: "unknown" } };
    const top = index([unknown, arms, platformImage("amd64"), platformImage("s390x")], "multi");
    const name = `${server.host}/platforms:multi`;
    for (const [platform, expected] of [
      ["linux/amd64", "amd64"],
      ["linux/arm64", "arm64/v8"],
      ["linux/arm/v7", "arm/v6"],
      ["linux/arm/v5", "arm/v5"],
      ["s390x", "s390x"],
    ] as const) {
      await engine.ok("pull", "-q", "--platform", platform, name);
      expect(await platformOf(name)).toBe(expected);
      expect((await json("inspect", name))[0].RepoDigests).toContain(`${server.host}/platforms@${top.digest}`);
    }
    await engine.ok("pull", "-q", name);
    expect(await platformOf(name)).toBe(process.arch === "x64" ? "amd64" : "arm64/v8");
    expect(await engine.fails(1, "pull", "--platform", "linux/ppc64le", name)).toBe(
      "ctr: no matching manifest for linux/ppc64le in the manifest list entries\n",
    );
    expect(await engine.fails(1, "pull", "--platform", "linux/a/b/c", name)).toContain(
      "cannot parse platform specifier",
    );
  });

  test("pull: indexes nested without end are refused", async () => {
    let inner = platformImage("amd64");
    for (let depth = 0; depth < 6; depth++) inner = { ...index([inner], `deep-${depth}`), platform: inner.platform };
    await engine.ok("pull", "-q", "--platform", "linux/amd64", `${server.host}/platforms:deep-3`);
    expect(await engine.fails(1, "pull", "--platform", "linux/amd64", `${server.host}/platforms:deep-5`)).toContain(
      "indexes lie deeper than 4 in each other",
    );
  });
});

describe("layers", () => {
  test("pull: gzip, zstd and plain layers, Docker's and OCI's types, give the same tree", async () => {
    const content = { "etc/motd": "hello", "bin/tool": noise(100_000, 1) };
    const tar = tarOf(content);
    const docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    const forms: readonly [string, string, Uint8Array][] = [
      ["gzip", `${OCI_LAYER}+gzip`, Bun.gzipSync(tar)],
      ["zstd", `${OCI_LAYER}+zstd`, Bun.zstdCompressSync(tar)],
      ["plain", OCI_LAYER, tar],
      ["docker", docker, Bun.gzipSync(tar, { level: 1 })],
    ];
    const trees: string[] = [];
    for (const [form, mediaType, bytes] of forms) {
      const layer = { ...server.blob(bytes, mediaType), diffId: sha256(tar) };
      const pulled = await engine.ok("pull", "-q", `${server.host}/${server.image(form, [layer]) && `forms:${form}`}`);
      const [{ GraphDriver }] = await json("inspect", pulled);
      // The archive does not name the directories, so their times are those of the pull.
      const files = tree(GraphDriver.Data.UpperDir).filter((line) => line.includes(" 100644 "));
      expect(files.length).toBe(2);
      trees.push(files.join("\n"));
      await engine.ok("rmi", pulled);
    }
    expect(new Set(trees).size).toBe(1);
    expect(trees[0]).toContain("bin/tool");
  });

  test("pull: layers come in any order; whiteouts, links below and implied directories are as in order", async () => {
    const work = `${engine.scratch}/ordered`;
    const layerOf = (name: string, script: string): Uint8Array<ArrayBuffer> => {
      mkdirSync(`${work}/${name}`, { recursive: true });
      tool("bash", "-c", `cd '${work}/${name}' && umask 022 && ${script}`);
      return new Uint8Array(readFileSync(`${work}/${name}.tar`));
    };
    const tar = "tar --numeric-owner --format=pax -cf";
    const below = layerOf(
      "0",
      `mkdir -p a/b/c d/e && echo low > a/b/low && echo gone > a/b/gone && chmod 711 a && chmod 2750 a/b && chown 7:8 a/b &&
       touch -d 2001-02-03 a/b a d && echo x > d/e/x && ${tar} ../0.tar .`,
    );
    // Names its files only: a and a/b are implied; a hard link leads to the layer below.
    const above = layerOf(
      "1",
      `mkdir -p a/b && echo top > a/b/top && touch a/b/.wh.gone && mkdir d && touch d/.wh..wh..opq && echo low > a/b/low &&
       ln a/b/low link && ${tar} ../full.tar a/b/low link a/b/top a/b/.wh.gone d/.wh..wh..opq && rm a/b/low &&
       python3 - <<'PY'
import tarfile
source = tarfile.open('../full.tar'); target = tarfile.open('../1.tar', 'w', format=tarfile.PAX_FORMAT)
for member in source:
    if member.name == 'a/b/low': continue
    target.addfile(member, source.extractfile(member) if member.isreg() else None)
target.close()
PY`,
    );
    /** The lower layer's bytes wait until the upper one has been asked for and had time to be unpacked. */
    const reversed = Promise.withResolvers<void>();
    const [low, high] = [Bun.gzipSync(below), Bun.gzipSync(above)];
    const layers: ServedLayer[] = [
      {
        ...server.blob(low, `${OCI_LAYER}+gzip`, {
          respond: async (request, connection) => {
            await connection.write(rangeHead(request, low.length));
            await reversed.promise;
            await connection.write(low);
          },
        }),
        diffId: sha256(below),
      },
      {
        ...server.blob(high, `${OCI_LAYER}+gzip`, {
          respond: async (request, connection) => {
            await answerRange(request, connection, high);
            reversed.resolve();
          },
        }),
        diffId: sha256(above),
      },
    ];
    server.image("reversed", layers);
    await engine.ok("pull", "-q", `${server.host}/order:reversed`);
    const [{ GraphDriver }] = await json("inspect", `${server.host}/order:reversed`);
    const merged = tree(GraphDriver.Data.UpperDir);
    const archive = `${engine.scratch}/reversed.tar`;
    await engine.ok("save", "-o", archive, `${server.host}/order:reversed`);
    await engine.ok("rmi", `${server.host}/order:reversed`);
    await engine.ok("load", "-i", archive); // one layer after the other
    const [{ GraphDriver: loaded }] = await json("inspect", `${server.host}/order:reversed`);
    // A whiteout's own time is that of the unpacking, and so is the root's.
    const timeless = (all: readonly string[]) => all.slice(1).map((one) => one.replace(/ \d+ device 0$/, " device 0"));
    expect(timeless(merged)).toEqual(timeless(tree(loaded.Data.UpperDir)));
    const line = (path: string) => merged.find((one) => one.startsWith(`${path} `)) ?? "";
    expect(line("a/b")).toContain(" 42750 7:8 981158400000000000");
    expect(line("link")).toContain(" 4 ");
    expect(line("a/b/gone")).toContain("device 0");
  });

  test("pull: layers that are there are skipped, also when another image brought them", async () => {
    const shared = fileLayer(server, "shared", noise(50_000, 2));
    const [one, two] = [fileLayer(server, "one", "1"), fileLayer(server, "two", "2")];
    server.image("first", [shared, one]);
    server.image("second", [shared, two]);
    await engine.ok("pull", "-q", `${server.host}/shared:first`);
    const output = await engine.ok("pull", `${server.host}/shared:second`);
    expect(output).toContain(`${shared.digest.slice(7, 19)}: Already exists`);
    expect(output).toContain(`${two.digest.slice(7, 19)}: Pull complete`);
    expect(server.asked(shared.digest)).toBe(1);
  });

  test("pull: at most --max-concurrent-downloads layers at a time, and the same layer twice is fetched once", async () => {
    let running = 0;
    let most = 0;
    const respond: NonNullable<Parameters<typeof fileLayer>[3]>["respond"] = async (request, connection, bytes) => {
      most = Math.max(most, ++running);
      await connection.write(rangeHead(request, bytes.length));
      await connection.write(bytes.subarray(0, 1000));
      // Long enough for all that may to come.
      await Bun.sleep(50);
      running--;
      await connection.write(bytes.subarray(1000));
    };
    const layers = Array.from({ length: 8 }, (_, at) =>
      fileLayer(server, `file-${at}`, noise(20_000, 10 + at), { respond }),
    );
    const [twice] = layers;
    server.image("many", twice === undefined ? layers : [...layers, twice]);
    await engine.ok("pull", "-q", "--max-concurrent-downloads", "2", `${server.host}/limits:many`);
    expect(most).toBe(2);
    expect(server.asked(twice?.digest ?? "")).toBe(1);
    await engine.ok("rmi", `${server.host}/limits:many`);
    most = 0;
    await engine.ok("pull", "-q", `${server.host}/limits:many`);
    expect(most).toBe(3);
    expect(await engine.fails(125, "pull", "--max-concurrent-downloads", "0", "x")).toContain("must be greater than 0");
    await engine.ok("rmi", `${server.host}/limits:many`);
    most = 0;
    writeFileSync(`${engine.scratch}/engine.toml`, "max-concurrent-downloads = 1\n");
    const env = { CTR_CONFIG: `${engine.scratch}/engine.toml` };
    expect((await engine.ctrWith({ env }, "pull", "-q", `${server.host}/limits:many`)).status).toBe(0);
    expect(most).toBe(1);
    await engine.ok("rmi", `${server.host}/limits:many`);
  });

  test("pull: 200 layers where a process may have few descriptors", async () => {
    const layers = Array.from({ length: 200 }, (_, at) => fileLayer(server, `few-${at}`, `few ${at}`));
    server.image("few", layers);
    const command = `ulimit -n 1024 && exec "$0" pull -q ${server.host}/few:few`;
    const child = Bun.spawn(["bash", "-c", command, binary()], {
      env: { ...process.env, ...engine.env },
      stderr: "pipe",
    });
    expect([await child.exited, await child.stderr.text()]).toEqual([0, ""]);
    await engine.ok("rmi", `${server.host}/few:few`);
  });

  test("pull: an image of 300 layers; one of more than 500 is refused", async () => {
    const layers = Array.from({ length: 300 }, (_, at) => fileLayer(server, `f${at}`, String(at)));
    server.image("300", layers);
    await engine.ok("pull", "-q", `${server.host}/deep:300`);
    expect((await json("inspect", `${server.host}/deep:300`))[0].RootFS.Layers.length).toBe(300);
    await engine.ok("rmi", `${server.host}/deep:300`);
    const [first] = layers;
    if (first === undefined) throw new Error("no layer");
    server.image(
      "501",
      Array.from({ length: 501 }, () => first),
    );
    await refused("deep:501", "the image has 501 layers, at most 500 are possible");
  });
});

describe("what is wrong", () => {
  const good = () => fileLayer(server, "good", noise(300_000, 3));

  test("pull: a blob that is not what its digest says", async () => {
    const tar = tarOf({ file: noise(300_000, 4) });
    const bytes = Bun.gzipSync(tar);
    const wrong = bytes.toReversed();
    const respond = (request: Parameters<typeof answerRange>[0], connection: Parameters<typeof answerRange>[1]) =>
      answerRange(request, connection, wrong);
    const layer = { ...server.blob(bytes, `${OCI_LAYER}+gzip`, { respond }), diffId: sha256(tar) };
    server.image("wrong-blob", [good(), layer]);
    await refused(
      "bad:wrong-blob",
      `layer ${layer.digest.slice(7, 19)}: content has digest sha256:`,
      `instead of ${layer.digest}`,
    );
    expect(downloads()).not.toContain(layer.digest.slice(7)); // what is wrong is not kept
  });

  test("pull: a blob that is shorter or longer than its descriptor says", async () => {
    const layer = good();
    server.image("long", [{ ...layer, size: layer.size - 1 }]);
    await refused(
      "bad:long",
      `layer ${layer.digest.slice(7, 19)}: `,
      `the blob has ${layer.size} bytes, not ${layer.size - 1}`,
    );
    const tar = tarOf({ file: "short" });
    const bytes = Bun.gzipSync(tar);
    const short = { ...server.blob(bytes, `${OCI_LAYER}+gzip`), diffId: sha256(tar), size: bytes.length + 10 };
    server.image("short", [short]);
    await refused(
      "bad:short",
      `layer ${short.digest.slice(7, 19)}: `,
      `the blob has ${bytes.length} bytes, not ${short.size}`,
    );
    // A server that does not say how long it is.
    const endless = fileLayer(server, "endless", "x", {
      respond: async (_, connection, bytes) => {
        await connection.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        await connection.write(bytes);
        await connection.write(new Uint8Array(1 << 20));
        connection.end();
      },
    });
    server.image("endless", [endless]);
    // What is beyond the declared size is not read; what is before it is right.
    await engine.ok("pull", "-q", `${server.host}/bad:endless`);
  });

  test("pull: a config that lies about diff IDs, or about their number", async () => {
    const layer = good();
    const lie = `sha256:${"1".repeat(64)}`;
    server.image("lie", [layer], { config: { rootfs: { type: "layers", diff_ids: [lie] } } });
    await refused("bad:lie", `invalid diffID for layer: expected ${lie}, got ${layer.diffId}`);
    server.image("few", [layer], { config: { rootfs: { type: "layers", diff_ids: [] } } });
    await refused("bad:few", "invalid image: its config names 0 layers, its manifest 1");
    // The layer is there already: it is verified all the same.
    server.image("honest", [layer]);
    await engine.ok("pull", "-q", `${server.host}/bad:honest`);
    const other = fileLayer(server, "other", "x");
    server.image("lie-again", [other], { config: { rootfs: { type: "layers", diff_ids: [layer.diffId] } } });
    await refused("bad:lie-again", `invalid diffID for layer: expected ${layer.diffId}, got ${other.diffId}`);
  });

  test("pull: manifests that are none", async () => {
    for (const [tag, document, mediaType, message] of [
      ["no-json", "{", OCI_MANIFEST, ""],
      ["array", "[]", OCI_MANIFEST, ""],
      ["empty", "{}", OCI_MANIFEST, ""],
      [
        "no-config",
        { schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [] },
        OCI_MANIFEST,
        "is not what it should be",
      ],
      ["v1", { schemaVersion: 1 }, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema"],
      ["type", { schemaVersion: 2, mediaType: "text/plain" }, "text/plain", ""],
    ] as const) {
      server.manifest(document, mediaType, tag);
      await refused(`bad:${tag}`, message);
    }
    const config = server.blob(Buffer.from("{}"), "application/vnd.oci.empty.v1+json");
    server.manifest({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [] }, OCI_MANIFEST, "artifact");
    await refused("bad:artifact", "not a container image", "application/vnd.oci.empty.v1+json");
    const huge = { schemaVersion: 2, mediaType: OCI_MANIFEST, annotations: { x: "y".repeat(5 << 20) } };
    server.manifest(huge, OCI_MANIFEST, "huge");
    await refused("bad:huge", "4194304");
  });

  test("pull: a layer that leads out of itself", async () => {
    const layer = fileLayer(server, "../../../../tmp/ctr-escaped", "x");
    server.image("escape", [layer]);
    await refused("bad:escape", "refused, the path leads out of the archive");
    expect(existsSync("/tmp/ctr-escaped")).toBe(false);
  });

  test("pull: a layer that is no tar, or no gzip", async () => {
    const text = Buffer.from("this is not an archive ".repeat(100));
    server.image("no-tar", [{ ...server.blob(text, OCI_LAYER), diffId: sha256(text) }]);
    await refused("bad:no-tar", "not a tar archive");
    const broken = Bun.gzipSync(tarOf({ a: noise(50_000, 6) }));
    broken.fill(0xff, 20_000, 21_000);
    server.image("no-gzip", [{ ...server.blob(broken, `${OCI_LAYER}+gzip`), diffId: sha256("x") }]);
    await refused("bad:no-gzip", "not valid gzip data");
  });

  test.if(needs("ctr"))("pull: what a server says cannot steer the terminal", async () => {
    const mediaType = "\x1b[2Jevil\u202e";
    server.manifest(
      { schemaVersion: 2, mediaType: OCI_MANIFEST, config: { ...good(), mediaType }, layers: [] },
      OCI_MANIFEST,
      "esc",
    );
    const message = await engine.fails(1, "pull", `${server.host}/bad:esc`);
    expect(message).not.toMatch(/[\x1b\u202e]/);
  });
});

describe("broken connections", () => {
  /** Cuts the connection after each `step` bytes, so it takes several requests. */
  const cutting =
    (step: number): NonNullable<Parameters<typeof fileLayer>[3]>["respond"] =>
    async (request, connection, bytes) => {
      const start = rangeStart(request);
      await connection.write(rangeHead(request, bytes.length));
      await connection.write(bytes.subarray(start, start + step));
      if (start + step >= bytes.length) return;
      // What has not been read by then may be lost with the connection.
      const path = `${engine.root}/downloads/${sha256(bytes).slice(7)}`;
      await waitFor("the bytes to be there", () => existsSync(path) && statSync(path).size >= start + step);
      connection.cut();
    };

  test("pull: a download is continued where it was cut, by range", async () => {
    const layer = fileLayer(server, "cut", noise(500_000, 20), { respond: cutting(150_000) });
    server.image("cut", [layer]);
    const output = await engine.ok("pull", `${server.host}/resume:cut`);
    expect(output).toContain("Retrying in 1 second");
    const ranges = server.requests
      .filter(({ path }) => path.includes(layer.digest))
      .map(({ headers }) => headers["range"]);
    expect(ranges.length).toBeGreaterThan(2);
    expect(ranges[0]).toBeUndefined();
    for (const range of ranges.slice(1)) expect(range).toMatch(/^bytes=[1-9]\d*-/);
    await engine.ok("rmi", `${server.host}/resume:cut`);
  });

  test("pull: a server that knows no ranges is asked again from the start", async () => {
    const layer = fileLayer(server, "whole", noise(500_000, 21), {
      respond: async (request, connection, bytes) => {
        await connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`);
        await connection.write(request.count === 1 ? bytes.subarray(0, 200_000) : bytes);
        if (request.count === 1) connection.cut();
      },
    });
    server.image("whole", [layer]);
    await engine.ok("pull", "-q", `${server.host}/resume:whole`);
    expect(server.asked(layer.digest)).toBe(2);
  });

  test("pull: 429 and 503 are tried again; 404 and 403 are not", async () => {
    const answers: { readonly [tag: string]: readonly [string, number] } = {
      busy: ["503 Service Unavailable", 2],
      many: ["429 Too Many Requests", 2],
      gone: ["404 Not Found", 1],
      denied: ["403 Forbidden", 1],
    };
    for (const [tag, [status, requests]] of Object.entries(answers)) {
      const layer = fileLayer(server, tag, noise(10_000, 22), {
        respond: async (request, connection, bytes) => {
          if (request.count === 1) await connection.answer(status, { "Retry-After": "0" });
          else await answerRange(request, connection, bytes);
        },
      });
      server.image(`status-${tag}`, [layer]);
      const result = await engine.ctr("pull", `${server.host}/status:status-${tag}`);
      expect([tag, result.status]).toEqual([tag, requests === 2 ? 0 : 1]);
      expect([tag, server.asked(layer.digest)]).toEqual([tag, requests]);
    }
  });

  test("pull: one layer's failure ends the others at once", async () => {
    const endless = fileLayer(server, "endless", noise(100_000, 23), {
      respond: async (request, connection, bytes) => {
        await connection.write(rangeHead(request, bytes.length));
        await connection.write(bytes.subarray(0, 5000));
        await connection.closed; // never the rest
      },
    });
    const missing = fileLayer(server, "missing", "x", {
      respond: (_, connection) => connection.answer("404 Not Found", {}),
    });
    server.image("mixed", [endless, missing]);
    const startedMs = performance.now();
    await refused("failing:mixed", `layer ${missing.digest.slice(7, 19)}: `);
    expect(performance.now() - startedMs).toBeLessThan(8_000);
    // What has come of the other one is kept for the next attempt.
    expect(statSync(`${engine.root}/downloads/${endless.digest.slice(7)}`).size).toBe(5000);
  });
});

describe("killed and shared", () => {
  /** Kills a pull as soon as `when` says so; waits for its end. */
  async function killed(name: string, when: () => boolean): Promise<void> {
    const child = engine.spawn("pull", name);
    await waitFor("the moment to kill", () => child.exitCode !== null || when());
    child.kill("SIGKILL");
    await child.exited;
  }

  test("pull: killed at many points, the store stays whole and the next one goes on", async () => {
    const layers = [1, 2, 3, 4].map((seed) =>
      fileLayer(server, `layer-${seed}`, noise(400_000, 30 + seed), {
        respond: async (request, connection, bytes) => {
          await connection.write(rangeHead(request, bytes.length));
          for (let at = rangeStart(request); at < bytes.length; at += 20_000) {
            await connection.write(bytes.subarray(at, at + 20_000));
            await Bun.sleep(2); // so that there are many points to be killed at
          }
        },
      }),
    );
    server.image("killed", layers);
    const name = `${server.host}/killed:killed`;
    const total = layers.reduce((sum, { size }) => sum + size, 0);
    const here = () => {
      let sum = 0;
      for (const { digest } of layers) {
        const path = `${engine.root}/downloads/${digest.slice(7)}`;
        if (existsSync(path)) sum += statSync(path).size;
      }
      return sum;
    };
    const before = stored().filter((entry) => !entry.startsWith("ingest/"));
    for (let point = 1; point <= 10; point++) {
      const reached = here();
      const wanted = (total * point) / 11;
      await killed(name, () => here() >= wanted);
      expect(here()).toBeGreaterThanOrEqual(reached); // nothing is lost
      expect(await engine.ok("images", "-q", name)).toBe("");
      expect(stored().filter((entry) => !entry.startsWith("ingest/"))).toEqual(before);
    }
    const left = here();
    expect(left).toBeGreaterThan(total / 2);
    const firstRequests = server.requests.length;
    await engine.ok("pull", name);
    const starts = server.requests
      .slice(firstRequests)
      .filter(({ path }) => path.includes("/blobs/") && layers.some(({ digest }) => path.includes(digest)))
      .map(rangeStart);
    // What was here was not fetched again.
    expect(starts.length).toBeGreaterThan(0);
    for (const start of starts) expect(start).toBeGreaterThan(0);
    expect(downloads().filter((file) => layers.some(({ digest }) => digest.endsWith(file)))).toEqual([]);
    expect(readdirSync(`${engine.root}/ingest`)).toEqual([]);
    const archive = `${engine.scratch}/killed.tar`;
    await engine.ok("save", "-o", archive, name);
    await engine.ok("load", "-i", archive); // verifies every digest and diff ID
    await engine.ok("rmi", name);
  });

  test("pull: killed while it publishes, either all of the image is there or nothing", async () => {
    const layers = [1, 2].map((seed) => fileLayer(server, `publish-${seed}`, noise(30_000, 40 + seed)));
    server.image("publish", layers);
    const name = `${server.host}/killed:publish`;
    let [whole, none] = [0, 0];
    for (let round = 0; round < 12; round++) {
      const child = engine.spawn("pull", name);
      await waitFor(
        "the last layer",
        () => child.exitCode !== null || downloads().length === layers.length || whole > 0,
      );
      await Bun.sleep(round); // another instruction each time
      child.kill("SIGKILL");
      await child.exited;
      const isThere = (await engine.ok("images", "-q", name)) !== "";
      if (isThere) {
        whole++;
        await engine.ok("save", "-o", `${engine.scratch}/whole.tar`, name);
        await engine.ok("rmi", name);
      } else none++;
    }
    expect(whole + none).toBe(12);
    await engine.ok("pull", "-q", name);
    await engine.ok("rmi", name);
  });

  test("pull: what a power failure damaged is fetched again", async () => {
    const layer = fileLayer(server, "power", noise(200_000, 50));
    server.image("power", [layer]);
    mkdirSync(`${engine.root}/downloads`, { recursive: true });
    for (const damage of [new Uint8Array(100_000), new Uint8Array(layer.size), new Uint8Array(layer.size + 500)]) {
      writeFileSync(`${engine.root}/downloads/${layer.digest.slice(7)}`, damage);
      await engine.ok("pull", "-q", `${server.host}/power:power`);
      await engine.ok("rmi", `${server.host}/power:power`);
    }
    expect(downloads()).not.toContain(layer.digest.slice(7));
  });

  test("pull: several processes at once download a layer once, and all of them show it", async () => {
    const gate = Promise.withResolvers<void>();
    const layer = fileLayer(server, "together", noise(600_000, 51), {
      respond: async (request, connection, bytes) => {
        await connection.write(rangeHead(request, bytes.length));
        await connection.write(bytes.subarray(0, 300_000));
        await gate.promise;
        await connection.write(bytes.subarray(300_000));
      },
    });
    server.image("together", [layer]);
    const pulls = Array.from({ length: 4 }, () => {
      const child = engine.spawn("pull", "--progress", "json", `${server.host}/shared:together`);
      const pull = { child, output: "" };
      void (async () => {
        for await (const bytes of child.stdout) pull.output += new TextDecoder().decode(bytes);
      })();
      return pull;
    });
    await waitFor("all to show the first half", () => pulls.every(({ output }) => output.includes('"Downloading"')));
    gate.resolve();
    for (const { child } of pulls) expect([await child.exited, await child.stderr.text()]).toEqual([0, ""]);
    await waitFor("all to have shown the rest", () =>
      pulls.every(
        ({ output }) => output.includes(`"current":${layer.size},`) && output.includes("Downloaded newer image"),
      ),
    );
    expect(server.asked(layer.digest)).toBe(1);
    expect(downloads()).not.toContain(layer.digest.slice(7));
  });

  test("pull: when the process that downloads is killed, another one goes on with it", async () => {
    const layer = fileLayer(server, "heir", noise(600_000, 52), {
      respond: async (request, connection, bytes) => {
        const start = rangeStart(request);
        await connection.write(rangeHead(request, bytes.length));
        if (start > 0) return await connection.write(bytes.subarray(start));
        await connection.write(bytes.subarray(0, 250_000));
        await connection.closed; // whoever asked is killed
      },
    });
    server.image("heir", [layer]);
    const name = `${server.host}/shared:heir`;
    const first = engine.spawn("pull", name);
    const path = `${engine.root}/downloads/${layer.digest.slice(7)}`;
    await waitFor("the first half", () => existsSync(path) && statSync(path).size === 250_000);
    const second = engine.ctr("pull", name);
    await waitFor("the second to have asked", () => server.asked("/manifests/heir") >= 2);
    first.kill("SIGKILL");
    await first.exited;
    expect((await second).status).toBe(0);
    const starts = server.requests.filter(({ path }) => path.includes(layer.digest)).map(rangeStart);
    expect(starts).toEqual([0, 250_000]);
  });

  test("pull: an old download that nobody wants goes with the next collection", async () => {
    const path = `${engine.root}/downloads/${"a".repeat(64)}`;
    writeFileSync(path, "left");
    server.image("collect-1", [fileLayer(server, "c1", "1")]);
    await engine.ok("pull", "-q", `${server.host}/collect:collect-1`);
    expect(existsSync(path)).toBe(true);
    tool("touch", "-d", "2 days ago", path);
    server.image("collect-2", [fileLayer(server, "c2", "2")]);
    await engine.ok("pull", "-q", `${server.host}/collect:collect-2`);
    expect(existsSync(path)).toBe(false);
  });
});

describe("progress", () => {
  const slow = (name: string, size: number, seed: number) =>
    fileLayer(server, name, noise(size, seed), {
      respond: async (request, connection, bytes) => {
        await connection.write(rangeHead(request, bytes.length));
        for (let at = 0; at < bytes.length; at += 100_000) {
          await connection.write(bytes.subarray(at, at + 100_000));
          await Bun.sleep(100);
        }
      },
    });

  test("pull --progress json: the lines of Docker's API", async () => {
    const layer = slow("json", 500_000, 60);
    server.image("json", [layer]);
    const id = layer.digest.slice(7, 19);
    const events = lines(await engine.ok("pull", "--progress", "json", `${server.host}/progress:json`)).map((line) =>
      JSON.parse(line),
    );
    expect(events[0]).toEqual({ status: "Pulling from progress", id: "json" });
    expect(events[1]).toEqual({ status: "Pulling fs layer", progressDetail: {}, id });
    const steps = events.filter((event) => event.status === "Downloading");
    expect(steps.length).toBeGreaterThan(2);
    for (const step of steps) expect(step.progressDetail.total).toBe(layer.size);
    expect(steps.at(-1).progressDetail.current).toBe(layer.size);
    expect(steps.at(-1).progress).toMatch(/^\[=+\] +5..(\.\d)?kB\/5..(\.\d)?kB$/);
    expect(events.at(-1).status).toStartWith("Status: Downloaded newer image for ");
    expect(await engine.fails(125, "pull", "--progress", "loud", "x")).toContain("must be one of");
  });

  test("pull: on a terminal a bar for each layer, redrawn in place, with rate and remaining time", async () => {
    server.image("bars", [slow("bar-1", 900_000, 61), slow("bar-2", 900_000, 62)]);
    await using session = engine.session("pull", `${server.host}/progress:bars`);
    await session.expect(/[0-9a-f]{12}: Downloading \[=+> +\] +[\d.]+kB\/90\d(\.\d)?kB {2}[\d.]+[kM]B\/s {2}\d+s/);
    await session.expect(/\x1b\[2A\x1b\[J/);
    session.resize(40, 24);
    await session.expect(/[0-9a-f]{12}: Downloading [^[\n]*kB\/90\d(\.\d)?kB\r\n/);
    await session.expect(/Pull complete\r\n[0-9a-f]{12}: Pull complete\r\n/);
    expect(await session.exited).toBe(0);
    expect(session.output()).toContain(`Status: Downloaded newer image for ${server.host}/progress:bars`);
    await engine.ok("rmi", `${server.host}/progress:bars`);
  });

  test("pull: more layers than a terminal has rows", async () => {
    const layers = Array.from({ length: 40 }, (_, at) => fileLayer(server, `row-${at}`, noise(200_000, 70 + at)));
    server.image("rows", layers);
    await using session = engine.session("pull", `${server.host}/progress:rows`);
    expect(await session.exited).toBe(0);
    const output = session.output();
    // Never further up than the window reaches, or lines would be left behind.
    const ups = [...output.matchAll(/\x1b\[(\d+)A/g)].map(([, rows]) => Number(rows));
    expect(Math.max(...ups)).toBeLessThan(24);
    // At the end each layer has its line.
    const tail = output.slice(output.lastIndexOf("\x1b[J"));
    expect(tail.split("Pull complete").length - 1).toBe(40);
  });
});

describe("a full disk", () => {
  test("pull: it is said in one line, nothing stays, and there is room again", async () => {
    const small = `${engine.scratch}/small`;
    mkdirSync(small);
    tool("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", small);
    try {
      const layer = fileLayer(server, "large", noise(6 << 20, 80));
      server.image("large", [layer, fileLayer(server, "tiny", "x")]);
      const env = { CTR_ROOT: `${small}/root` };
      const result = await engine.ctrWith({ env }, "pull", `${server.host}/full:large`);
      expect(result.status).toBe(1);
      expect(result.stderr).toContain("no space left on device");
      expect(lines(result.stderr).length).toBe(1);
      expect(readdirSync(`${small}/root/downloads`)).toEqual([]);
      expect(readdirSync(`${small}/root/ingest`)).toEqual([]);
      tool("mount", "-o", "remount,size=40m", small);
      expect((await engine.ctrWith({ env }, "pull", "-q", `${server.host}/full:large`)).status).toBe(0);
    } finally {
      tool("umount", "-l", small);
    }
  });
});

test("pull: a truncated download file is continued from what it has", async () => {
  const layer = fileLayer(server, "half", noise(300_000, 90));
  server.image("half", [layer]);
  const path = `${engine.root}/downloads/${layer.digest.slice(7)}`;
  const bytes = await (await fetch(`${server.url}/v2/half/blobs/${layer.digest}`)).bytes();
  writeFileSync(path, bytes);
  truncateSync(path, 123_456);
  await engine.ok("pull", "-q", `${server.host}/half:half`);
  expect(rangeStart(server.requests.findLast(({ path }) => path.includes(layer.digest)) ?? never())).toBe(123_456);
});

function never(): never {
  throw new Error("no such request");
}
