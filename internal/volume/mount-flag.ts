/** `--mount` (docker/cli opts/mount.go, moby volume/mounts/validate.go): its text, then what the engine says to it. */
import { CtrError } from "../errors/error.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists } from "../sys/file.ts";
import type { LocalOptions, MountExtras } from "./mount-point.ts";
import {
  anonymous,
  checkVolumeName,
  cleanPath,
  destinationProblem,
  PROPAGATION,
  type WantedMount,
} from "./mount-spec.ts";

/** One `--mount` as Docker's HostConfig.Mounts has it. */
export interface MountRequest {
  readonly Type: string;
  readonly Source?: string;
  readonly Target: string;
  readonly ReadOnly?: true;
  readonly Consistency?: string;
  /** Not Docker's. */
  readonly IdMap?: true;
  readonly BindOptions?: BindOptions;
  readonly VolumeOptions?: VolumeOptions;
  readonly TmpfsOptions?: TmpfsOptions;
}

interface BindOptions {
  readonly Propagation?: string;
  readonly NonRecursive?: true;
  readonly CreateMountpoint?: true;
  readonly ReadOnlyNonRecursive?: true;
  readonly ReadOnlyForceRecursive?: true;
}

interface VolumeOptions {
  readonly NoCopy?: true;
  readonly Labels?: { readonly [name: string]: string };
  readonly Subpath?: string;
  readonly DriverConfig?: { readonly Name?: string; readonly Options?: LocalOptions };
}

interface TmpfsOptions {
  readonly SizeBytes?: number;
  readonly Mode?: number;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };
type Bag = { [name: string]: string };

/** Keys that may stand alone. */
const BARE = ["readonly", "ro", "idmap", "volume-nocopy", "bind-nonrecursive", "bind-create-src"];

/** The fields of one `--mount`. Throws `invalid` with only the reason: the command line names flag and value. */
export function parseMountFlag(text: string, directory: string): MountRequest {
  if (text === "") throw new CtrError("invalid", "EOF");
  const mount: Writable<MountRequest> = { Type: "volume", Target: "" };
  const bind: Writable<BindOptions> = {};
  const tmpfs: Writable<TmpfsOptions> = {};
  const volume: Writable<VolumeOptions> = {};
  const driver: { Name?: string; Options?: Bag } = {};
  const labels: Bag = {};
  for (const field of csvFields(text)) {
    const equals = field.indexOf("=");
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase();
    if (equals < 0 && !BARE.includes(key)) {
      throw new CtrError("invalid", `invalid field '${field}' must be a key=value pair`);
    }
    const value = equals < 0 ? "true" : field.slice(equals + 1);
    const kind = /^(bind|volume|tmpfs)-/.exec(key)?.[1];
    if (kind === "bind") mount.BindOptions = bind;
    else if (kind === "volume") mount.VolumeOptions = volume;
    else if (kind === "tmpfs") mount.TmpfsOptions = tmpfs;
    switch (key) {
      case "type":
        mount.Type = value.toLowerCase();
        break;
      case "source":
      case "src":
        mount.Source = value === "." || value.startsWith("./") ? cleanPath(`${directory}/${value}`) : value;
        break;
      case "target":
      case "dst":
      case "destination":
        mount.Target = value;
        break;
      case "readonly":
      case "ro":
        setFlag(mount, "ReadOnly", boolean(key, value));
        break;
      case "idmap":
        setFlag(mount, "IdMap", boolean(key, value));
        break;
      case "consistency":
        mount.Consistency = value.toLowerCase();
        break;
      case "bind-propagation":
        bind.Propagation = value.toLowerCase();
        break;
      case "bind-nonrecursive":
        setFlag(bind, "NonRecursive", boolean(key, value));
        break;
      case "bind-create-src":
        setFlag(bind, "CreateMountpoint", boolean(key, value));
        break;
      case "bind-recursive":
        setRecursion(bind, value);
        break;
      case "volume-subpath":
        volume.Subpath = value;
        break;
      case "volume-nocopy":
        setFlag(volume, "NoCopy", boolean(key, value));
        break;
      case "volume-label":
        volume.Labels = putInto(labels, value);
        break;
      case "volume-driver":
        driver.Name = value;
        volume.DriverConfig = driver;
        break;
      case "volume-opt":
        driver.Options = putInto(driver.Options ?? {}, value);
        volume.DriverConfig = driver;
        break;
      case "tmpfs-size":
        tmpfs.SizeBytes = size(key, value);
        break;
      case "tmpfs-mode":
        tmpfs.Mode = octal(key, value);
        break;
      default:
        throw new CtrError("invalid", `unexpected key '${key}' in '${field}'`);
    }
  }
  checkTogether(mount);
  return mount;
}

