/** A profile file as `--security-opt seccomp=FILE` names it: Docker's form, and with it OCI's. */
import { CtrError } from "../../errors/error.ts";
import { parseSeccomp } from "../../spec/parse-spec.ts";
import type { Profile, ProfileRule, RuleFilter } from "./profile.ts";

interface Fields {
  readonly [key: string]: unknown;
}

/** The profile in a file's text. Throws `invalid` in Docker's words: a profile that does not parse stops the start. */
export function parseProfile(text: string): Profile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new CtrError("invalid", `Decoding seccomp profile failed: ${error instanceof Error ? error.message : error}`);
  }
  const fields = asFields(json, "the profile");
  const rules = asList(fields["syscalls"], "syscalls").map((value, at) => asFields(value, `syscalls[${at}]`));
  const checked = parseSeccomp({ ...fields, syscalls: rules.map(withNames) });
  const archMap = asList(fields["archMap"], "archMap").map((value, at) => {
    const row = asFields(value, `archMap[${at}]`);
    const [architecture = ""] = texts([row["architecture"]], `archMap[${at}].architecture`);
    return { architecture, subArchitectures: texts(row["subArchitectures"], `archMap[${at}].subArchitectures`) };
  });
  return {
    defaultAction: checked.defaultAction,
    ...(checked.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: checked.defaultErrnoRet }),
    ...(checked.architectures === undefined ? {} : { architectures: checked.architectures }),
    ...(archMap.length === 0 ? {} : { archMap }),
    ...(checked.flags === undefined ? {} : { flags: checked.flags }),
    syscalls: (checked.syscalls ?? []).map((rule, at): ProfileRule => {
      const place = `syscalls[${at}]`;
      return {
        ...rule,
        includes: filter(rules[at]?.["includes"], `${place}.includes`),
        excludes: filter(rules[at]?.["excludes"], `${place}.excludes`),
      };
    }),
  };
}

/** Before names there was name. */
function withNames(rule: Fields): Fields {
  const { name, names } = rule;
  if (name === undefined || name === "") return rule;
  if (Array.isArray(names) && names.length > 0) {
    throw new CtrError("invalid", "both 'name' and 'names' are specified in the seccomp profile");
  }
  return { ...rule, names: [name] };
}

function filter(value: unknown, place: string): RuleFilter {
  if (value === undefined || value === null) return {};
  const fields = asFields(value, place);
  const minKernel = fields["minKernel"];
  if (minKernel !== undefined && (typeof minKernel !== "string" || !/^\d+\.\d+$/.test(minKernel))) {
    throw new CtrError("invalid", `seccomp: ${place}.minKernel must be a version such as "4.8"`);
  }
  return {
    caps: texts(fields["caps"], `${place}.caps`),
    arches: texts(fields["arches"], `${place}.arches`),
    ...(minKernel === undefined ? {} : { minKernel }),
  };
}

function asFields(value: unknown, place: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new CtrError("invalid", `seccomp: ${place} must be an object`);
  }
  return value as Fields;
}

function asList(value: unknown, place: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new CtrError("invalid", `seccomp: ${place} must be a list`);
  return value;
}

function texts(value: unknown, place: string): readonly string[] {
  return asList(value, place).map((word) => {
    if (typeof word !== "string") throw new CtrError("invalid", `seccomp: ${place} must hold strings`);
    return word;
  });
}
