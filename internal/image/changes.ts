/** `commit -c` and `import -c`: the Dockerfile instructions that only change the configuration. */
import { CtrError } from "../errors/error.ts";
import type { Healthcheck, RunConfig } from "./config.ts";
import { durationFault, parseGoDuration } from "./go-duration.ts";
import { expandWord, splitWords } from "./shell-word.ts";

type Draft = { -readonly [Key in keyof RunConfig]: RunConfig[Key] };
type Instruction = (draft: Draft, rest: string) => void;

/** Applies instructions in order. Throws CtrError `invalid` with Docker's words for what is not one of the ten. */
export function applyChanges(config: RunConfig, changes: readonly string[]): RunConfig {
  const draft: Draft = { ...config };
  let isCmdSet = false;
  for (const line of logicalLines(changes)) {
    const match = /^(\S+)(?:\s+(.*))?$/s.exec(line);
    const [name = "", rest = ""] = [match?.[1], match?.[2]];
    const keyword = name.toUpperCase();
    const instruction = INSTRUCTIONS.get(keyword);
    if (instruction === undefined) throw new CtrError("invalid", `${name} is not a valid change command`);
    if (rest.trim() === "") throw new CtrError("invalid", `${keyword} requires at least one argument`);
    instruction(draft, rest.trim());
    isCmdSet ||= keyword === "CMD";
    // A new entrypoint makes the old command meaningless, unless it came with one.
    if (keyword === "ENTRYPOINT" && !isCmdSet) delete draft.Cmd;
  }
  return draft;
}

/** Lines joined at a backslash; comments and empty lines left out. */
function logicalLines(changes: readonly string[]): string[] {
  const lines: string[] = [];
  let open = "";
  for (const line of changes.flatMap((change) => change.split("\n"))) {
    if (/^\s*(#|$)/.test(line)) continue;
    const continued = /^(.*)\\\s*$/.exec(line);
    if (continued !== null) open += continued[1] ?? "";
    else {
      lines.push((open + line).trim());
      open = "";
    }
  }
  if (open !== "") lines.push(open.trim());
  return lines;
}

const INSTRUCTIONS: ReadonlyMap<string, Instruction> = new Map<string, Instruction>([
  ["CMD", setting((draft, rest) => ({ Cmd: command(draft, rest) }))],
  ["ENTRYPOINT", setting((draft, rest) => ({ Entrypoint: command(draft, rest) }))],
  ["ENV", setEnv],
  ["EXPOSE", expose],
  ["HEALTHCHECK", setting((_, rest) => ({ Healthcheck: healthcheck(rest) }))],
  ["LABEL", label],
  ["ONBUILD", onBuild],
  ["STOPSIGNAL", setting((draft, rest) => ({ StopSignal: expand(draft, single("STOPSIGNAL", rest)) }))],
  ["USER", setting((draft, rest) => ({ User: expand(draft, single("USER", rest)) }))],
  ["VOLUME", volume],
  ["WORKDIR", setting((draft, rest) => ({ WorkingDir: workingDirectory(draft, expand(draft, rest)) }))],
]);

/** An instruction that sets members to new values. */
function setting(members: (draft: Draft, rest: string) => Partial<RunConfig>): Instruction {
  return (draft, rest) => void Object.assign(draft, members(draft, rest));
}

/** The JSON form is taken as it is, the shell form goes through the image's shell. */
function command(draft: Draft, rest: string): readonly string[] {
  return jsonWords(rest) ?? [...(draft.Shell ?? ["/bin/sh", "-c"]), rest];
}

function jsonWords(rest: string): readonly string[] | undefined {
  if (!rest.startsWith("[")) return undefined;
  try {
    const words: unknown = JSON.parse(rest);
    return Array.isArray(words) && words.every((word) => typeof word === "string") ? words : undefined;
  } catch {
    return undefined; // not JSON, so it is the shell form, as in a Dockerfile
  }
}

function setEnv(draft: Draft, rest: string): void {
  const pairs = namedValues("ENV", draft, rest);
  const env = [...(draft.Env ?? [])];
  for (const [name, value] of pairs) {
    const index = env.findIndex((entry) => entry.split("=", 1)[0] === name);
    if (index < 0) env.push(`${name}=${value}`);
    else env[index] = `${name}=${value}`;
  }
  draft.Env = env;
}

function label(draft: Draft, rest: string): void {
  draft.Labels = { ...draft.Labels, ...Object.fromEntries(namedValues("LABEL", draft, rest)) };
}

/** `a=b c="d e"`, or the old form `a rest of the line`. */
function namedValues(keyword: string, draft: Draft, rest: string): (readonly [string, string])[] {
  const words = splitWords(rest);
  if (!(words[0] ?? "").includes("=")) {
    const match = /^(\S+)\s+(.*)$/s.exec(rest);
    if (match === null) throw new CtrError("invalid", `${keyword} must have two arguments`);
    return [[expand(draft, match[1] ?? ""), expand(draft, match[2] ?? "")]];
  }
  // All values of one line see the environment from before it (Dockerfile reference, "Environment replacement").
  return words.map((word) => {
    const equals = word.indexOf("=");
    if (equals < 0)
      throw new CtrError(
        "invalid",
        `Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`,
      );
    const name = expand(draft, word.slice(0, equals));
    if (name === "") throw new CtrError("invalid", `${keyword} names can not be blank`);
    return [name, expand(draft, word.slice(equals + 1))];
  });
}

function expose(draft: Draft, rest: string): void {
  const ports: { [port: string]: object } = { ...draft.ExposedPorts };
  for (const word of splitWords(rest).flatMap((one) => splitWords(expand(draft, one)))) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/([a-zA-Z]+))?$/.exec(word);
    const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
    const protocol = (match?.[3] ?? "tcp").toLowerCase();
    if (match === null || last > 65535 || first > last) throw new CtrError("invalid", `invalid containerPort: ${word}`);
    if (!["tcp", "udp", "sctp"].includes(protocol)) throw new CtrError("invalid", `invalid proto: ${protocol}`);
    for (let port = first; port <= last; port++) ports[`${port}/${protocol}`] = {};
  }
  draft.ExposedPorts = ports;
}

