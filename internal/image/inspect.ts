/** `inspect` of an image: Docker's JSON. */
import type { Engine } from "../db/engine.ts";
import { recordedDriver, shownDriver } from "../db/storage-driver.ts";
import { CtrError } from "../errors/error.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { parsePlatform } from "./platform.ts";
import { familiar } from "./reference.ts";
import { shownRepoDigests } from "./repo-digests.ts";
import { resolveImage } from "./resolve.ts";
import { tagsOf } from "./tags.ts";

const NEVER = "0001-01-01T00:00:00Z";

interface Row {
  readonly config: string;
  readonly size: number;
  readonly parent: string | null;
  readonly tagged_at: number | null;
}

/** The object `inspect` prints. Throws `not-found` with Docker's words. */
export function inspectImage(engine: Engine, text: string): { readonly [field: string]: unknown } {
  const { id, config, layers } = resolveImage(engine, text);
  const row = engine.db
    .query<Row, [string]>(
      "SELECT config, size, parent, (SELECT max(tagged_at) FROM tag WHERE image_id = image.id) AS tagged_at FROM image WHERE id = ?",
    )
    .get(id);
  if (row === null) throw new CtrError("not-found", `No such image: ${text}`);
  const [top, ...below] = lowerDirectories(engine, layers);
  const driver = recordedDriver(engine);
  const run = config.config;
  const own = unparsed(row.config);
  return {
    Id: id,
    RepoTags: tagsOf(engine, id).map(familiar),
    RepoDigests: shownRepoDigests(engine, id),
    Parent: row.parent ?? "",
    Comment: config.comment ?? "",
    Created: config.created ?? NEVER,
    DockerVersion: own.dockerVersion,
    Author: config.author ?? "",
    Config: own.hasConfig
      ? {
          Hostname: own.text("Hostname"),
          Domainname: own.text("Domainname"),
          User: run.User ?? "",
          AttachStdin: own.flag("AttachStdin"),
          AttachStdout: own.flag("AttachStdout"),
          AttachStderr: own.flag("AttachStderr"),
          ...(Object.keys(run.ExposedPorts ?? {}).length === 0 ? {} : { ExposedPorts: run.ExposedPorts }),
          Tty: own.flag("Tty"),
          OpenStdin: own.flag("OpenStdin"),
          StdinOnce: own.flag("StdinOnce"),
          Env: run.Env ?? null,
          Cmd: run.Cmd ?? null,
          ...(run.Healthcheck === undefined ? {} : { Healthcheck: run.Healthcheck }),
          ...(own.flag("ArgsEscaped") ? { ArgsEscaped: true } : {}),
          Image: own.text("Image"),
          Volumes: run.Volumes ?? null,
          WorkingDir: run.WorkingDir ?? "",
          Entrypoint: run.Entrypoint ?? null,
          OnBuild: run.OnBuild ?? null,
          Labels: run.Labels ?? null,
          ...(run.StopSignal === undefined ? {} : { StopSignal: run.StopSignal }),
          ...(run.StopTimeout === undefined ? {} : { StopTimeout: run.StopTimeout }),
          ...((run.Shell ?? []).length === 0 ? {} : { Shell: run.Shell }),
        }
      : null,
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os || "linux",
    Size: row.size,
    GraphDriver: {
      Data:
        driver === "vfs" || driver === "btrfs"
          ? null
          : {
              ...(below.length === 0 ? {} : { LowerDir: below.join(":") }),
              // Nothing is mounted or worked in there: they are Docker's names, which programs look for.
              ...(top === undefined ? {} : { MergedDir: `${top}/merged`, UpperDir: top, WorkDir: `${top}/work` }),
            },
      Name: driver === undefined ? "overlay2" : shownDriver(driver),
    },
    RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: row.tagged_at === null ? NEVER : new Date(row.tagged_at).toISOString() },
  };
}

/** Members of a configuration that no container is started with: only shown. Docker's classic commit leaves them. */
function unparsed(configText: string) {
  const whole: unknown = JSON.parse(configText);
  const config: unknown = isObject(whole) ? whole["config"] : undefined;
  const member = (name: string) => (isObject(config) ? config[name] : undefined);
  const version = isObject(whole) ? whole["docker_version"] : undefined;
  return {
    hasConfig: config !== undefined && config !== null,
    dockerVersion: typeof version === "string" ? version : "",
    text: (name: string) => {
      const value = member(name);
      return typeof value === "string" ? value : "";
    },
    flag: (name: string) => member(name) === true,
  };
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Checks that an image is for a platform (`os[/arch[/variant]]`). The store keeps one platform of an image. Throws
 * `not-found` in Docker's words.
 */
export function requirePlatform(engine: Engine, text: string, platformText: string): void {
  const wanted = parsePlatform(platformText);
  const { config } = resolveImage(engine, text);
  const isFit =
    config.os === wanted.os &&
    config.architecture === wanted.architecture &&
    (wanted.variant === undefined || wanted.variant === (config.variant ?? ""));
  if (isFit) return;
  const found = [config.os, config.architecture, ...(config.variant === undefined ? [] : [config.variant])].join("/");
  const asked = [wanted.os, wanted.architecture, ...(wanted.variant === undefined ? [] : [wanted.variant])].join("/");
  throw new CtrError(
    "not-found",
    `image with reference ${text} was found but does not provide the specified platform (${asked}): it is for ${found}`,
  );
}
