/**
 * From a recorded container to the runtime-spec that init executes: built anew at every start, because addresses,
 * layers' places and the other container's pid may have changed.
 */

import type { Engine } from "../db/engine.ts";
import { DEFAULT_SYSCTLS, MASKED_PATHS, READONLY_PATHS, thermalThrottlePaths } from "../security/paths.ts";
import type { IdMapping, Linux, Spec } from "../spec/runtime.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists } from "../sys/file.ts";
import { checkPropagation } from "../volume/propagation.ts";
import { makeSources } from "../volume/store.ts";
import { specCgroupsPath } from "./cgroup-place.ts";
import { annotationsOf } from "./confinement.ts";
import { hostDevices, mappedDevices } from "./devices.ts";
import { writeEtcFiles } from "./etc-files.ts";
import { idMapsOf } from "./id-maps.ts";
import { containerLabels, prepareLabels } from "./labels.ts";
import { linkEnvironment } from "./links.ts";
import type { ContainerRecord, HostConfig } from "./record.ts";
import { resourcesOf } from "./resources.ts";
import { type Donors, donorsOf, namespacesOf } from "./shared-namespaces.ts";
import { mappedRoot, mountsOf, rootOf } from "./spec-mounts.ts";
import { mainProcess, OCI_VERSION, type StartContext } from "./spec-process.ts";

/**
 * The runtime-spec of a start. Makes what it names and what is not there yet: the writable layer, the files of /etc,
 * the directories of volumes and binds.
 */
export function runtimeSpec(engine: Engine, record: ContainerRecord, context: StartContext = {}): Spec {
  const { config, hostConfig } = record;
  const donors = donorsOf(engine, record);
  const donor = donors.network;
  const hostname = donor?.config.Hostname ?? config.Hostname;
  const { place, root } = rootOf(engine, record, true);
  const isMapped = hostConfig.IDMappings !== undefined;
  if (donor === undefined) writeEtcFiles(engine.root, record, hostname);
  makeSources(engine, record.runtime.mounts);
  checkPropagation(record.runtime.mounts);
  return {
    ociVersion: OCI_VERSION,
    process: mainProcess(record, hostname, context, linkVariables(engine, record)),
    root: { path: place, readonly: hostConfig.ReadonlyRootfs },
    ...(hostConfig.UTSMode === "host" ? {} : { hostname }),
    ...(config.Domainname === "" ? {} : { domainname: config.Domainname }),
    mounts: [...mappedRoot(place, root, isMapped), ...mountsOf(engine, record, donors)],
    annotations: annotationsOf(record),
    linux: linuxOf(record, donors),
  };
}

/** `runtimeSpec` for a start: what it names is also loaded and looked up. */
export async function startSpec(engine: Engine, record: ContainerRecord, context: StartContext = {}): Promise<Spec> {
  const ready = await withServers(record);
  await prepareLabels(record);
  const spec = runtimeSpec(engine, ready, context);
  if ((record.hostConfig.Secrets ?? []).length === 0) return spec;
  const { secretFiles } = await import("./secrets.ts");
  return { ...spec, secrets: secretFiles(engine, record) };
}

/** The record for `runtimeSpec`, with the servers of its volumes by number. Throws `unavailable` for one nobody knows. */
export async function withServers(record: ContainerRecord): Promise<ContainerRecord> {
  if (record.runtime.mounts.every(({ options }) => options === undefined)) return record;
  const { withAddresses } = await import("../volume/addresses.ts");
  return { ...record, runtime: { ...record.runtime, mounts: await withAddresses(record.runtime.mounts) } };
}

function linkVariables(engine: Engine, record: ContainerRecord): readonly string[] {
  return (record.hostConfig.Links ?? []).length === 0 ? [] : linkEnvironment(engine, record);
}

function linuxOf(record: ContainerRecord, donors: Donors): Linux {
  const { hostConfig } = record;
  const hasOwnNetwork = donors.network === undefined && hostConfig.NetworkMode !== "host";
  const isHidden = hostConfig.AreSystemPathsHidden;
  const maps = idMapsOf(hostConfig);
  return {
    namespaces: namespacesOf(record, donors),
    ...(maps === undefined ? {} : { uidMappings: maps.uids, gidMappings: maps.gids }),
    cgroupsPath: specCgroupsPath(record),
    resources: resourcesOf(hostConfig),
    sysctl: { ...(hasOwnNetwork ? networkSysctls(maps?.gids) : {}), ...hostConfig.Sysctls },
    ...(isHidden ? { maskedPaths: [...MASKED_PATHS, ...thermalPaths()], readonlyPaths: READONLY_PATHS } : {}),
    ...devicesOf(hostConfig),
    ...mountLabelOf(record),
  };
}

function mountLabelOf(record: ContainerRecord): Pick<Linux, "mountLabel"> {
  const labels = containerLabels(record);
  return labels === undefined ? {} : { mountLabel: labels.file };
}

/** Groups that are not mapped cannot be named: of several runs the first is let send pings. */
function networkSysctls(gids: readonly IdMapping[] | undefined): { readonly [name: string]: string } {
  const first = gids?.find(({ containerID }) => containerID === 0);
  if (first === undefined) return DEFAULT_SYSCTLS;
  return { ...DEFAULT_SYSCTLS, "net.ipv4.ping_group_range": `0 ${first.size - 1}` };
}

function devicesOf({ Privileged, Devices = [] }: HostConfig): Pick<Linux, "devices"> {
  if (!Privileged) return Devices.length === 0 ? {} : { devices: mappedDevices(Devices).devices };
  const mapped = mappedDevices(Devices.filter(({ PathOnHost, PathInContainer }) => PathOnHost !== PathInContainer));
  return { devices: [...hostDevices(), ...mapped.devices] };
}

function thermalPaths(): readonly string[] {
  const paths = thermalThrottlePaths(navigator.hardwareConcurrency);
  return paths[0] !== undefined && exists(AT_FDCWD, paths[0]) ? paths : [];
}
