/**
 * Classes of service of caches and memory bandwidth, and their monitors: directories of the resctrl file system that a
 * container's processes are in (runtime-spec config-linux.md#intelrdt, kernel Documentation/filesystems/resctrl.rst).
 */
import { CtrError, ENOENT, ENOSPC, isErrno, withContext } from "../errors/error.ts";
import type { IntelRdt } from "../spec/runtime.ts";
import { AT_FDCWD, AT_REMOVEDIR } from "../sys/fd.ts";
import { exists, mkdirat, readText, unlinkat, writeInto } from "../sys/file.ts";
import { schemataLines, unlike } from "./schemata.ts";

/** Where a container is, and what of it goes with it. Kept until it is deleted. */
export interface ResctrlPlace {
  /** Where the file system is mounted. */
  readonly root: string;
  /** Its class of service. */
  readonly group: string;
  /** The class was not there before. */
  readonly isNew: boolean;
  /** It has no name of its own, so it is this container's alone. */
  readonly isOwn: boolean;
  /** Its monitor, a group inside of that. */
  readonly monitor?: string;
}

const ROOT_CLASS = "/";
/** Directories of the file system that are no classes. */
const RESERVED = new Set(["info", "mon_data", "mon_groups"]);

/** Where resctrl is mounted. Throws `unsupported` where it is not. */
export function resctrlRoot(mountinfo = readText("/proc/self/mountinfo", 16 << 20)): string {
  const line = mountinfo.split("\n").find((text) => / - resctrl /.test(text));
  const place = line?.split(" ")[4];
  if (place !== undefined)
    return place.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  throw new CtrError("unsupported", "linux.intelRdt: no resctrl file system is mounted on this machine");
}

/** What is wrong with it whatever the machine has. Throws `invalid`. */
export function checkIntelRdt(rdt: IntelRdt): void {
  const { closID = "" } = rdt;
  if (closID !== ROOT_CLASS && (closID === "." || closID === ".." || closID.includes("/") || RESERVED.has(closID)))
    throw new CtrError("invalid", `linux.intelRdt.closID: ${JSON.stringify(closID)} names no class of service`);
  schemataLines(rdt);
}

/** Makes a directory; the kernel fills it. Another in tests, where a plain directory stands in for the file system. */
type MakeGroup = (path: string) => void;

/** Where a container is to be. Nothing is made yet, so that it can be written down before. Throws for what cannot be had. */
export function planPlace(root: string, id: string, rdt: IntelRdt): ResctrlPlace {
  checkIntelRdt(rdt);
  const { closID = "" } = rdt;
  const group = closID === ROOT_CLASS ? root : `${root}/${closID === "" ? id : closID}`;
  const isNew = !exists(AT_FDCWD, group);
  if (closID !== "" && isNew && schemataLines(rdt).length === 0)
    throw new CtrError("not-found", `linux.intelRdt.closID: there is no class of service ${closID}`);
  if (closID !== "" && !isNew) compare(group, closID, rdt);
  const place = { root, group, isNew, isOwn: closID === "" };
  return wantsMonitor(root, rdt) ? { ...place, monitor: `${group}/mon_groups/${id}` } : place;
}

/** Makes what is missing of it. The caller takes it back with `leavePlace` when this fails. */
export function makePlace(
  { root, group, isNew, monitor }: ResctrlPlace,
  rdt: IntelRdt,
  make: MakeGroup = makeGroup,
): void {
  if (isNew) makeOne(group, make, "class of service");
  for (const line of schemataLines(rdt)) write(root, `${group}/schemata`, `${line}\n`);
  if (monitor !== undefined) makeOne(monitor, make, "monitor");
}

/** Puts a process in: the thread with this number, and what it starts from then on. */
export function enterPlace({ group, monitor }: ResctrlPlace, pid: number): void {
  for (const directory of monitor === undefined ? [group] : [group, monitor])
    writeInto(`${directory}/tasks`, `${pid}\n`);
}

/**
 * Removes what was made for the container; what is gone already is no failure. A class with a name stays, as others may be
 * in it by now, unless the container that it was made for has not come to be.
 */
export function leavePlace({ group, isNew, isOwn, monitor }: ResctrlPlace, hasFailed = false): void {
  if (monitor !== undefined) removeGroup(monitor);
  if (isNew && (isOwn || hasFailed)) removeGroup(group);
}

/** Other limits for a container's class. */
export function updatePlace({ root, group }: ResctrlPlace, rdt: IntelRdt): void {
  for (const line of schemataLines(rdt)) write(root, `${group}/schemata`, `${line}\n`);
}

/** A class that was there keeps what it has: it is others' too. */
function compare(group: string, closID: string, rdt: IntelRdt): void {
  const { l3CacheSchema = "", memBwSchema = "" } = rdt;
  if (l3CacheSchema === "" && memBwSchema === "") return;
  const other = unlike(schemataLines({ l3CacheSchema, memBwSchema }), readText(`${group}/schemata`));
  if (other.length === 0) return;
  throw new CtrError("conflict", `linux.intelRdt: the class of service ${closID} has another ${other.join(", ")}`);
}

/** The monitor of 1.3, or one of the two that 1.1 and 1.2 could ask for: then there must be what it is to count. */
function wantsMonitor(
  root: string,
  { enableMonitoring = false, enableCMT = false, enableMBM = false }: IntelRdt,
): boolean {
  const asked = [
    ...(enableCMT ? [["enableCMT", "llc_occupancy"]] : []),
    ...(enableMBM ? [["enableMBM", "mbm_total_bytes"]] : []),
  ];
  const features = asked.length === 0 ? [] : optionalText(`${root}/info/L3_MON/mon_features`).split("\n");
  for (const [field = "", feature = ""] of asked) {
    if (!features.includes(feature))
      throw new CtrError("unsupported", `linux.intelRdt.${field}: this machine does not count ${feature}`);
  }
  return enableMonitoring || asked.length > 0;
}

/** The text of a file of the file system; "" where the machine has not what it tells of. */
export function optionalText(path: string): string {
  try {
    return readText(path).trim();
  } catch (error) {
    if (isErrno(error, ENOENT)) return "";
    throw error;
  }
}

function makeGroup(path: string): void {
  mkdirat(AT_FDCWD, path, 0o755);
}

function makeOne(path: string, make: MakeGroup, what: string): void {
  try {
    make(path);
  } catch (error) {
    if (isErrno(error, ENOSPC))
      throw new CtrError("unavailable", `linux.intelRdt: this machine has no further ${what}`, { cause: error });
    throw withContext(`linux.intelRdt: make the ${what}`, error);
  }
}

function removeGroup(path: string): void {
  try {
    unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
  } catch (error) {
    if (!isErrno(error, ENOENT)) throw error;
  }
}

/** Says with the kernel's own words why a write was refused. */
function write(root: string, path: string, text: string): void {
  try {
    writeInto(path, text);
  } catch (error) {
    const words = optionalText(`${root}/info/last_cmd_status`);
    const why = words === "" || words === "ok" ? "" : ` (${words})`;
    throw withContext(`linux.intelRdt: write ${JSON.stringify(text.trim())}${why}`, error);
  }
}
