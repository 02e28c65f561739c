/** `--health-*` and `--no-healthcheck`. */
import type { Healthcheck } from "../image/config.ts";
import { OptionError } from "./option-error.ts";
import { ifGiven, parseDuration, parseInteger } from "./units.ts";

export interface HealthFlags {
  readonly "health-cmd": string | undefined;
  readonly "health-interval": string | undefined;
  readonly "health-retries": string | undefined;
  readonly "health-start-interval": string | undefined;
  readonly "health-start-period": string | undefined;
  readonly "health-timeout": string | undefined;
  readonly "no-healthcheck": boolean;
}

const HEALTH_FLAGS = [
  "health-cmd",
  "health-interval",
  "health-retries",
  "health-start-interval",
  "health-start-period",
  "health-timeout",
] as const;

/** The fields that were given; `NONE` switches the image's off. Throws OptionError. */
export function healthcheckFromFlags(flags: HealthFlags): Healthcheck | undefined {
  const isGiven = HEALTH_FLAGS.some((name) => (name === "health-cmd" ? flags[name] : flags[name] !== undefined));
  if (flags["no-healthcheck"]) {
    if (isGiven) throw new OptionError("--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  if (!isGiven) return undefined;
  const time = (name: (typeof HEALTH_FLAGS)[number]) =>
    ifGiven(flags[name], (text) => {
      const ns = parseDuration(name, text);
      if (ns < 0) throw new OptionError(`--${name} cannot be negative`);
      return ns;
    }) ?? 0;
  const retries = ifGiven(flags["health-retries"], (text) => parseInteger("health-retries", text)) ?? 0;
  if (retries < 0) throw new OptionError("--health-retries cannot be negative");
  const command = flags["health-cmd"] ?? "";
  const fields = {
    Interval: time("health-interval"),
    Timeout: time("health-timeout"),
    StartPeriod: time("health-start-period"),
    StartInterval: time("health-start-interval"),
    Retries: retries,
  };
  return {
    ...(command === "" ? {} : { Test: ["CMD-SHELL", command] }),
    ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== 0)),
  };
}
