/** `--security-opt`: what HostConfig keeps of it. */
import { CtrError } from "../errors/error.ts";
import { checkLabelOption } from "../security/selinux.ts";
import { readNamedFile } from "./env-flags.ts";
import { OptionError } from "./option-error.ts";

export interface SecurityOptions {
  readonly options: readonly string[];
  readonly areSystemPathsShown: boolean;
}

/** Reads them. Throws OptionError, or `invalid` for what the engine refuses. */
export function securityOptions(given: readonly string[]): SecurityOptions {
  const options: string[] = [];
  let areSystemPathsShown = false;
  for (const text of given) {
    // `no-new-privileges:true` is the older way to write it.
    const option = text.includes("=") ? text : text.replace(":", "=");
    const [key = "", value] = option.split("=", 2);
    if (option === "systempaths=unconfined") areSystemPathsShown = true;
    else if (key === "label" && value !== undefined) options.push(`label=${labelOption(option)}`);
    else if (key === "no-new-privileges" && value !== undefined && TRUE.test(value)) options.push(`${key}=true`);
    else if (isKnown(key, value)) options.push(option);
    else if (value === undefined || value === "")
      throw new OptionError(`Invalid --security-opt: ${JSON.stringify(text)}`);
    else if (key === "seccomp") options.push(`seccomp=${readSeccompProfile(option.slice("seccomp=".length))}`);
    else throw new CtrError("invalid", `invalid --security-opt 2: ${JSON.stringify(text)}`);
  }
  return { options, areSystemPathsShown };
}

/** What follows `label=`. */
function labelOption(option: string): string {
  const given = option.slice("label=".length);
  checkLabelOption(given);
  return given;
}

/** The profile in a file as HostConfig keeps it, on one line, every digit as it was. What it says is looked at later. */
function readSeccompProfile(path: string): string {
  const text = new TextDecoder().decode(readNamedFile(path, `opening seccomp profile (${path}) failed`));
  let profile: unknown;
  try {
    profile = JSON.parse(text);
  } catch (error) {
    throw new OptionError(
      `compacting json for seccomp profile (${path}) failed: ${error instanceof Error ? error.message : error}`,
    );
  }
  if (typeof profile !== "object" || profile === null || Array.isArray(profile)) {
    throw new OptionError(`seccomp profile (${path}): not a JSON object`);
  }
  return text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, "$1");
}

/** What Go's strconv.ParseBool takes for true. */
const TRUE = /^(1|[tT]|true|True|TRUE)$/;

function isKnown(key: string, value: string | undefined): boolean {
  switch (key) {
    case "no-new-privileges":
      return value === undefined || TRUE.test(value) || /^(0|[fF]|false|False|FALSE)$/.test(value);
    case "seccomp":
      return value === "unconfined" || value === "builtin";
    case "apparmor":
      return value !== undefined && /^[^\s\x00-\x1f\x7f]+$/.test(value);
    default:
      return false;
  }
}