function healthcheck(rest: string): Healthcheck {
  const { options, rest: words } = leadingOptions(rest);
  const match = /^(\S+)(?:\s+(.*))?$/s.exec(words);
  const kind = (match?.[1] ?? "").toUpperCase();
  if (kind === "NONE") {
    if (match?.[2] !== undefined) throw new CtrError("invalid", "HEALTHCHECK NONE takes no arguments");
    return { Test: ["NONE"] };
  }
  if (kind !== "CMD")
    throw new CtrError("invalid", `Unknown type ${JSON.stringify(match?.[1] ?? "")} in HEALTHCHECK (try CMD)`);
  const line = (match?.[2] ?? "").trim();
  if (line === "") throw new CtrError("invalid", "Missing command after HEALTHCHECK CMD");
  const json = jsonWords(line);
  const check: { -readonly [Key in keyof Healthcheck]: Healthcheck[Key] } = {
    Test: json === undefined ? ["CMD-SHELL", line] : ["CMD", ...json],
  };
  for (const [name, value] of options) {
    switch (name) {
      case "interval":
        check.Interval = durationNs(name, value);
        break;
      case "timeout":
        check.Timeout = durationNs(name, value);
        break;
      case "start-period":
        check.StartPeriod = durationNs(name, value);
        break;
      case "start-interval":
        check.StartInterval = durationNs(name, value);
        break;
      case "retries":
        if (!/^[0-9]{1,9}$/.test(value)) throw new CtrError("invalid", `--retries must be at least 1 (not ${value})`);
        check.Retries = Number(value);
        break;
      default:
        throw new CtrError("invalid", `unknown flag: --${name}`);
    }
  }
  return check;
}

function leadingOptions(text: string): {
  readonly options: readonly (readonly [string, string])[];
  readonly rest: string;
} {
  const options: (readonly [string, string])[] = [];
  let rest = text;
  for (let match = OPTION.exec(rest); match !== null; match = OPTION.exec(rest)) {
    options.push([match[1] ?? "", match[2] ?? ""]);
    rest = rest.slice(match[0].length);
  }
  return { options, rest };
}

const OPTION = /^--([a-z-]+)=(\S*)\s*/;

/** In nanoseconds; Docker's minimum is one millisecond. */
function durationNs(name: string, text: string): number {
  const total = parseGoDuration(text);
  if (total === undefined) throw new CtrError("invalid", durationFault(text));
  if (total !== 0 && total < 1e6)
    throw new CtrError("invalid", `Interval ${JSON.stringify(name)} cannot be less than 1ms`);
  return total;
}

function onBuild(draft: Draft, rest: string): void {
  const keyword = (/^\S+/.exec(rest)?.[0] ?? "").toUpperCase();
  if (keyword === "ONBUILD") throw new CtrError("invalid", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (keyword === "FROM" || keyword === "MAINTAINER")
    throw new CtrError("invalid", `${keyword} isn't allowed as an ONBUILD trigger`);
  draft.OnBuild = [...(draft.OnBuild ?? []), rest];
}

function volume(draft: Draft, rest: string): void {
  const paths = jsonWords(rest) ?? splitWords(rest);
  const volumes: { [path: string]: object } = { ...draft.Volumes };
  for (const path of paths.map((word) => expand(draft, word).trim())) {
    if (path === "") throw new CtrError("invalid", "VOLUME specified can not be an empty string");
    volumes[path] = {};
  }
  draft.Volumes = volumes;
}

/** A relative directory continues the one before it. */
function workingDirectory(draft: Draft, path: string): string {
  const names: string[] = [];
  for (const name of (path.startsWith("/") ? path : `${draft.WorkingDir ?? ""}/${path}`).split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  return `/${names.join("/")}`;
}

function single(keyword: string, rest: string): string {
  if (splitWords(rest).length !== 1) throw new CtrError("invalid", `${keyword} requires exactly one argument`);
  return rest;
}

function expand(draft: Draft, word: string): string {
  return expandWord(word, (name) => {
    const entry = draft.Env?.find((one) => one.startsWith(`${name}=`));
    return entry?.slice(name.length + 1);
  });
}
