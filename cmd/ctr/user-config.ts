/** The caller's own configuration, Docker's `config.json`. Only a command that wants something of it reads it. */
import { ENOENT, ENOTDIR, isErrno } from "../../internal/errors/error.ts";
import { readText } from "../../internal/sys/file.ts";
import { printError } from "./output.ts";

/** The entries that are texts about how things are shown or typed. */
export type UserSetting =
  | "detachKeys"
  | "imagesFormat"
  | "networksFormat"
  | "psFormat"
  | "statsFormat"
  | "volumesFormat";

/** What the user has set; undefined for nothing. A file that cannot be used is told, and keeps nobody from working. */
export function userSetting(name: UserSetting): string | undefined {
  const directory = process.env["DOCKER_CONFIG"] || `${process.env["HOME"] || "/root"}/.docker`;
  const path = `${directory}/config.json`;
  try {
    const config: unknown = JSON.parse(readText(path));
    if (typeof config !== "object" || config === null || !Object.hasOwn(config, name)) return undefined;
    const value: unknown = Object.entries(config).find(([key]) => key === name)?.[1];
    return typeof value === "string" && value !== "" ? value : undefined;
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR)) return undefined;
    printError(`WARNING: Error parsing config file (${path}): ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}
