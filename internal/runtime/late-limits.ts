/** Which limits of a container hold for init, and which only for its program. */
import type { MemoryResources, Resources, Spec } from "../spec/runtime.ts";

/** The part of a spec that holds a container's limits. */
export type Limited = Pick<Spec, "linux" | "annotations">;

/** "true": init mounts a block device, which the container's own list of devices would refuse it. */
const DEVICES_WHEN_READY = "ctr.devices-when-ready";

function isDeviceListLate({ annotations }: Limited): boolean {
  return annotations?.[DEVICES_WHEN_READY] === "true";
}

/** What init itself needs (7 MB were seen): a container may have less, but only when init has become its program. */
const INIT_MEMORY_BYTES = 8 << 20;

function isTight(memory: MemoryResources | undefined): memory is MemoryResources {
  return memory?.limit !== undefined && memory.limit > 0 && memory.limit < INIT_MEMORY_BYTES;
}

/** The limits that hold for init too: all but a memory limit that is too tight for it. */
export function beforeStart(limited: Limited): Resources {
  const { memory, devices, ...others } = limited.linux?.resources ?? {};
  const rest = devices === undefined || isDeviceListLate(limited) ? others : { ...others, devices };
  return memory === undefined || isTight(memory) ? rest : { ...rest, memory };
}

/** The limits that are set when init has mounted everything, before the program's first instruction. */
export function whenReady(limited: Limited): Resources | undefined {
  const devices = limited.linux?.resources?.devices;
  return devices !== undefined && isDeviceListLate(limited) ? { devices } : undefined;
}

/** The limits that are set in the moment of execve. */
export function atStart({ linux }: Limited): Resources | undefined {
  const memory = linux?.resources?.memory;
  return isTight(memory) ? { memory } : undefined;
}
