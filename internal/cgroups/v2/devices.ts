/** Devices in cgroup v2: an eBPF program attached to the cgroup decides (kernel 4.15, BPF_CGROUP_DEVICE). */

import type { Controller } from "../controller.ts";
import { attachDeviceProgram } from "../device-program.ts";

export const devices: Controller = {
  name: "devices",
  isAlwaysMade: false,
  isAsked: ({ devices }) => devices !== undefined && devices.length > 0,
  apply(directory, { devices }) {
    if (devices !== undefined && devices.length > 0) attachDeviceProgram(directory, devices);
  },
};
