/** A bundle's configuration, as this runtime carries it out (runtime-spec bundle.md, config.md). */
import { CtrError } from "../errors/error.ts";
import { DEFAULT_DEVICE_RULES } from "../security/paths.ts";
import { parseSpec } from "../spec/parse-spec.ts";
import type { Linux, Mount, Namespace, Resources, Spec } from "../spec/runtime.ts";
import { documentOf, inBundle, plainCgroupsPath } from "./config-file.ts";
import { isSameFile } from "./same-file.ts";

/** What the parts of a bundle mean on this machine. */
export interface BundleOptions {
  /** cgroupsPath is systemd's `slice:prefix:name`. */
  readonly usesSystemd: boolean;
}

/** What the document in a bundle (an absolute path) means. Throws `invalid` naming the field that is wrong. */
export function bundleSpec(config: unknown, bundle: string, id: string, options: BundleOptions): Spec {
  const spec = specOf(config);
  const root = { ...spec.root, path: inBundle(bundle, spec.root.path) };
  return { ...spec, root, ...withBundle(bundle, id, spec, options) };
}

/** The text of a `config.json` as a spec. */
export function parseConfig(text: string): Spec {
  return specOf(documentOf(text));
}

function specOf(value: unknown): Spec {
  const spec = parseSpec(withProcess(value));
  // runc's words.
  if (spec.process.args.length === 0 && !isWithoutProcess(value))
    throw new CtrError("invalid", "process args cannot be empty");
  return spec;
}

/** config.md#process: a container may be made without a program, but not started. */
const NOTHING = { user: { uid: 0, gid: 0 }, args: [], cwd: "/" };

function isWithoutProcess(value: unknown): boolean {
  return typeof value === "object" && value !== null && (!("process" in value) || value.process === null);
}

function withProcess(value: unknown): unknown {
  return isWithoutProcess(value) ? Object.assign({}, value, { process: NOTHING }) : value;
}

function withBundle(bundle: string, id: string, spec: Spec, { usesSystemd }: BundleOptions): Partial<Spec> {
  const { linux = {}, mounts } = spec;
  const cgroupsPath = usesSystemd ? systemdPath(linux.cgroupsPath, id) : plainCgroupsPath(linux.cgroupsPath, id);
  const resources = linux.resources === undefined ? {} : { resources: withUsualDevices(linux.resources) };
  return {
    linux: { ...linux, ...withoutOwnUser(linux), cgroupsPath, ...resources },
    ...(mounts === undefined ? {} : { mounts: mounts.map((mount) => withSource(bundle, mount)) }),
  };
}

/** A user namespace that is joined and is ours already is none: nobody can join his own (setns(2)). */
function withoutOwnUser({ namespaces }: Linux): Pick<Linux, "namespaces"> {
  const isOwn = ({ type, path }: Namespace) => type === "user" && path !== undefined && isSameFile(path, OWN_USER);
  return namespaces?.some(isOwn) === true ? { namespaces: namespaces.filter((one) => !isOwn(one)) } : {};
}

const OWN_USER = "/proc/self/ns/user";

function systemdPath(path: string | undefined, id: string): string {
  if (path === undefined || path === "") return `system.slice:ctr:${id}`;
  if (path.split(":").length === 3) return path;
  throw new CtrError(
    "invalid",
    `expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got ${JSON.stringify(path)} instead`,
  );
}

/** config.md#mounts: a bind's source is relative to the bundle. */
function withSource(bundle: string, mount: Mount): Mount {
  const { source, options = [], type } = mount;
  const isBind = type === "bind" || options.includes("bind") || options.includes("rbind");
  if (!isBind || source === undefined || source.startsWith("/")) return mount;
  return { ...mount, source: inBundle(bundle, source) };
}

/** What a container may use whatever its list says, as with runc: all but the first rule, which takes everything. */
const USUAL_DEVICES = DEFAULT_DEVICE_RULES.slice(1);

function withUsualDevices(resources: Resources): Resources {
  if (resources.devices === undefined || resources.devices.length === 0) return resources;
  return { ...resources, devices: [...resources.devices, ...USUAL_DEVICES] };
}
