/** The image configuration (image-spec config.md, with Docker's additions), and its checked parser. */
import { CtrError } from "../errors/error.ts";

export interface Healthcheck {
  readonly Test?: readonly string[];
  /** Nanoseconds, as Docker keeps them. */
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

/** What containers start with. Absent means not set. */
export interface RunConfig {
  readonly User?: string;
  readonly ExposedPorts?: { readonly [port: string]: object };
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Volumes?: { readonly [path: string]: object };
  readonly WorkingDir?: string;
  readonly Labels?: { readonly [label: string]: string };
  readonly StopSignal?: string;
  readonly StopTimeout?: number;
  readonly Healthcheck?: Healthcheck;
  readonly OnBuild?: readonly string[];
  readonly Shell?: readonly string[];
}

export interface History {
  readonly created?: string;
  readonly author?: string;
  readonly created_by?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

export interface ImageConfig {
  readonly created?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly os: string;
  readonly config: RunConfig;
  readonly rootfs: { readonly type: "layers"; readonly diff_ids: readonly string[] };
  readonly history: readonly History[];
}

/** The largest configuration that is read: as the registries' limit for a manifest. */
export const MAX_CONFIG_BYTES = 4 << 20;

type Json = { readonly [key: string]: unknown };

/** The configuration in a JSON text. Throws CtrError `invalid` naming the field; unknown fields are passed over. */
export function parseImageConfig(text: string): ImageConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CtrError("invalid", "image config is not JSON", { cause: error });
  }
  const root = object(value, "image config");
  const rootfs = object(root["rootfs"] ?? {}, "rootfs");
  const diffIds = strings(rootfs["diff_ids"], "rootfs.diff_ids") ?? [];
  for (const diffId of diffIds) {
    if (!/^sha256:[0-9a-f]{64}$/.test(diffId)) throw wrong("rootfs.diff_ids");
  }
  return {
    ...defined({
      created: moment(root["created"], "created"),
      author: string(root["author"], "author"),
      comment: string(root["comment"], "comment"),
      variant: string(root["variant"], "variant"),
    }),
    architecture: string(root["architecture"], "architecture") ?? "",
    os: string(root["os"], "os") ?? "",
    config: parseRunConfig(root["config"] ?? {}),
    rootfs: { type: "layers", diff_ids: diffIds },
    history: list(root["history"], "history").map(parseHistory),
  };
}

/** The `config` member; also what Docker calls a container's Config, of which it takes these fields. */
export function parseRunConfig(value: unknown): RunConfig {
  const config = object(value, "config");
  const healthcheck = config["Healthcheck"] ?? undefined;
  return defined({
    User: string(config["User"], "User"),
    ExposedPorts: objects(config["ExposedPorts"], "ExposedPorts"),
    Env: strings(config["Env"], "Env"),
    Entrypoint: words(config["Entrypoint"], "Entrypoint"),
    Cmd: words(config["Cmd"], "Cmd"),
    Volumes: objects(config["Volumes"], "Volumes"),
    WorkingDir: string(config["WorkingDir"], "WorkingDir"),
    Labels: labels(config["Labels"]),
    StopSignal: string(config["StopSignal"], "StopSignal"),
    StopTimeout: number(config["StopTimeout"], "StopTimeout"),
    Healthcheck: healthcheck === undefined ? undefined : parseHealthcheck(healthcheck),
    OnBuild: strings(config["OnBuild"], "OnBuild"),
    Shell: words(config["Shell"], "Shell"),
  });
}

function parseHealthcheck(value: unknown): Healthcheck {
  const check = object(value, "Healthcheck");
  return defined({
    Test: strings(check["Test"], "Healthcheck.Test"),
    Interval: number(check["Interval"], "Healthcheck.Interval"),
    Timeout: number(check["Timeout"], "Healthcheck.Timeout"),
    StartPeriod: number(check["StartPeriod"], "Healthcheck.StartPeriod"),
    StartInterval: number(check["StartInterval"], "Healthcheck.StartInterval"),
    Retries: number(check["Retries"], "Healthcheck.Retries"),
  });
}

function parseHistory(value: unknown): History {
  const entry = object(value, "history");
  const isEmpty = entry["empty_layer"];
  return defined({
    created: moment(entry["created"], "history.created"),
    author: string(entry["author"], "history.author"),
    created_by: string(entry["created_by"], "history.created_by"),
    comment: string(entry["comment"], "history.comment"),
    empty_layer: typeof isEmpty === "boolean" ? isEmpty : undefined,
  });
}

type Defined<T> = { [Key in keyof T as undefined extends T[Key] ? Key : never]?: Exclude<T[Key], undefined> };

/** Without the members that are undefined: absent is how "not set" is written. */
function defined<T extends { readonly [key: string]: unknown }>(members: T): Defined<T> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Defined<T>;
}

function object(value: unknown, name: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(name);
  return value as Json;
}

function list(value: unknown, name: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw wrong(name);
  return value;
}

function string(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") throw wrong(name);
  return value;
}

/** RFC 3339, as the image-spec wants it: every list of images shows and compares it. */
function moment(value: unknown, name: string): string | undefined {
  const text = string(value, name);
  if (text !== undefined && (!RFC_3339.test(text) || Number.isNaN(Date.parse(text)))) throw wrong(name);
  return text;
}

const RFC_3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/;

function number(value: unknown, name: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !Number.isFinite(value)) throw wrong(name);
  return value;
}

function strings(value: unknown, name: string): readonly string[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) throw wrong(name);
  return value;
}

/** A command may be one text, as images of old have it; then it is one word. */
function words(value: unknown, name: string): readonly string[] | undefined {
  return typeof value === "string" ? [value] : strings(value, name);
}

function objects(value: unknown, name: string): { readonly [key: string]: object } | undefined {
  if (value === undefined || value === null) return undefined;
  return Object.fromEntries(Object.keys(object(value, name)).map((key) => [key, {}]));
}

function labels(value: unknown): { readonly [label: string]: string } | undefined {
  if (value === undefined || value === null) return undefined;
  const labels = Object.entries(object(value, "Labels")).map(([label, text]) => {
    // As Go's decoder has it, null is no text.
    const given = text ?? "";
    if (typeof given !== "string") throw wrong("Labels");
    return [label, given] as const;
  });
  return Object.fromEntries(labels);
}

function wrong(name: string): CtrError {
  return new CtrError("invalid", `image config: ${name} is not what it should be`);
}
