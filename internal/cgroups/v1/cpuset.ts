/** kernel Documentation/admin-guide/cgroup-v1/cpusets.rst */
import type { Controller } from "../controller.ts";
import { checkSet } from "../cpu-list.ts";
import { readControl, writeControl } from "../file.ts";

export const cpuset: Controller = {
  name: "cpuset",
  isAlwaysMade: false,
  isAsked: ({ cpu }) => isSet(cpu?.cpus) || isSet(cpu?.mems),
  apply(directory, { cpu }) {
    inherit(directory, "cpuset.cpus");
    inherit(directory, "cpuset.mems");
    const parent = directory.slice(0, directory.lastIndexOf("/"));
    if (cpu?.cpus !== undefined && isSet(cpu.cpus)) {
      checkSet("CPUs", cpu.cpus, readControl(parent, "cpuset.cpus"));
      writeControl(directory, "cpuset.cpus", cpu.cpus, "CPU set");
    }
    if (cpu?.mems !== undefined && isSet(cpu.mems)) {
      checkSet("memory nodes", cpu.mems, readControl(parent, "cpuset.mems"));
      writeControl(directory, "cpuset.mems", cpu.mems, "memory node set");
    }
  },
};

function isSet(list: string | undefined): boolean {
  return list !== undefined && list !== "";
}

/** A new cpuset is empty and takes no process (unless cgroup.clone_children): it gets what its parent has. */
function inherit(directory: string, file: string): void {
  if (readControl(directory, file).trim() !== "") return;
  const parent = directory.slice(0, directory.lastIndexOf("/"));
  inherit(parent, file);
  writeControl(directory, file, readControl(parent, file).trim(), file);
}
