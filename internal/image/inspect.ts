/** `inspect` of an image: Docker's JSON. */
import type { Engine } from "../db/engine.ts";
import { CtrError } from "../errors/error.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { familiar } from "./reference.ts";
import { shownRepoDigests } from "./repo-digests.ts";
import { resolveImage } from "./resolve.ts";
import { tagsOf } from "./tags.ts";

const NEVER = "0001-01-01T00:00:00Z";

interface Row {
  readonly size: number;
  readonly parent: string | null;
  readonly tagged_at: number | null;
}

/** The object `inspect` prints. Throws `not-found` with Docker's words. */
export function inspectImage(engine: Engine, text: string): { readonly [field: string]: unknown } {
  const { id, config, layers } = resolveImage(engine, text);
  const row = engine.db
    .query<Row, [string]>(
      "SELECT size, parent, (SELECT max(tagged_at) FROM tag WHERE image_id = image.id) AS tagged_at FROM image WHERE id = ?",
    )
    .get(id);
  if (row === null) throw new CtrError("not-found", `No such image: ${text}`);
  const [top, ...below] = lowerDirectories(engine, layers);
  const run = config.config;
  return {
    Id: id,
    RepoTags: tagsOf(engine, id).map(familiar),
    RepoDigests: shownRepoDigests(engine, id),
    Parent: row.parent ?? "",
    Comment: config.comment ?? "",
    Created: config.created ?? NEVER,
    DockerVersion: "",
    Author: config.author ?? "",
    Config: {
      Hostname: "",
      Domainname: "",
      User: run.User ?? "",
      AttachStdin: false,
      AttachStdout: false,
      AttachStderr: false,
      ...(run.ExposedPorts === undefined ? {} : { ExposedPorts: run.ExposedPorts }),
      Tty: false,
      OpenStdin: false,
      StdinOnce: false,
      Env: run.Env ?? null,
      Cmd: run.Cmd ?? null,
      ...(run.Healthcheck === undefined ? {} : { Healthcheck: run.Healthcheck }),
      Image: "",
      Volumes: run.Volumes ?? null,
      WorkingDir: run.WorkingDir ?? "",
      Entrypoint: run.Entrypoint ?? null,
      OnBuild: run.OnBuild ?? null,
      Labels: run.Labels ?? null,
      ...(run.StopSignal === undefined ? {} : { StopSignal: run.StopSignal }),
      ...(run.StopTimeout === undefined ? {} : { StopTimeout: run.StopTimeout }),
      ...(run.Shell === undefined ? {} : { Shell: run.Shell }),
    },
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os,
    Size: row.size,
    GraphDriver: {
      Data: {
        ...(below.length === 0 ? {} : { LowerDir: below.join(":") }),
        ...(top === undefined ? {} : { UpperDir: top }),
      },
      Name: "overlay2",
    },
    RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: row.tagged_at === null ? NEVER : new Date(row.tagged_at).toISOString() },
  };
}
