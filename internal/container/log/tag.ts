/** `--log-opt tag`: text with `{{.Name}}` and its like (moby daemon/logger/loggerutils/log_tag.go, loginfo.go). */
import { CtrError } from "../../errors/error.ts";
import type { ContainerRecord } from "../record.ts";

const SHORT_ID = 12;

const FIELDS: { readonly [field: string]: (record: ContainerRecord) => string } = {
  ID: ({ id }) => id.slice(0, SHORT_ID),
  FullID: ({ id }) => id,
  ContainerID: ({ id }) => id,
  Name: ({ name }) => name,
  ContainerName: ({ name }) => `/${name}`,
  ImageID: ({ imageId }) => imageId.slice(0, SHORT_ID),
  ImageFullID: ({ imageId }) => imageId,
  ContainerImageID: ({ imageId }) => imageId,
  ImageName: ({ image }) => image,
  ContainerImageName: ({ image }) => image,
  Command: ({ config }) => [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])].join(" "),
  ContainerEntrypoint: ({ config }) => (config.Entrypoint ?? config.Cmd ?? [])[0] ?? "",
  ContainerCreated: ({ createdAt }) => createdAt,
  DaemonName: () => "ctr",
};

/** The tag of a container. Throws `invalid` for a template that cannot be. */
export function expandTag(template: string, record: ContainerRecord): string {
  return parse(template)
    .map((part) => (typeof part === "string" ? part : part.value(record)))
    .join("");
}

/** Throws `invalid`, in Docker's words, for a template that cannot be. */
export function checkTag(template: string): void {
  parse(template);
}

type Part = string | { readonly value: (record: ContainerRecord) => string };

function parse(template: string): readonly Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < template.length; ) {
    const open = template.indexOf("{{", at);
    if (open < 0) return [...parts, template.slice(at)];
    const close = template.indexOf("}}", open);
    if (close < 0) throw failure("1: unclosed action");
    parts.push(template.slice(at, open));
    parts.push({ value: parseAction(template.slice(open + 2, close), open + 2) });
    at = close + 2;
  }
  return parts;
}

function parseAction(text: string, column: number): (record: ContainerRecord) => string {
  const action = text.replace(/^- | -$/g, "").trim();
  const field = /^\.(\w+)$/.exec(action)?.[1];
  if (field !== undefined) {
    const value = Object.hasOwn(FIELDS, field) ? FIELDS[field] : undefined;
    if (value !== undefined) return value;
    throw failure(
      `1:${column}: executing "log-tag" at <.${field}>: can't evaluate field ${field} in type *logger.Info`,
    );
  }
  const label = /^index \.ContainerLabels "([^"]*)"$/.exec(action)?.[1];
  if (label !== undefined) return ({ config }) => config.Labels[label] ?? "";
  throw failure(`1: unexpected <${action}> in log tag: fields such as {{.Name}} are understood`);
}

function failure(reason: string): CtrError {
  return new CtrError("invalid", `failed to initialize logging driver: template: log-tag:${reason}`);
}
