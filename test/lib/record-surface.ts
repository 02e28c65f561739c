/**
 * Records what a container of Docker's can see and touch (test/reference/surface.json):
 *
 *   CTR_DOCKERD_OPTIONS="--add-runtime here=$PWD/test/lib/runc-here" scripts/with-dockerd bun test/lib/record-surface.ts
 */
import { release } from "node:os";
import { imageArchive } from "./engine.ts";
import { compileSurface, parseSurface, type RecordedSurfaces, SCRIPT, type Surface, VARIANTS } from "./surface.ts";

const docker = process.env["CTR_BIN"] ?? "docker";
async function run(...words: readonly string[]): Promise<string> {
  const child = Bun.spawn([docker, ...words], { stdout: "pipe", stderr: "inherit" });
  const [text, status] = await Promise.all([child.stdout.text(), child.exited]);
  if (status !== 0) throw new Error(`${words.join(" ")}: status ${status}`);
  return text;
}

const directory = await compileSurface(`${process.env["CTR_TEST_HOME"] ?? "/tmp"}/surface`);
await run("import", imageArchive("minimal"), "minimal");
const surfaces: Record<string, Surface> = {};
for (const [name, flags] of Object.entries(VARIANTS)) {
  const network = flags.includes("--network") ? [] : ["--network", "none"];
  const runtime = flags.includes("--privileged") ? ["--runtime", "here"] : [];
  const output = await run(
    "run",
    "--rm",
    ...network,
    ...runtime,
    ...flags,
    "-v",
    `${directory}:/surface:ro`,
    "minimal",
    "sh",
    "-c",
    SCRIPT,
  );
  surfaces[name] = parseSurface(output);
}
const { default: base = {}, ...others } = surfaces;
const record: RecordedSurfaces = {
  kernel: release(),
  engine: (await run("version", "-f", "{{.Server.Version}}")).trim(),
  default: base,
  variants: Object.fromEntries(
    Object.entries(others).map(([name, surface]) => [
      name,
      Object.fromEntries(
        [...new Set([...Object.keys(base), ...Object.keys(surface)])]
          .filter((fact) => base[fact] !== surface[fact])
          .map((fact) => [fact, surface[fact] ?? null]),
      ),
    ]),
  ),
};
await Bun.write(`${import.meta.dir}/../reference/surface.json`, `${JSON.stringify(record, null, 1)}\n`);
