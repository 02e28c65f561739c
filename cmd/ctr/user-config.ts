/** The caller's own configuration, Docker's `config.json`. Only a command that wants something of it reads it. */
import { ENOTDIR, isErrno } from "../../internal/errors/error.ts";
import { readTextIfThere } from "../../internal/sys/file.ts";
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
  const config = readUserConfig();
  if (config === undefined || !Object.hasOwn(config, name)) return undefined;
  const value: unknown = Object.entries(config).find(([key]) => key === name)?.[1];
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** For who wants nothing of it: tells of a file that cannot be used, as Docker's client does. */
export function checkUserConfig(): void {
  readUserConfig();
}

function readUserConfig(): object | undefined {
  const directory = process.env["DOCKER_CONFIG"] || `${process.env["HOME"] || "/root"}/.docker`;
  const path = `${directory}/config.json`;
  try {
    const text = readTextIfThere(path);
    if (text === undefined) return undefined;
    const config: unknown = text === "" ? {} : JSON.parse(text);
    if (typeof config === "object" && config !== null && !Array.isArray(config)) return config;
    printError(`WARNING: Error parsing config file (${path}): it is not an object of settings`);
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    if (isErrno(error, ENOTDIR)) printError(`WARNING: Error loading config file: ${why}`);
    else printError(`WARNING: Error parsing config file (${path}): ${why}`);
  }
  return undefined;
}
