/** An archive of many small images, for what a long list costs. */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { type WritableEntry, writeTar } from "../../internal/archive/tar-writer.ts";

const encoder = new TextEncoder();

function file(name: string, content: Uint8Array): WritableEntry {
  const none = new Uint8Array(0);
  const numbers = { mode: 0o644, uid: 0, gid: 0, size: content.length, mtimeNs: 0n, major: 0, minor: 0 };
  return {
    kind: "file",
    name: encoder.encode(name),
    linkname: none,
    xattrs: new Map(),
    ...numbers,
    content: [content],
  };
}

/** Writes a docker-archive of `count` images over one layer, each with a configuration of usual size and one tag. */
export async function writeManyImages(path: string, count: number): Promise<void> {
  const layer = Buffer.concat(await Array.fromAsync(writeTar([file("file", encoder.encode("content"))])));
  const diffId = `sha256:${createHash("sha256").update(layer).digest("hex")}`;
  const entries = [file("layer.tar", layer)];
  const manifest: object[] = [];
  for (let index = 0; index < count; index++) {
    const config = {
      architecture: "amd64",
      os: "linux",
      created: new Date(Date.UTC(2024, index % 12, 1 + (index % 28), 3, 4, 5, index % 1000)).toISOString(),
      config: {
        Env: Array.from({ length: 20 }, (_, at) => `VARIABLE_${at}=${"x".repeat(40)}`),
        Labels: Object.fromEntries(
          Array.from({ length: 20 }, (_, at) => [`label-${at}`, `${index} ${"y".repeat(60)}`]),
        ),
      },
      rootfs: { type: "layers", diff_ids: [diffId] },
      history: [{ created_by: "step" }],
    };
    entries.push(file(`${index}.json`, encoder.encode(JSON.stringify(config))));
    const name = index % 10 === 0 ? `app${index}:latest` : `registry.example.com/team${index % 20}/app:${index}`;
    manifest.push({ Config: `${index}.json`, RepoTags: [name], Layers: ["layer.tar"] });
  }
  entries.push(file("manifest.json", encoder.encode(JSON.stringify(manifest))));
  writeFileSync(path, Buffer.concat(await Array.fromAsync(writeTar(entries))));
}