function checkTogether(mount: MountRequest): void {
  const wrong = (why: string) => new CtrError("invalid", why);
  if (mount.Type === "") throw wrong("type is required");
  if (mount.Target === "") throw wrong("target is required");
  const mixed = (["bind", "volume", "tmpfs"] as const).find((kind) => kind !== mount.Type && optionsOf(mount, kind));
  if (mixed !== undefined) throw wrong(`cannot mix '${mixed}-*' options with mount type '${mount.Type}'`);
  const { ReadOnlyNonRecursive, ReadOnlyForceRecursive, Propagation } = mount.BindOptions ?? {};
  const needs = (what: string, other: string) =>
    wrong(`option 'bind-recursive=${what}' requires '${other}' to be specified in conjunction`);
  if (mount.IdMap && mount.Type === "tmpfs") throw wrong("cannot mix 'idmap' with mount type 'tmpfs'");
  if (ReadOnlyNonRecursive && !mount.ReadOnly) throw needs("writable", "readonly");
  if (ReadOnlyForceRecursive && !mount.ReadOnly) throw needs("readonly", "readonly");
  if (ReadOnlyForceRecursive && Propagation !== "rprivate") throw needs("readonly", "bind-propagation=rprivate");
}

function optionsOf(mount: MountRequest, kind: "bind" | "volume" | "tmpfs"): object | undefined {
  if (kind === "bind") return mount.BindOptions;
  return kind === "volume" ? mount.VolumeOptions : mount.TmpfsOptions;
}

function setFlag<Key extends string>(options: { [K in Key]?: true }, key: Key, value: boolean): void {
  if (value) options[key] = true;
  else delete options[key];
}

function setRecursion(bind: Writable<BindOptions>, value: string): void {
  switch (value) {
    case "enabled":
      return;
    case "disabled":
      bind.NonRecursive = true;
      return;
    case "writable":
      bind.ReadOnlyNonRecursive = true;
      return;
    case "readonly":
      bind.ReadOnlyForceRecursive = true;
      return;
    default:
      throw new CtrError(
        "invalid",
        `invalid value for bind-recursive: ${value} (must be "enabled", "disabled", "writable", or "readonly")`,
      );
  }
}

/** `key=value` into the map; without `=` the value is empty. */
function putInto(bag: Bag, text: string): Bag {
  const equals = text.indexOf("=");
  const key = equals < 0 ? text : text.slice(0, equals);
  if (key !== "") bag[key] = equals < 0 ? "" : text.slice(equals + 1);
  return bag;
}

function boolean(key: string, value: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
  throw new CtrError("invalid", `invalid value for ${key}: ${value}`);
}

const UNITS = "kmgtp";

/** go-units RAMInBytes: units of 1024. */
function size(key: string, value: string): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(value) ?? [];
  if (number === undefined) throw new CtrError("invalid", `invalid value for ${key}: ${value}`);
  return Math.trunc(Number(number) * 1024 ** (UNITS.indexOf(unit.toLowerCase()) + (unit === "" ? 0 : 1)));
}

function octal(key: string, value: string): number {
  if (!/^[0-7]{1,10}$/.test(value)) throw new CtrError("invalid", `invalid value for ${key}: ${value}`);
  return Number.parseInt(value, 8);
}

