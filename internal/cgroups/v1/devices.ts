/** kernel Documentation/admin-guide/cgroup-v1/devices.rst */
import type { DeviceRule } from "../../spec/runtime.ts";
import { O_WRONLY, open, writeAll } from "../../sys/fd.ts";
import type { Controller } from "../controller.ts";
import { explain } from "../file.ts";

const ENCODER = new TextEncoder();

export const devices: Controller = {
  name: "devices",
  isAlwaysMade: true,
  isAsked: ({ devices }) => devices !== undefined && devices.length > 0,
  apply(directory, { devices }) {
    if (devices === undefined || devices.length === 0) return;
    // In the order given, each rule over the ones before it.
    using allow = open(`${directory}/devices.allow`, O_WRONLY);
    using deny = open(`${directory}/devices.deny`, O_WRONLY);
    for (const rule of devices) {
      const file = rule.allow ? "devices.allow" : "devices.deny";
      for (const line of ruleLines(rule)) {
        try {
          writeAll(rule.allow ? allow.number : deny.number, ENCODER.encode(line));
        } catch (error) {
          throw explain(error, directory, file, `device rule ${line}`);
        }
      }
    }
  },
};

/**
 * `c 1:3 rwm`. To the kernel a line that begins with `a` is everything of everything, whatever follows: a rule for both
 * kinds that is not quite everything becomes two lines.
 */
export function ruleLines(rule: DeviceRule): readonly string[] {
  const access = rule.access === undefined || rule.access === "" ? "rwm" : rule.access;
  const type = rule.type ?? "a";
  const numbers = `${number(rule.major)}:${number(rule.minor)}`;
  if (type !== "a") return [`${type} ${numbers} ${access}`];
  if (numbers === "*:*" && new Set(access).size === 3) return ["a"];
  return [`b ${numbers} ${access}`, `c ${numbers} ${access}`];
}

function number(value: number | undefined): string {
  return value === undefined || value < 0 ? "*" : String(value);
}
