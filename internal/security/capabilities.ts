/** Capabilities: names and numbers (linux/capability.h, capabilities(7)), Docker's default set, and its flags. */
import { CtrError } from "../errors/error.ts";
import { readText } from "../sys/file.ts";

/** The name of each capability at its number; the last is of kernel 5.9. */
export const CAPABILITIES: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_LINUX_IMMUTABLE",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_BROADCAST",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_IPC_LOCK",
  "CAP_IPC_OWNER",
  "CAP_SYS_MODULE",
  "CAP_SYS_RAWIO",
  "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE",
  "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN",
  "CAP_SYS_BOOT",
  "CAP_SYS_NICE",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_MKNOD",
  "CAP_LEASE",
  "CAP_AUDIT_WRITE",
  "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP",
  "CAP_MAC_OVERRIDE",
  "CAP_MAC_ADMIN",
  "CAP_SYSLOG",
  "CAP_WAKE_ALARM",
  "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ",
  "CAP_PERFMON",
  "CAP_BPF",
  "CAP_CHECKPOINT_RESTORE",
];

/** Docker's default set, in its order. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

const ALL = "ALL";

/**
 * The capabilities that `--cap-add` and `--cap-drop` leave, by Docker's rules: with ALL added everything but what is
 * dropped; with ALL dropped only what is added; otherwise the default set with both applied. Throws `invalid`.
 */
export function capabilitiesFromFlags(add: readonly string[], drop: readonly string[]): readonly string[] {
  const added = add.map((word) => normalName(word, "CapAdd"));
  const dropped = drop.map((word) => normalName(word, "CapDrop"));
  if (added.includes(ALL)) return known().filter((name) => !dropped.includes(name));
  if (dropped.includes(ALL)) return unique(added);
  return unique([...DEFAULT_CAPABILITIES.filter((name) => !dropped.includes(name)), ...added]);
}

/** Every capability that this kernel knows: what `--privileged` gives. */
export function allCapabilities(): readonly string[] {
  return known();
}

function unique(names: readonly string[]): readonly string[] {
  return [...new Set(names)];
}

/** The words of a flag as Docker's HostConfig has them: full names in order, each once. None is checked. */
export function fullNames(words: readonly string[]): readonly string[] {
  return unique(words.map(fullName)).toSorted();
}

/** `net_admin` or `CAP_NET_ADMIN` as `CAP_NET_ADMIN`; `all` as `ALL`. */
function fullName(word: string): string {
  const upper = word.toUpperCase();
  return upper === ALL || upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
}

/** The full name of one that this kernel has. */
function normalName(word: string, flag: "CapAdd" | "CapDrop"): string {
  const name = fullName(word);
  if (name === ALL) return ALL;
  if (!CAPABILITIES.includes(name)) throw new CtrError("invalid", `invalid ${flag}: unknown capability: "${name}"`);
  if (!known().includes(name)) {
    throw new CtrError(
      "unsupported",
      `invalid ${flag}: capability not supported by your kernel or not available in the current environment: "${name}"`,
    );
  }
  return name;
}

let knownHere: readonly string[] | undefined;

/** What this kernel knows (proc(5), cap_last_cap); the file is not there in a very bare /proc, and then all of ours. */
function known(): readonly string[] {
  knownHere ??= CAPABILITIES.slice(0, lastCapability() + 1);
  return knownHere;
}

function lastCapability(): number {
  try {
    return Number(readText("/proc/sys/kernel/cap_last_cap"));
  } catch (error) {
    if (error instanceof CtrError && error.kind === "not-found") return CAPABILITIES.length - 1;
    throw error;
  }
}

/** Bit n is capability n. Throws `invalid` for a name nobody knows; an absent set is empty. */
export function capabilityMask(names: readonly string[] = []): bigint {
  let mask = 0n;
  for (const name of names) {
    const bit = CAPABILITIES.indexOf(name);
    if (bit < 0) throw new CtrError("invalid", `unknown capability: "${name}"`);
    mask |= 1n << BigInt(bit);
  }
  return mask;
}

/** The names in a mask, by number. */
export function capabilityNames(mask: bigint): readonly string[] {
  return CAPABILITIES.filter((_, bit) => ((mask >> BigInt(bit)) & 1n) === 1n);
}
