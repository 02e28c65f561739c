/** A profile file as `--security-opt seccomp=FILE` names it: Docker's form, and with it OCI's. */
import { CtrError } from "../../errors/error.ts";
import { parseJson } from "../../spec/json.ts";
import { parseSeccomp } from "../../spec/parse-spec.ts";
import type { Profile, ProfileRule, RuleFilter } from "./profile.ts";

interface Fields {
  readonly [key: string]: unknown;
}

const PROFILE_KEYS = [
  "defaultAction",
  "defaultErrnoRet",
  "architectures",
  "archMap",
  "flags",
  "listenerPath",
  "listenerMetadata",
  "syscalls",
];
const RULE_KEYS = ["names", "name", "action", "errnoRet", "args", "includes", "excludes"];
const ARG_KEYS = ["index", "value", "valueTwo", "op"];
const ARCH_KEYS = ["architecture", "subArchitectures"];
const FILTER_KEYS = ["caps", "arches", "minKernel"];

/**
 * The profile in a file's text. Throws `invalid` naming the place, in Docker's words: a profile that does not parse stops
 * the start.
 */
export function parseProfile(text: string): Profile {
  try {
    return profileOf(parseJson(text));
  } catch (error) {
    throw new CtrError(
      "invalid",
      `Decoding seccomp profile failed: ${error instanceof Error ? error.message : error}`,
      {
        cause: error,
      },
    );
  }
}

function profileOf(json: unknown): Profile {
  const fields = asFields(json, "the profile", PROFILE_KEYS);
  const rules = asList(fields["syscalls"], "syscalls").map((value, at) =>
    withNames(asFields(value, `syscalls[${at}]`, RULE_KEYS), `syscalls[${at}]`),
  );
  const checked = parseSeccomp({ ...fields, syscalls: rules });
  const archMap = asList(fields["archMap"], "archMap").map((value, at) => {
    const row = asFields(value, `archMap[${at}]`, ARCH_KEYS);
    const [architecture = ""] = texts([row["architecture"]], `archMap[${at}].architecture`);
    return { architecture, subArchitectures: texts(row["subArchitectures"], `archMap[${at}].subArchitectures`) };
  });
  if (archMap.length > 0 && (checked.architectures ?? []).length > 0) {
    throw new CtrError("invalid", "both 'architectures' and 'archMap' are specified in the seccomp profile");
  }
  const { syscalls = [], ...rest } = checked;
  return {
    ...rest,
    ...(archMap.length === 0 ? {} : { archMap }),
    syscalls: syscalls.map((rule, at): ProfileRule => {
      const place = `syscalls[${at}]`;
      return {
        ...rule,
        includes: filter(rules[at]?.["includes"], `${place}.includes`),
        excludes: filter(rules[at]?.["excludes"], `${place}.excludes`),
      };
    }),
  };
}

/** Before names there was name. Numbers that are not given are 0, as in Go. */
function withNames(rule: Fields, place: string): Fields {
  const { name, names } = rule;
  const args = asList(rule["args"], `${place}.args`).map((value, at) => ({
    index: 0,
    value: 0,
    ...present(asFields(value, `${place}.args[${at}]`, ARG_KEYS)),
  }));
  if (name === undefined || name === null || name === "") return { ...rule, args };
  if (Array.isArray(names) && names.length > 0) {
    throw new CtrError("invalid", `${place}: both 'name' and 'names' are specified in the seccomp profile`);
  }
  return { ...rule, args, names: [name] };
}

function present(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

function filter(value: unknown, place: string): RuleFilter {
  if (value === undefined || value === null) return {};
  const fields = asFields(value, place, FILTER_KEYS);
  const minKernel = fields["minKernel"] ?? "";
  if (typeof minKernel !== "string" || !/^(|\d{1,3}\.\d{1,3})$/.test(minKernel) || /^0+\.0+$/.test(minKernel)) {
    throw new CtrError("invalid", `${place}.minKernel: must be a version such as "4.8"`);
  }
  return {
    caps: texts(fields["caps"], `${place}.caps`),
    arches: texts(fields["arches"], `${place}.arches`),
    ...(minKernel === "" ? {} : { minKernel }),
  };
}

/** The known fields of an object. As in Go, letters may be of either case: `Syscalls` must not be passed over. */
function asFields(value: unknown, place: string, keys: readonly string[]): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new CtrError("invalid", `${place}: must be an object`);
  }
  const fields: { [key: string]: unknown } = Object.create(null);
  for (const [key, field] of Object.entries(value)) {
    const known = keys.find((candidate) => candidate.toLowerCase() === key.toLowerCase());
    if (known !== undefined) fields[known] = field;
  }
  return fields;
}

function asList(value: unknown, place: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new CtrError("invalid", `${place}: must be a list`);
  return value;
}

function texts(value: unknown, place: string): readonly string[] {
  return asList(value, place).map((word, at) => {
    if (typeof word !== "string") throw new CtrError("invalid", `${place}[${at}]: must be a string`);
    return word;
  });
}
