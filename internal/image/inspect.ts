/** An image as `docker inspect` shows it (Engine API, ImageInspect): Docker's names and order. */
import type { Engine } from "../db/engine.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import type { RunConfig } from "./config.ts";
import { familiarName, familiarReference, parseReference } from "./reference.ts";
import { resolveImage } from "./resolve.ts";
import { tagsOf } from "./tags.ts";

/** The object of the image a user means. Throws as `resolveImage` does. */
export function inspectImage(engine: Engine, text: string): { readonly [field: string]: unknown } {
  const { id, config, layers } = resolveImage(engine, text);
  const row = engine.db
    .query<{ manifest: string; size: number; parent: string | null; tagged_at: number | null }, [string]>(
      `SELECT manifest, size, parent, (SELECT max(tagged_at) FROM tag WHERE image_id = image.id) AS tagged_at
         FROM image WHERE id = ?`,
    )
    .get(id);
  const tags = tagsOf(engine, id).map(parseReference);
  const names = [...new Set(tags.map(familiarName))];
  const [upper, ...lower] = lowerDirectories(engine, layers);
  return {
    Id: id,
    RepoTags: tags.map(familiarReference),
    RepoDigests: names.map((name) => `${name}@${row?.manifest ?? ""}`),
    Parent: row?.parent ?? "",
    Comment: config.comment ?? config.history.at(-1)?.comment ?? "",
    Created: config.created ?? "0001-01-01T00:00:00Z",
    DockerVersion: "",
    Author: config.author ?? "",
    Config: configOf(config.config),
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os,
    Size: row?.size ?? 0,
    GraphDriver: {
      Name: "overlay2",
      Data: {
        ...(lower.length === 0 ? {} : { LowerDir: lower.join(":") }),
        ...(upper === undefined ? {} : { UpperDir: upper }),
      },
    },
    RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
    Metadata: {
      LastTagTime: row?.tagged_at == null ? "0001-01-01T00:00:00Z" : new Date(row.tagged_at).toISOString(),
    },
  };
}

function configOf(config: RunConfig): object {
  return {
    Hostname: "",
    Domainname: "",
    User: config.User ?? "",
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    ...(config.ExposedPorts === undefined ? {} : { ExposedPorts: config.ExposedPorts }),
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: config.Env ?? null,
    Cmd: config.Cmd ?? null,
    ...(config.Healthcheck === undefined ? {} : { Healthcheck: config.Healthcheck }),
    Image: "",
    Volumes: config.Volumes ?? null,
    WorkingDir: config.WorkingDir ?? "",
    Entrypoint: config.Entrypoint ?? null,
    OnBuild: config.OnBuild ?? null,
    Labels: config.Labels ?? null,
    ...(config.StopSignal === undefined ? {} : { StopSignal: config.StopSignal }),
    ...(config.StopTimeout === undefined ? {} : { StopTimeout: config.StopTimeout }),
    ...(config.Shell === undefined ? {} : { Shell: config.Shell }),
  };
}
