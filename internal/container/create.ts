/** `create`, and the first half of `run`: everything is checked, then the container is recorded in one transaction. */

import { transaction } from "../db/database.ts";
import type { Engine } from "../db/engine.ts";
import { makeReserve } from "../db/reserve.ts";
import { CtrError } from "../errors/error.ts";
import type { RunConfig } from "../image/config.ts";
import { formatPlatform, hostPlatform, parsePlatform, platformRank } from "../image/platform.ts";
import { familiarReference, parseReference, withDefaultTag } from "../image/reference.ts";
import { type Image, resolveImage } from "../image/resolve.ts";
import { capabilitiesFromFlags } from "../security/capabilities.ts";
import { lowerDirectories } from "../snapshot/lower.ts";
import { readText } from "../sys/file.ts";
import { signalNumber } from "../sys/signals.ts";
import type { MountPoint } from "../volume/mount-point.ts";
import { parseImageVolume, type WantedMount } from "../volume/mount-spec.ts";
import { inheritMounts, reserveMounts } from "../volume/store.ts";
import { nowRfc3339 } from "./clock.ts";
import { mergeEnv } from "./env.ts";
import { mergeHealthcheck } from "./health.ts";
import { reserveIds } from "./id-ranges.ts";
import { apparmorProfile, containerLabels } from "./labels.ts";
import { resolveLinks } from "./links.ts";
import { generateId, parseName } from "./names.ts";
import { type ContainerConfig, type ContainerRecord, type HostConfig, NEVER_RAN } from "./record.ts";
import { checkResources, checkUlimits } from "./resource-limits.ts";
import type { GivenSecrets } from "./secrets.ts";
import { withId } from "./shared-namespaces.ts";
import { type FlagSpec, isAnonymous, type UserConfig } from "./spec-from-flags.ts";
import { forgetStart } from "./starting.ts";
import { containerById, findContainer, insertContainer, type Keeper, keeperFields } from "./store.ts";

export interface CreateOptions {
  /** As the user named it. */
  readonly image: string;
  /** What follows the image. */
  readonly args: readonly string[];
  readonly flags: FlagSpec;
  /** The supervisor that will start it at once. */
  readonly keeper?: Keeper;
  /** The id it was promised; a new one otherwise. */
  readonly id?: string;
  /** The platform the image must be for; any if not given, with a warning if it is not the host's. */
  readonly platform?: string | undefined;
  /** What `--secret` gave. */
  readonly secrets?: GivenSecrets | undefined;
  /** Called, with the image's name as it is shown, before a missing one, or one for another platform, is an error. */
  onImageMissing?(name: string, found: ImageFound): void;
}

/** What is there instead of the image. */
export type ImageFound = "nothing" | "another platform";

export interface Created {
  readonly record: ContainerRecord;
  readonly warnings: readonly string[];
}

/** Records a new container. Throws before anything is done, or leaves nothing. */
export function createContainer(engine: Engine, options: CreateOptions): Created {
  const { flags } = options;
  if (flags.name !== undefined) parseName(flags.name);
  const limits = checkResources(flags.hostConfig);
  const { ulimits, warnings } = checkUlimits(flags.hostConfig.Ulimits);
  const { CapAdd, CapDrop, IpcMode, PidMode } = flags.hostConfig;
  capabilitiesFromFlags(CapAdd ?? [], CapDrop ?? []);
  apparmorProfile(flags.hostConfig);
  containerLabels({ id: "", hostConfig: flags.hostConfig });
  const hostConfig = {
    ...limits.config,
    ...(options.secrets === undefined ? {} : { Secrets: options.secrets.mounts }),
    Ulimits: ulimits,
    NetworkMode: withId(engine, flags.hostConfig.NetworkMode),
    ...(flags.hostConfig.Links === undefined ? {} : { Links: resolveLinks(engine, flags.hostConfig.Links ?? []) }),
    ...(PidMode === undefined ? {} : { PidMode: withId(engine, PidMode) }),
    ...(IpcMode === undefined ? {} : { IpcMode: withId(engine, IpcMode) }),
  };
  const image = imageOf(engine, options);
  const id = options.id ?? generateId();
  const config = mergeConfig(image.config.config, flags.config, options.args, {
    image: options.image,
    hostname: defaultHostname(engine, id, hostConfig),
  });
  if ((config.Entrypoint?.length ?? 0) + (config.Cmd?.length ?? 0) === 0) {
    throw new CtrError("invalid", "No command specified");
  }
  if (config.WorkingDir !== "" && !config.WorkingDir.startsWith("/")) {
    throw new CtrError(
      "invalid",
      `the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`,
    );
  }
  const inherited = donors(engine, flags.hostConfig.VolumesFrom ?? []);
  const wanted = allMounts(flags, Object.keys(config.Volumes ?? {}), inherited);
  const record = transaction(engine.db, () => {
    // In the transaction: from here on a removal of the image leaves its layers to this container.
    lowerDirectories(engine, image.layers);
    const ids = reserveIds(engine, id, flags.userNamespace, hostConfig, wanted);
    return insertContainer(engine, {
      id,
      ...(flags.name === undefined ? {} : { name: flags.name }),
      imageId: image.id,
      image: options.image,
      createdAt: nowRfc3339(),
      config,
      hostConfig: { ...hostConfig, ...ids },
      layers: image.layers,
      runtime: { ...NEVER_RAN, ...keeperFields(options.keeper), mounts: mountPoints(engine, id, wanted, inherited) },
    });
  });
  makeReserve(engine.root);
  options.secrets?.keep(engine, record);
  if (options.id !== undefined) forgetStart(engine.state, options.id);
  return {
    record,
    warnings: [...platformWarnings(image, options), ...limits.warnings, ...warnings, ...warningsFor(hostConfig)],
  };
}

