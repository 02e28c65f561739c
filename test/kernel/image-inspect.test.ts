/** `image inspect` and `history` of the same archives in ctr and in a real dockerd: the same keys, the same values. */
import { expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import type { Shown } from "../lib/image-answers.ts";
import { needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const HERE = import.meta.dir;

/** What only old engines show: gone from Docker's since API 1.44 and 1.45. */
const OLD = ["Container", "ContainerConfig", "VirtualSize"];

let count = 0;
const fresh = (name: string) => `${engine.scratch}/${name}-${count++}`;

function tool(...command: readonly string[]): void {
  const ran = Bun.spawnSync([...command]);
  if (ran.exitCode !== 0) throw new Error(`${command.join(" ")}: ${ran.stderr.toString()}`);
}

/** A docker-archive of one image with exactly this configuration and `layers` layers. */
function archiveOf(name: string, config: object, layers: number): string {
  const directory = fresh("image");
  mkdirSync(directory);
  const files = Array.from({ length: layers }, (_, index) => {
    const tree = fresh("layer");
    mkdirSync(tree);
    writeFileSync(`${tree}/file-${index}`, "x".repeat(1000 * (index + 1) + index));
    tool("tar", "-C", tree, "--sort=name", "--mtime=@0", "-cf", `${directory}/${index}.tar`, `file-${index}`);
    return `${index}.tar`;
  });
  const digest = (file: string) =>
    `sha256:${new Bun.CryptoHasher("sha256").update(readFileSync(`${directory}/${file}`)).digest("hex")}`;
  const rootfs = { type: "layers", diff_ids: files.map(digest) };
  writeFileSync(`${directory}/config.json`, JSON.stringify({ architecture: "amd64", os: "linux", ...config, rootfs }));
  writeFileSync(
    `${directory}/manifest.json`,
    JSON.stringify([{ Config: "config.json", RepoTags: [name], Layers: files }]),
  );
  const archive = fresh("archive.tar");
  tool("tar", "-C", directory, "-cf", archive, ".");
  return archive;
}

const EVERYTHING = {
  User: "alice:29",
  ExposedPorts: { "80/tcp": {}, "53/udp": {} },
  Env: ["PATH=/bin", "A=<b>&c"],
  Entrypoint: ["/bin/sh", "-c"],
  Cmd: ["echo hi"],
  Volumes: { "/data": {}, "/cache": {} },
  WorkingDir: "/srv",
  Labels: { z: "last", "com.example": "x=y", a: "first" },
  StopSignal: "SIGINT",
  Healthcheck: { Test: ["CMD", "true"], Interval: 5_000_000_000, Timeout: 1_000_000_000, Retries: 2 },
  OnBuild: ["RUN true"],
  Shell: ["/bin/bash", "-c"],
};

const ARCHIVES = (): readonly string[] => [
  archiveOf(
    "in/everything:1",
    {
      created: "2020-01-02T03:04:05.678901234Z",
      author: "somebody",
      comment: "a comment",
      variant: "v2",
      docker_version: "19.03.1",
      config: EVERYTHING,
      history: [
        { created: "2020-01-02T03:04:05Z", created_by: "ADD x" },
        { created: "2020-01-02T03:04:05Z", created_by: "CMD", empty_layer: true, comment: "c", author: "somebody" },
        {
          created: "2020-01-02T03:04:06.5Z",
          created_by: '/bin/sh -c #(nop) "quoted" <and> & more than forty-five characters',
        },
      ],
    },
    2,
  ),
  archiveOf("in/nothing:1", { history: [] }, 1),
  archiveOf(
    "in/classic:1",
    {
      created: "2019-05-06T07:08:09Z",
      config: {
        Hostname: "0123456789ab",
        Domainname: "d",
        AttachStdin: false,
        AttachStdout: true,
        AttachStderr: true,
        Tty: true,
        OpenStdin: true,
        StdinOnce: false,
        Env: null,
        Cmd: ["/bin/sh"],
        Image: "sha256:abc",
        Volumes: null,
        WorkingDir: "",
        Entrypoint: null,
        OnBuild: [],
        Labels: {},
        ArgsEscaped: true,
      },
      container: "0".repeat(64),
      history: [{ created: "2019-05-06T07:08:09Z", created_by: "x" }],
    },
    1,
  ),
  archiveOf(
    "in/empty-members:1",
    {
      created: "2021-05-06T07:08:09+02:00",
      config: { Env: [], Cmd: [], Entrypoint: [""], Labels: null, ExposedPorts: {}, Volumes: {}, Healthcheck: {} },
      history: [{ created_by: "only" }],
    },
    1,
  ),
];

async function ask(
  command: readonly string[],
  archives: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Shown> {
  const child = Bun.spawn([...command, process.execPath, `${HERE}/../lib/image-answers.ts`, ...archives], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (status !== 0) throw new Error(`${command.join(" ")}: status ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

/** Every key with its value, as lines in the order of the object; what is each engine's own is named only. */
function lines(value: unknown, path = ""): readonly string[] {
  const isOwn = /^\.(GraphDriver\.Data\.\w+|Metadata\.LastTagTime)$/.test(path);
  if (isOwn) return [path];
  if (typeof value !== "object" || value === null || Array.isArray(value) || Object.keys(value).length === 0)
    return [`${path} = ${JSON.stringify(value)}`];
  return Object.entries(value)
    .filter(([key]) => path !== "" || !OLD.includes(key))
    .flatMap(([key, member]) => lines(member, `${path}.${key}`));
}

test.if(needs("ctr", "dockerd"))(
  "image inspect and history are docker's, key by key and byte by byte",
  async () => {
    const archives = ARCHIVES();
    const own = await ask([], archives, engine.env);
    const alone = ["unshare", "--mount", "--net", "--propagation", "private"];
    const reference = await ask([...alone, `${HERE}/../../scripts/with-dockerd`], archives, {});
    expect(Object.keys(own.inspected)).toEqual(Object.keys(reference.inspected));
    for (const name of Object.keys(reference.inspected)) {
      expect([name, ...lines(own.inspected[name])]).toEqual([name, ...lines(reference.inspected[name])]);
    }
    expect(own.histories).toEqual(reference.histories);
  },
  120_000,
);