/** The fields of one line of CSV (RFC 4180): a field in double quotes may hold commas, and a quote written twice. */
function csvFields(text: string): string[] {
  const fields: string[] = [];
  for (let at = 0; at <= text.length; ) {
    if (text[at] !== '"') {
      const comma = text.indexOf(",", at);
      const end = comma < 0 ? text.length : comma;
      const field = text.slice(at, end);
      const quote = field.indexOf('"');
      if (quote >= 0)
        throw new CtrError("invalid", `parse error on line 1, column ${at + quote + 1}: bare " in non-quoted field`);
      fields.push(field);
      at = end + 1;
      continue;
    }
    let field = "";
    for (at++; ; at++) {
      if (at >= text.length) {
        throw new CtrError(
          "invalid",
          `parse error on line 1, column ${text.length + 1}: extraneous or missing " in quoted-field`,
        );
      }
      if (text[at] !== '"') field += text[at];
      else if (text[at + 1] === '"') field += text[++at];
      else break;
    }
    at++;
    if (at < text.length && text[at] !== ",") {
      throw new CtrError("invalid", `parse error on line 1, column ${at + 1}: extraneous or missing " in quoted-field`);
    }
    fields.push(field);
    at++;
  }
  return fields;
}

/** What a request means. Throws `invalid` for what the engine refuses. */
export function wantedMount(request: MountRequest): WantedMount {
  const { Type: type, Source: source = "", Target: target, ReadOnly } = request;
  const wrong = (why: string) => new CtrError("invalid", `invalid mount config for type "${type}": ${why}`);
  if (type !== "bind" && type !== "volume" && type !== "tmpfs") throw wrong("mount type unknown");
  const problem = destinationProblem(target);
  if (problem !== undefined) throw wrong(problem);
  const common = { destination: cleanPath(target), mode: "", isReadonly: ReadOnly === true } as const;
  if (type === "bind") {
    const { Propagation: propagation = "rprivate", CreateMountpoint } = request.BindOptions ?? {};
    if (source === "") throw wrong("field Source must not be empty");
    if (!source.startsWith("/")) throw wrong(`invalid mount path: '${source}' mount path must be absolute`);
    if (!PROPAGATION.includes(propagation)) throw wrong(`invalid propagation mode: ${propagation}`);
    if (CreateMountpoint !== true && !exists(AT_FDCWD, source)) {
      throw wrong(`bind source path does not exist: ${source}`);
    }
    const extras = { ...bindExtras(request.BindOptions ?? {}), ...(request.IdMap ? ({ idmap: true } as const) : {}) };
    return { ...common, type, source: cleanPath(source), propagation, copiesUp: false, extras };
  }
  if (type === "tmpfs") {
    if (source !== "") throw wrong("field Source must not be specified");
    return { ...common, type, propagation: "", copiesUp: false, extras: { tmpfs: tmpfsWords(request) } };
  }
  const { NoCopy, Labels, Subpath, DriverConfig } = request.VolumeOptions ?? {};
  if (source === "" && ReadOnly) throw wrong("must not set ReadOnly mode when using anonymous volumes");
  if (Subpath !== undefined && (Subpath.startsWith("/") || Subpath.split("/").includes(".."))) {
    throw wrong("subpath must be a relative path within the volume");
  }
  return {
    ...anonymous(common.destination),
    ...common,
    ...(source === "" ? {} : { name: checkVolumeName(source) }),
    // A directory of the volume is there already, so the volume is not empty.
    copiesUp: NoCopy !== true && (Subpath ?? "") === "",
    ...(Subpath === undefined || Subpath === "" ? {} : { extras: { subpath: Subpath } }),
    volume: { driver: DriverConfig?.Name ?? "local", options: DriverConfig?.Options ?? {}, labels: Labels ?? {} },
  };
}

function bindExtras(options: BindOptions): MountExtras {
  const { NonRecursive, ReadOnlyNonRecursive, ReadOnlyForceRecursive, CreateMountpoint } = options;
  const recursion = NonRecursive
    ? "disabled"
    : ReadOnlyNonRecursive
      ? "writable"
      : ReadOnlyForceRecursive
        ? "readonly"
        : undefined;
  return {
    ...(recursion === undefined ? {} : { recursion }),
    ...(CreateMountpoint ? {} : { needsSource: true }),
  };
}

function tmpfsWords({ ReadOnly, TmpfsOptions: { SizeBytes = 0, Mode } = {} }: MountRequest): string[] {
  return [
    ...(ReadOnly ? ["ro"] : []),
    ...(Mode === undefined ? [] : [`mode=${Mode.toString(8)}`]),
    ...(SizeBytes > 0 ? [`size=${SizeBytes}`] : []),
  ];
}