/** The image, for the platform asked for. Throws `not-found` with Docker's words. */
function imageOf(engine: Engine, options: CreateOptions): Image {
  const wanted = options.platform === undefined ? undefined : parsePlatform(options.platform);
  let image: Image;
  try {
    image = resolveImage(engine, options.image);
  } catch (error) {
    if (error instanceof CtrError && error.kind === "not-found")
      options.onImageMissing?.(shownName(options.image), "nothing");
    throw error;
  }
  if (wanted === undefined || platformRank(wanted, image.config) !== undefined) return image;
  const name = shownName(options.image);
  options.onImageMissing?.(name, "another platform");
  throw new CtrError(
    "not-found",
    `image with reference ${name} was found but does not match the specified platform: ` +
      `wanted ${formatPlatform(wanted)}, actual: ${formatPlatform(image.config)}`,
  );
}

function platformWarnings({ config }: Image, { platform }: CreateOptions): string[] {
  const host = hostPlatform();
  if (platform !== undefined || config.architecture === "" || platformRank(host, config) !== undefined) return [];
  return [
    `The requested image's platform (${formatPlatform(config)}) does not match the detected host platform ` +
      `(${formatPlatform(host)}) and no specific platform was requested`,
  ];
}

function shownName(text: string): string {
  try {
    return familiarReference(withDefaultTag(parseReference(text)));
  } catch (error) {
    // An id that is none of a name.
    if (error instanceof CtrError) return text;
    throw error;
  }
}

function warningsFor(hostConfig: HostConfig): string[] {
  const warnings: string[] = [];
  const publishes = Object.keys(hostConfig.PortBindings).length > 0 || hostConfig.PublishAllPorts;
  if (hostConfig.NetworkMode === "host" && publishes) {
    warnings.push("Published ports are discarded when using host network mode");
  }
  for (const address of hostConfig.Dns) {
    if (/^127\.|^::1$/.test(address)) warnings.push(`Localhost DNS (${address}) may fail in containers.`);
  }
  return warnings;
}

/** The first digits of the id; in the network of the host or of another container the name that is shared with it. */
function defaultHostname(engine: Engine, id: string, { NetworkMode, UTSMode }: HostConfig): string {
  if (NetworkMode === "host" || UTSMode === "host") return readText("/proc/sys/kernel/hostname").trim();
  const donor = NetworkMode.startsWith("container:") ? containerById(engine, NetworkMode.slice(10)) : undefined;
  return donor?.config.Hostname ?? id.slice(0, 12);
}

/** The containers of `--volumes-from`, in order. */
interface Donor {
  readonly mounts: readonly MountPoint[];
  readonly isReadonly: boolean;
}

function donors(engine: Engine, volumesFrom: readonly string[]): Donor[] {
  return volumesFrom.map((text) => {
    const colon = text.indexOf(":");
    const name = colon < 0 ? text : text.slice(0, colon);
    const mode = colon < 0 ? "rw" : text.slice(colon + 1);
    if (name === "") throw new CtrError("invalid", `malformed volumes-from specification: ${text}`);
    const words = mode.split(",");
    if (!words.every((word) => INHERITED_MODES.includes(word)) || (words.includes("ro") && words.includes("rw"))) {
      throw new CtrError("invalid", `invalid mode: ${mode}`);
    }
    return { mounts: findContainer(engine, name).runtime.mounts, isReadonly: words.includes("ro") };
  });
}

const INHERITED_MODES = ["ro", "rw", "z", "Z", "nocopy", ""];

