/** Images that mean harm: any configuration, any file, link or program, as an archive for `load`. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { imageArchive, type TestEngine } from "./engine.ts";

export interface HostileImage {
  /** The config of the image's own, unchecked: `{ WorkingDir: "/proc/self/fd/8" }`. */
  readonly config?: object;
  /** Commands that make the files, run by sh in the root of the layer above the usual programs. */
  readonly files?: string;
}

const sha256 = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

/** Images of the same files with these configs, by name, as one docker-archive; gives its path. */
export async function hostileArchive(
  directory: string,
  files: string,
  configs: Readonly<Record<string, unknown>>,
): Promise<string> {
  const work = `${directory}/hostile.parts`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(`${work}/files`, { recursive: true });
  await sh(files, `${work}/files`);
  await sh(`cp "${imageArchive("minimal")}" 0.tar; tar -C files --numeric-owner -cf 1.tar .`, work);
  const layers = ["0.tar", "1.tar"];
  const contents = await Promise.all(layers.map((layer) => Bun.file(`${work}/${layer}`).bytes()));
  const manifest = Object.entries(configs).map(([name, config]) => {
    const text = JSON.stringify({
      architecture: process.arch === "x64" ? "amd64" : "arm64",
      os: "linux",
      config,
      rootfs: { type: "layers", diff_ids: contents.map((content) => `sha256:${sha256(content)}`) },
      history: [{ created_by: name }],
    });
    writeFileSync(`${work}/${name}.json`, text);
    return { Config: `${name}.json`, RepoTags: [`${name}:latest`], Layers: layers };
  });
  writeFileSync(`${work}/manifest.json`, JSON.stringify(manifest));
  const path = `${directory}/hostile.tar`;
  await sh(`tar -cf "${path}" manifest.json *.json 0.tar 1.tar`, work);
  rmSync(work, { recursive: true });
  return path;
}

/** Loads one, and gives its name. */
export async function hostileImage(engine: TestEngine, name: string, image: HostileImage): Promise<string> {
  const configs = { [name]: { Cmd: ["sh"], ...image.config } };
  await engine.ok("load", "-q", "-i", await hostileArchive(engine.scratch, image.files ?? "true", configs));
  return name;
}

async function sh(script: string, cwd: string): Promise<void> {
  const child = Bun.spawn(["sh", "-ec", script], { cwd, stdout: "ignore", stderr: "pipe" });
  const [words, status] = await Promise.all([child.stderr.text(), child.exited]);
  if (status !== 0) throw new Error(`${script}: ${words}`);
}

/** Compiles a program of test/fixtures/escapes into `path`. */
export async function compileFixture(name: string, path: string, ...flags: readonly string[]): Promise<string> {
  await sh(
    `cc -O2 -Wall -Wextra -Werror ${flags.join(" ")} -o "${path}" "${import.meta.dir}/../fixtures/escapes/${name}"`,
    "/",
  );
  return path;
}
