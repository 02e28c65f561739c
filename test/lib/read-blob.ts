/**
 * A process of its own that takes or sends one large blob and prints what it took: bytes, milliseconds, peak memory.
 *   bun read-blob.ts get|put HOST SIZE [CERTS]
 */
import { readFileSync } from "node:fs";
import { ANONYMOUS } from "../../internal/registry/credentials.ts";
import { openRepository } from "../../internal/registry/repository.ts";
import { parseRegistrySettings } from "../../internal/registry/settings.ts";
import { parseDigest } from "../../internal/spec/digest.ts";

const [how = "", host = "", size = "", certificates = "/nonexistent"] = process.argv.slice(2);
const settings = parseRegistrySettings(`certificate-directories = [${JSON.stringify(certificates)}]`, "test", {});
await using repository = await openRepository(
  { domain: host, path: "app" },
  { settings, actions: how === "put" ? "push" : "pull", authority: ANONYMOUS },
);
const descriptor = { mediaType: "", digest: parseDigest(`sha256:${"0".repeat(64)}`), size: Number(size) };
const started = performance.now();
let bytes = 0;
if (how === "get") {
  for await (const chunk of (await repository.blob(descriptor, 0)).body) bytes += chunk.length;
} else {
  const chunk = new Uint8Array(1 << 20);
  const open = async function* (offset: number) {
    for (let at = offset; at < descriptor.size; at += chunk.length) yield chunk;
  };
  await repository.upload(descriptor, open, { onProgress: (reached) => (bytes = reached) });
}
const peakKiB = Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
const found = { bytes, ms: Math.round(performance.now() - started), peakMiB: Math.round(peakKiB / 1024) };
await Bun.write(Bun.stdout, `${JSON.stringify(found)}\n`);