/** What is mounted: of other containers what nothing of its own covers, the later container first; then its own. */
function mountPoints(
  engine: Engine,
  id: string,
  wanted: readonly WantedMount[],
  inherited: readonly Donor[],
): MountPoint[] {
  const covered = new Set(wanted.map((mount) => mount.destination));
  const from: MountPoint[] = [];
  for (const { mounts, isReadonly } of inherited.toReversed()) {
    const free = mounts.filter((mount) => !covered.has(mount.Destination));
    for (const mount of free) covered.add(mount.Destination);
    from.push(...inheritMounts(engine, id, free, isReadonly));
  }
  return [...from, ...reserveMounts(engine, id, wanted)];
}

/** The user's mounts, and an anonymous volume for each of the image's that nothing else covers. */
function allMounts(flags: FlagSpec, volumes: readonly string[], inherited: readonly Donor[]): WantedMount[] {
  const own = flags.mounts.filter((mount) => !isAnonymous(mount));
  const covered = new Set([
    ...own.map((mount) => mount.destination),
    ...Object.keys(flags.hostConfig.Tmpfs ?? {}),
    ...inherited.flatMap(({ mounts }) => mounts.map((mount) => mount.Destination)),
  ]);
  const driver = flags.hostConfig.VolumeDriver;
  const anonymous = volumes
    .map(parseImageVolume)
    .filter(({ destination }) => !covered.has(destination))
    .map((mount) =>
      driver === undefined || driver === "" ? mount : { ...mount, volume: { driver, options: {}, labels: {} } },
    );
  return [...own, ...anonymous];
}

/** The image's Config with the user's over it (moby daemon/commit.go `merge`). */
export function mergeConfig(
  image: RunConfig,
  user: UserConfig,
  args: readonly string[],
  defaults: { readonly image: string; readonly hostname: string },
): ContainerConfig {
  const exposed = [...Object.keys(image.ExposedPorts ?? {}), ...user.exposedPorts];
  const stopSignal = user.stopSignal ?? usableSignal(image.StopSignal);
  const stopTimeout = user.stopTimeout ?? image.StopTimeout;
  const healthcheck = mergeHealthcheck(image.Healthcheck, user.healthcheck);
  const volumes = [...new Set([...Object.keys(image.Volumes ?? {}), ...(user.volumes ?? [])])];
  return {
    Hostname: user.hostname ?? defaults.hostname,
    Domainname: user.domainname,
    User: user.user ?? image.User ?? "",
    AttachStdin: user.streams.stdin,
    AttachStdout: user.streams.stdout,
    AttachStderr: user.streams.stderr,
    ...(exposed.length === 0 ? {} : { ExposedPorts: Object.fromEntries(exposed.map((port) => [port, {}])) }),
    Tty: user.isTty,
    OpenStdin: user.isStdinOpen,
    StdinOnce: user.isStdinOpen && user.streams.stdin,
    Env: mergeEnv(image.Env ?? [], user.env),
    ...command(image, user.entrypoint, args),
    Image: defaults.image,
    Volumes: volumes.length === 0 ? null : Object.fromEntries(volumes.map((path) => [path, {}])),
    WorkingDir: user.workingDirectory ?? image.WorkingDir ?? "",
    Labels: { ...image.Labels, ...user.labels },
    ...(stopSignal === undefined ? {} : { StopSignal: stopSignal }),
    ...(stopTimeout === undefined ? {} : { StopTimeout: stopTimeout }),
    ...(user.macAddress === undefined ? {} : { MacAddress: user.macAddress }),
    ...(healthcheck === undefined ? {} : { Healthcheck: healthcheck }),
    ...(image.Shell === undefined ? {} : { Shell: image.Shell }),
  };
}

/** Arguments replace CMD; an entrypoint of the user's drops the image's CMD too; an empty one clears both. */
function command(
  image: RunConfig,
  entrypoint: readonly string[] | undefined,
  args: readonly string[],
): Pick<ContainerConfig, "Cmd" | "Entrypoint"> {
  const given = args.length === 0 ? null : args;
  if (entrypoint === undefined) {
    return { Cmd: given ?? nullIfEmpty(image.Cmd), Entrypoint: nullIfEmpty(image.Entrypoint) };
  }
  return { Cmd: given, Entrypoint: entrypoint[0] === "" ? null : entrypoint };
}

function nullIfEmpty(list: readonly string[] | undefined): readonly string[] | null {
  return list === undefined || list.length === 0 ? null : list;
}

/** An image's nonsense means the default. */
function usableSignal(signal: string | undefined): string | undefined {
  return signal !== undefined && signalNumber(signal) !== undefined ? signal : undefined;
}
