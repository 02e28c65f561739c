/** `push`: to docker-registry, seen by skopeo, and to servers that want something else. */
import { describe, expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { layeredArchive } from "../lib/layered-image.ts";
import { isDocker, needs } from "../lib/needs.ts";
import { startRegistry, storedBlobs } from "../lib/registry.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const registry = await startRegistry();
const { host } = registry;
const minimal = await engine.image("minimal");

/** Runs a tool that must succeed; its standard output. */
function tool(...command: readonly string[]): string {
  const ran = Bun.spawnSync([...command]);
  if (ran.exitCode !== 0) throw new Error(`${command.join(" ")}: ${ran.stderr.toString()}`);
  return ran.stdout.toString();
}

const lines = (text: string) => text.trim().split("\n");
const json = async (...operands: readonly string[]) => JSON.parse(await engine.ok(...operands));
const remote = (name: string) => JSON.parse(tool("skopeo", "inspect", "--tls-verify=false", `docker://${name}`));
const raw = (name: string) => tool("skopeo", "inspect", "--tls-verify=false", "--raw", `docker://${name}`);
const digestOf = (text: string) => `sha256:${new Bun.CryptoHasher("sha256").update(text).digest("hex")}`;
const pushed = (output: string) => /digest: (sha256:[0-9a-f]{64}) size: (\d+)$/m.exec(output)?.slice(1) ?? [];

/** An image of our own with several plain layers. */
async function layered(name: string, layers = 3): Promise<string> {
  const contents = Array.from({ length: layers }, (_, at) => ({ files: { [`file-${at}`]: `${name} ${at}` } }));
  const base = `${engine.scratch}/base.tar`;
  tool("tar", "-C", "/etc", "-cf", base, "hostname");
  await engine.ok("load", "-i", layeredArchive(engine.scratch, name, base, contents));
  return name;
}

describe("docker-registry", () => {
  const name = `${host}/team/app`;

  test.if(needs("skopeo"))("push: Docker's words, and skopeo finds what was said", async () => {
    await engine.ok("tag", await layered("words", 2), `${name}:v1`);
    const output = await engine.ok("push", `${name}:v1`);
    const [image] = await json("inspect", `${name}:v1`);
    const ids: readonly string[] = image.RootFS.Layers.map((diffId: string) => diffId.slice(7, 19)).toReversed();
    const [digest = "", size] = pushed(output);
    const shown = lines(output);
    expect(shown.slice(0, 4)).toEqual([
      `The push refers to repository [${name}]`,
      ...ids.map((id) => `${id}: Preparing`),
    ]);
    for (const id of ids) expect(shown).toContain(`${id}: Pushed`);
    expect(shown.at(-1)).toBe(`v1: digest: ${digest} size: ${size}`);
    const manifest = raw(`${name}:v1`);
    expect([digestOf(manifest), String(manifest.length)]).toEqual([digest, size ?? ""]);
    expect(remote(`${name}:v1`).Digest).toBe(digest);
    expect(remote(`${name}:v1`).Layers.length).toBe(3);
    expect(image.RepoDigests).toEqual([`${name}@${digest}`]);
    expect(await engine.ok("push", "-q", `${name}:v1`)).toBe(`${name}:v1`);
    expect(await engine.ok("push", "--disable-content-trust=false", "-q", `${name}:v1`)).toBe(`${name}:v1`);
  });

  test("push: again, what is there is not sent, and the digest is the same", async () => {
    const [before] = pushed(await engine.ok("push", `${name}:v1`));
    const output = await engine.ok("push", `${name}:v1`);
    expect(pushed(output)[0]).toBe(before ?? "");
    expect(lines(output).filter((line) => line.endsWith(": Layer already exists")).length).toBe(3);
    expect(output).not.toContain("Compressing");
  });

  test("push: a plain layer has the same digest wherever and whenever it is compressed", async () => {
    const [first] = pushed(await engine.ok("push", `${name}:v1`));
    const other = await startRegistry();
    await engine.ok("tag", `${name}:v1`, `${other.host}/elsewhere:v1`);
    const output = await engine.ok("push", `${other.host}/elsewhere:v1`);
    expect(output).toContain(": Compressing");
    expect(pushed(output)[0]).toBe(first ?? "");
    // Another store, which has never pushed it.
    const env = { CTR_ROOT: `${engine.scratch}/second` };
    await engine.ok("save", "-o", `${engine.scratch}/words.tar`, "words");
    const loaded = await engine.ctrWith({ env }, "load", "-i", `${engine.scratch}/words.tar`);
    expect(loaded.status).toBe(0);
    await engine.ctrWith({ env }, "tag", "words", `${other.host}/second:v1`);
    expect(pushed((await engine.ctrWith({ env }, "push", `${other.host}/second:v1`)).stdout)[0]).toBe(first ?? "");
    await other.stop();
  });

  test("push: a neighbour's layers are mounted, not sent", async () => {
    const before = storedBlobs(registry);
    await engine.ok("tag", `${name}:v1`, `${host}/other/app:v1`);
    const output = await engine.ok("push", `${host}/other/app:v1`);
    expect(lines(output).filter((line) => line.endsWith(": Mounted from team/app")).length).toBe(3);
    expect(output).not.toContain(": Pushed");
    expect(storedBlobs(registry)).toBe(before);
    // Known from a pull too.
    const env = { CTR_ROOT: `${engine.scratch}/third` };
    await engine.ctrWith({ env }, "pull", "-q", `${host}/other/app:v1`);
    await engine.ctrWith({ env }, "tag", `${host}/other/app:v1`, `${host}/third/app:v1`);
    const third = await engine.ctrWith({ env }, "push", `${host}/third/app:v1`);
    expect(lines(third.stdout).filter((line) => line.endsWith(": Mounted from other/app")).length).toBe(3);
  });

  test("push --all-tags: every tag of the repository that is here", async () => {
    for (const tag of ["v2", "latest"]) await engine.ok("tag", `${name}:v1`, `${name}:${tag}`);
    const output = await engine.ok("push", "-a", name);
    expect(lines(output).flatMap((line) => /^(\w+): digest: /.exec(line)?.[1] ?? [])).toEqual(["latest", "v1", "v2"]);
    expect(remote(name).RepoTags.toSorted()).toEqual(["latest", "v1", "v2"]);
    expect(lines(await engine.ok("push", name))[0]).toBe("Using default tag: latest");
  });

  test("push: what cannot be pushed, in Docker's words", async () => {
    for (const [operand, message, ...flags] of [
      [`${name}:nope`, `tag does not exist: ${name}:nope`],
      [`${host}/none/app`, `An image does not exist locally with the tag: ${host}/none/app`],
      [`${host}/none/app`, `An image does not exist locally with the tag: ${host}/none/app`, "-a"],
      [`${name}:v1`, "tag can't be used with --all-tags/-a", "-a"],
      [`${name}@sha256:${"0".repeat(64)}`, "cannot push a digest reference"],
    ] as const) {
      expect(lines(await engine.fails(1, "push", ...flags, operand)).at(-1)).toBe(
        isDocker() ? message : `ctr: ${message}`,
      );
    }
    expect(await engine.fails(1, "push", "--platform", "linux/s390x", `${name}:v1`)).toContain(
      "does not match the specified platform: wanted linux/s390x, actual: linux/",
    );
    expect(await engine.fails(1, "push", `127.0.0.1:1/${minimal}`)).toContain("An image does not exist locally");
    const hub = await engine.ctr("push", "nosuch");
    expect(hub.stdout).toBe("Using default tag: latest\nThe push refers to repository [docker.io/library/nosuch]\n");
    await engine.ok("tag", minimal, "127.0.0.1:1/min");
    expect(await engine.fails(1, "push", "127.0.0.1:1/min")).toContain("connection refused");
    await engine.ok("rmi", "127.0.0.1:1/min");
  });

  test.if(needs("skopeo"))("push: in pieces", async () => {
    await engine.ok("tag", minimal, `${host}/chunked:v1`);
    const [digest] = pushed(await engine.ok("push", "--chunk-size", "100k", `${host}/chunked:v1`));
    expect(remote(`${host}/chunked:v1`).Digest).toBe(digest);
    await engine.ok("rmi", `${host}/chunked:v1`);
    await engine.ok("pull", "-q", `${host}/chunked:v1`);
    expect(await engine.fails(125, "push", "--chunk-size", "lots", `${host}/chunked:v1`)).toContain(
      "invalid size: 'lots'",
    );
  });
});

describe("digests stay", () => {
  test.if(needs("skopeo"))("push: what came from a registry goes as it came, Docker's manifest or OCI's", async () => {
    const archive = `${engine.scratch}/keep.tar`;
    await engine.ok("save", "-o", archive, await layered("keep"));
    await engine.ok("rmi", "keep"); // an image that is here keeps the manifest it has
    for (const format of ["v2s2", "oci"]) {
      const source = `${host}/keep-${format}:1`;
      tool(
        "skopeo",
        "copy",
        "--dest-tls-verify=false",
        "--format",
        format,
        `docker-archive:${archive}`,
        `docker://${source}`,
      );
      await engine.ok("pull", "-q", source);
      await engine.ok("tag", source, `${host}/again-${format}:1`);
      await engine.ok("push", "-q", `${host}/again-${format}:1`);
      expect(raw(`${host}/again-${format}:1`)).toBe(raw(source));
      await engine.ok("rmi", source, `${host}/again-${format}:1`);
    }
  });

  test.if(needs("skopeo"))("push: plain and zstd layers of a registry stay plain and zstd", async () => {
    const layout = `${engine.scratch}/zstd-layout`;
    await engine.ok("tag", await layered("forms"), `${host}/forms:plain`);
    await engine.ok("save", "-o", `${engine.scratch}/forms.tar`, "forms");
    tool(
      "skopeo",
      "copy",
      "--dest-compress-format",
      "zstd",
      "--dest-compress",
      `docker-archive:${engine.scratch}/forms.tar`,
      `oci:${layout}:z`,
    );
    tool("skopeo", "copy", "--dest-tls-verify=false", `oci:${layout}:z`, `docker://${host}/forms:zstd`);
    await engine.ok("rmi", "forms", `${host}/forms:plain`);
    await engine.ok("pull", "-q", `${host}/forms:zstd`);
    expect(raw(`${host}/forms:zstd`)).toContain("+zstd");
    await engine.ok("tag", `${host}/forms:zstd`, `${host}/forms-again:zstd`);
    await engine.ok("push", "-q", `${host}/forms-again:zstd`);
    expect(raw(`${host}/forms-again:zstd`)).toBe(raw(`${host}/forms:zstd`));
  });

  test.if(needs("skopeo", "ctr"))("commit, save, load, push, pull: the digests are the same at the end", async () => {
    await engine.ok(
      "run",
      "--name",
      "change",
      "--network",
      "none",
      minimal,
      "sh",
      "-c",
      "echo one > /one; rm -f /etc/motd",
    );
    const name = `${host}/round/trip:1`;
    const id = await engine.ok("commit", "-m", "round", "change", name);
    await engine.ok("rm", "change");
    const [committed] = await json("inspect", name);
    const archive = `${engine.scratch}/trip.tar`;
    await engine.ok("save", "-o", archive, name);
    await engine.ok("rmi", name);
    await engine.ok("load", "-i", archive);
    const [digest] = pushed(await engine.ok("push", name));
    const seen = remote(name);
    const config = JSON.parse(tool("skopeo", "inspect", "--tls-verify=false", "--config", `docker://${name}`));
    expect(seen.Digest).toBe(digest);
    expect(config.rootfs.diff_ids).toEqual(committed.RootFS.Layers);
    expect(digestOf(tool("skopeo", "inspect", "--tls-verify=false", "--config", "--raw", `docker://${name}`))).toBe(id);
    await engine.ok("rmi", name);
    await engine.ok("pull", "-q", name);
    const [pulled] = await json("inspect", name);
    expect([pulled.Id, pulled.RootFS, pulled.RepoDigests]).toEqual([
      id,
      committed.RootFS,
      [`${host}/round/trip@${digest}`],
    ]);
    // And once more, from what was pulled: byte for byte.
    expect(pushed(await engine.ok("push", name))[0]).toBe(digest ?? "");
    await engine.ok("save", "-o", `${archive}.2`, name);
    await engine.ok("rmi", name);
    await engine.ok("load", "-i", `${archive}.2`);
    expect(pushed(await engine.ok("push", name))[0]).toBe(digest ?? "");
    expect(await engine.ok("run", "--rm", "--network", "none", name, "cat", "/one")).toBe("one");
  });

  test.if(needs("skopeo", "ctr"))("commit on what was pulled: an OCI manifest of OCI types", async () => {
    const archive = `${engine.scratch}/base.tar.out`;
    await engine.ok("save", "-o", archive, minimal);
    const source = `${host}/docker-format:1`;
    tool(
      "skopeo",
      "copy",
      "--dest-tls-verify=false",
      "--format",
      "v2s2",
      `docker-archive:${archive}`,
      `docker://${source}`,
    );
    const env = { CTR_ROOT: `${engine.scratch}/fourth`, CTR_STATE: engine.state };
    const fourth = async (...operands: readonly string[]) => {
      const result = await engine.ctrWith({ env }, ...operands);
      if (result.status !== 0) throw new Error(`ctr ${operands.join(" ")}: ${result.stderr}`);
      return result.stdout.trim();
    };
    await fourth("pull", "-q", source);
    await fourth("create", "--name", "base", source, "true");
    await fourth("commit", "base", `${host}/docker-format:2`);
    await fourth("rm", "base");
    const output = await fourth("push", `${host}/docker-format:2`);
    // The layers below came from here and are as they were.
    expect(output).toContain(": Layer already exists");
    const [below] = JSON.parse(raw(source)).layers;
    const manifest = JSON.parse(raw(`${host}/docker-format:2`));
    expect(manifest.mediaType).toBe("application/vnd.oci.image.manifest.v1+json");
    expect(manifest.layers[0].digest).toBe(below.digest);
    for (const layer of manifest.layers) expect(layer.mediaType).toBe("application/vnd.oci.image.layer.v1.tar+gzip");
  });
});

describe("progress", () => {
  test("push --progress json: the lines of Docker's API", async () => {
    await engine.ok("tag", minimal, `${host}/json:1`);
    const fresh = await startRegistry();
    await engine.ok("tag", minimal, `${fresh.host}/json:1`);
    const events = lines(await engine.ok("push", "--progress", "json", `${fresh.host}/json:1`)).map((line) =>
      JSON.parse(line),
    );
    expect(events[0]).toEqual({ status: `The push refers to repository [${fresh.host}/json]` });
    const [image] = await json("inspect", minimal);
    const id = image.RootFS.Layers[0].slice(7, 19);
    expect(events[1]).toEqual({ status: "Preparing", progressDetail: {}, id });
    const sent = events.filter((event) => event.status === "Pushing");
    expect(sent.at(-1).progressDetail.current).toBe(sent.at(-1).progressDetail.total);
    expect(events.at(-1).status).toMatch(/^1: digest: sha256:[0-9a-f]{64} size: \d+$/);
    await fresh.stop();
  });

  test("push: on a terminal, a bar in place", async () => {
    const fresh = await startRegistry();
    await engine.ok("tag", minimal, `${fresh.host}/bar:1`);
    await using session = engine.session("push", `${fresh.host}/bar:1`);
    expect(await session.exited).toBe(0);
    expect(session.output()).toMatch(/\r(\x1b\[1A)?\x1b\[J[0-9a-f]{12}: Pushed\r\n1: digest: sha256:/);
    await fresh.stop();
  });
});

test("push: an image without layers", async () => {
  const empty = `${engine.scratch}/empty`;
  mkdirSync(empty);
  const config = JSON.stringify({
    architecture: "amd64",
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: [] },
  });
  writeFileSync(`${empty}/config.json`, config);
  writeFileSync(
    `${empty}/manifest.json`,
    JSON.stringify([{ Config: "config.json", RepoTags: ["scratch:1"], Layers: [] }]),
  );
  tool("tar", "-C", empty, "-cf", `${empty}.tar`, "manifest.json", "config.json");
  await engine.ok("load", "-i", `${empty}.tar`);
  await engine.ok("tag", "scratch:1", `${host}/scratch:1`);
  const [digest] = pushed(await engine.ok("push", `${host}/scratch:1`));
  expect(digestOf(raw(`${host}/scratch:1`))).toBe(digest ?? "");
  await engine.ok("rmi", "scratch:1", `${host}/scratch:1`);
  await engine.ok("pull", "-q", `${host}/scratch:1`);
  expect(readFileSync(`${engine.root}/content/blobs/sha256/${digestOf(config).slice(7)}`, "utf8")).toBe(config);
});
