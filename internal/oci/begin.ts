/**
 * The first half of `create` and `run`: init is born as soon as the configuration says in which namespaces, and starts
 * while the rest of this command is loaded and checks what it is to be told. What is loaded here is loaded before that.
 */
import { entranceOf, makeUsualPlaces, type Place, removePlaces } from "../cgroups/birth.ts";
import { initStart } from "../runtime/waiting-init.ts";
import type { Namespace } from "../spec/runtime.ts";
import type { Fd } from "../sys/fd.ts";
import { processStartTime } from "../sys/process.ts";
import { startRole } from "../sys/spawn.ts";
import { inBundle, plainCgroupsPath, readConfigFile } from "./config-file.ts";
import { type ContainerDirectory, makeContainer, type OciContainer } from "./container.ts";
import type { CreateOptions } from "./create.ts";
import { listenAt } from "./start-socket.ts";

/** What there is of a container before its configuration is checked. */
export interface Begun {
  /** The document in the bundle. */
  readonly config: unknown;
  /** Absent where more must be known before an init can be born. */
  readonly early?: EarlyInit;
}

/** An init that waits for its spec, and what was made for it. */
export interface EarlyInit {
  readonly directory: ContainerDirectory;
  /** As it was written. */
  readonly container: OciContainer;
  readonly places: readonly Place[];
  readonly pidfd: Fd;
  readonly pid: number;
  /** What it runs from; to be closed when there is time. */
  readonly executable: Fd;
  /** Our end of the conversation. */
  readonly control: Fd;
}

/** Reads the configuration, and starts an init for it where that can be done already; `mayHold` is for `create`. */
export function begin(options: CreateOptions, mayHold: boolean): Begun {
  const config = readConfigFile(options.bundle);
  const needsMore = options.usesSystemd || options.notifySocket !== undefined;
  const outline = needsMore ? undefined : outlineOf(config);
  return outline === undefined ? { config } : { config, early: startInit(options, outline, mayHold) };
}

/** What init's birth depends on. */
interface Outline {
  readonly ociVersion: string;
  readonly rootfs: string;
  readonly annotations: OciContainer["annotations"];
  readonly cgroupsPath: string | undefined;
  readonly namespaces: readonly Namespace[];
}

/** Undefined for a configuration that wants more to be done first, or that may be none: then that is looked at first. */
function outlineOf(config: unknown): Outline | undefined {
  const { ociVersion, root, annotations = {}, linux, mounts = [] } = fieldsOf(config);
  const { path: rootfs } = fieldsOf(root);
  const { cgroupsPath, namespaces = [], resources = {}, intelRdt } = fieldsOf(linux);
  if (typeof ociVersion !== "string" || typeof rootfs !== "string" || !isText(cgroupsPath)) return undefined;
  if (!areTexts(annotations)) return undefined;
  if (!Array.isArray(namespaces) || !namespaces.every(isPlainNamespace)) return undefined;
  if (!Array.isArray(mounts) || mounts.some(mayMapIds)) return undefined;
  if (intelRdt !== undefined || !isOfUsualPlaces(resources)) return undefined;
  return { ociVersion, rootfs, annotations, cgroupsPath, namespaces };
}

interface Fields {
  readonly [name: string]: unknown;
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function isText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === "string";
}

function areTexts(value: unknown): value is { readonly [key: string]: string } {
  const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
  return isMap && Object.values(value).every((text) => typeof text === "string");
}

const PLAIN_NAMESPACES = ["mount", "pid", "network", "ipc", "uts", "cgroup"];

/** One that init is born in or joins; what is to be in a user namespace is prepared outside before. */
function isPlainNamespace(value: unknown): value is Namespace {
  const { type, path } = fieldsOf(value);
  return typeof type === "string" && PLAIN_NAMESPACES.includes(type) && isText(path);
}

/** Such a mount is made outside before init is born. */
function mayMapIds(mount: unknown): boolean {
  const { options, uidMappings, gidMappings } = fieldsOf(mount);
  const isAsked = Array.isArray(options) && options.some((word) => word === "idmap" || word === "ridmap");
  return isAsked || uidMappings !== undefined || gidMappings !== undefined;
}

/** True if the limits need no more of cgroup v1 than every container has: a process is born there, moving it takes long. */
function isOfUsualPlaces(resources: unknown): boolean {
  const { cpu, hugepageLimits, network, rdma } = fieldsOf(resources);
  const { cpus = "", mems = "" } = fieldsOf(cpu);
  const hasRare = [hugepageLimits, network, rdma].some((value) => value !== undefined);
  return cpus === "" && mems === "" && !hasRare;
}

function startInit(options: CreateOptions, outline: Outline, mayHold: boolean): EarlyInit {
  const { id, root, bundle, stdio, preserved, noPivot } = options;
  using undo = new DisposableStack();
  const directory = undo.use(makeContainer(root, id));
  const container: OciContainer = {
    id,
    ociVersion: outline.ociVersion,
    bundle,
    rootfs: inBundle(bundle, outline.rootfs),
    created: new Date().toISOString(),
    annotations: outline.annotations,
    uid: process.geteuid?.() ?? 0,
    cgroup: plainCgroupsPath(outline.cgroupsPath, id),
    creator: { pid: process.pid, startTime: processStartTime(process.pid) ?? 0 },
  };
  // Before anything is made, so that all of it can be found again.
  undo.defer(() => directory.remove());
  directory.write(container);
  using listener = mayHold ? listenAt(directory.startSocket) : undefined;
  const places = makeUsualPlaces(container.cgroup);
  undo.defer(() => removePlaces(places));
  using entrance = entranceOf(places);
  const extras = { preserved, noPivot, isSpecKnown: true };
  const held = listener === undefined ? extras : { ...extras, listener: listener.number };
  using init = initStart(outline.namespaces, entrance, stdio, held);
  undo.use(init.control);
  const { role, args, options: spawn } = init.start;
  const born = startRole(role, args, {}, spawn);
  undo.move();
  return { directory, container, places, control: init.control, ...born };
}
