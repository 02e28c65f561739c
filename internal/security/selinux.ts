/**
 * SELinux labels of a container (selinux(8)): what `--security-opt label=…` may say, and the labels that come of it where
 * the host has SELinux and its policy knows containers (`lxc_contexts`, of the container-selinux package).
 */
import { CtrError, ENOENT, isErrno } from "../errors/error.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { exists, readText } from "../sys/file.ts";

/** The labels of the container's processes and of its files. */
export interface SelinuxLabels {
  readonly process: string;
  readonly file: string;
}

/** True where the kernel has SELinux and a policy is loaded. */
export function hasSelinux(): boolean {
  return exists(AT_FDCWD, "/sys/fs/selinux/enforce");
}

/** The policy's own labels for containers; undefined where it has none. */
export function containerContexts(): SelinuxLabels | undefined {
  const type = /^\s*SELINUXTYPE\s*=\s*([\w-]+)\s*$/m.exec(readIfThere("/etc/selinux/config"))?.[1] ?? "targeted";
  return parseContexts(readIfThere(`/etc/selinux/${type}/contexts/lxc_contexts`));
}

function readIfThere(path: string): string {
  try {
    return readText(path);
  } catch (error) {
    if (isErrno(error, ENOENT)) return "";
    throw error;
  }
}

/** The lines `process = "…"` and `file = "…"`; undefined unless both are there and have four parts. */
export function parseContexts(text: string): SelinuxLabels | undefined {
  const value = (key: string) => new RegExp(`^\\s*${key}\\s*=\\s*"([^"]+)"`, "m").exec(text)?.[1];
  const [process, file] = [value("process"), value("file")];
  if (process === undefined || file === undefined) return undefined;
  return [process, file].every((label) => label.split(":").length >= 4) ? { process, file } : undefined;
}

const PARTS = ["user", "role", "type", "level", "filetype"];

/** Throws `invalid`, in Docker's words, for what `label=` cannot be. */
export function checkLabelOption(option: string): void {
  if (option === "disable") return;
  const colon = option.indexOf(":");
  const known = "'disable, user, role, level, type, filetype'";
  if (colon < 0) {
    throw new CtrError(
      "invalid",
      `bad label option "${option}", valid options 'disable' or 'user, role, level, type, filetype' followed by ':' and a value`,
    );
  }
  if (!PARTS.includes(option.slice(0, colon)))
    throw new CtrError("invalid", `bad label option "${option.slice(0, colon)}", valid options ${known}`);
  if (!/^[\w.:,-]+$/.test(option.slice(colon + 1)))
    throw new CtrError("invalid", `bad label option "${option}": not a part of a label`);
}

/**
 * The labels that these options make of the policy's; undefined with `disable`. Without `level:` a container has a pair of
 * categories that its id decides, so that containers are closed to each other and a restart finds its files.
 */
export function selinuxLabels(
  options: readonly string[],
  contexts: SelinuxLabels,
  id: string,
): SelinuxLabels | undefined {
  if (options.includes("disable")) return undefined;
  const level = `s0:${categories(id)}`;
  const process = parts(contexts.process, level);
  const file = parts(contexts.file, level);
  for (const option of options) {
    const colon = option.indexOf(":");
    const [part, value] = [option.slice(0, colon), option.slice(colon + 1)];
    if (part === "filetype") file.type = value;
    else if (part === "user" || part === "level") process[part] = file[part] = value;
    else if (part === "role" || part === "type") process[part] = value;
  }
  return { process: text(process), file: text(file) };
}

interface Parts {
  user: string;
  role: string;
  type: string;
  level: string;
}

/** A label has four parts, of which the last may have colons. */
function parts(label: string, level: string): Parts {
  const [user = "", role = "", type = ""] = label.split(":");
  return { user, role, type, level };
}

function text({ user, role, type, level }: Parts): string {
  return `${user}:${role}:${type}:${level}`;
}

const CATEGORIES = 1024;

/** Two of the 1024 categories, the lower first: `c17,c900`. */
function categories(id: string): string {
  const one = Number.parseInt(id.slice(0, 8), 16) % CATEGORIES;
  const step = 1 + (Number.parseInt(id.slice(8, 16), 16) % (CATEGORIES - 1));
  const other = (one + step) % CATEGORIES;
  return `c${Math.min(one, other)},c${Math.max(one, other)}`;
}
