/** An image of many layers as an archive for `load`: a root file system, and small layers on top of it. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

/** What one layer does: files by name with their content, and names that it removes. */
export interface LayerContent {
  readonly files?: { readonly [name: string]: string };
  readonly removed?: readonly string[];
}

function tool(...command: readonly string[]): void {
  const ran = Bun.spawnSync([...command]);
  if (ran.exitCode !== 0) throw new Error(`${command.join(" ")}: ${ran.stderr.toString()}`);
}

const digest = (bytes: Uint8Array | string) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

/** Writes `<directory>/<name>.tar`, a docker-archive tagged `name`, and gives its path. */
export function layeredArchive(
  directory: string,
  name: string,
  base: string,
  layers: readonly LayerContent[],
  config: object = { Cmd: ["sh"] },
): string {
  const work = `${directory}/${name}.parts`;
  mkdirSync(work, { recursive: true });
  const names = ["0.tar"];
  writeFileSync(`${work}/0.tar`, readFileSync(base));
  for (const [index, layer] of layers.entries()) {
    const content = `${work}/content`;
    rmSync(content, { recursive: true, force: true });
    const files = {
      ...layer.files,
      ...Object.fromEntries((layer.removed ?? []).map((path) => [path.replace(/([^/]*)$/, ".wh.$1"), ""])),
    };
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(`${content}/${path}`.replace(/[^/]*$/, ""), { recursive: true });
      writeFileSync(`${content}/${path}`, text);
    }
    // The files only: their directories are what they are below.
    const list = Object.keys(files).join("\0");
    writeFileSync(`${work}/list`, list);
    const archive = `${work}/${index + 1}.tar`;
    tool(
      "tar",
      "-C",
      content,
      "--owner=0",
      "--group=0",
      "--numeric-owner",
      "--null",
      "-T",
      `${work}/list`,
      "-cf",
      archive,
    );
    names.push(`${index + 1}.tar`);
  }
  const image = {
    architecture: process.arch === "x64" ? "amd64" : "arm64",
    os: "linux",
    config,
    rootfs: { type: "layers", diff_ids: names.map((file) => `sha256:${digest(readFileSync(`${work}/${file}`))}`) },
  };
  writeFileSync(`${work}/config.json`, JSON.stringify(image));
  writeFileSync(
    `${work}/manifest.json`,
    JSON.stringify([{ Config: "config.json", RepoTags: [`${name}:latest`], Layers: names }]),
  );
  const archive = `${directory}/${name}.tar`;
  tool("tar", "-C", work, "-cf", archive, "manifest.json", "config.json", ...names);
  rmSync(work, { recursive: true, force: true });
  return archive;
}
