/** kernel Documentation/admin-guide/cgroup-v2.rst, cpuset */
import type { Controller } from "../controller.ts";
import { checkSet } from "../cpu-list.ts";
import { readControl, writeControl } from "../file.ts";

export const cpuset: Controller = {
  name: "cpuset",
  isAlwaysMade: false,
  isAsked: ({ cpu }) => (cpu?.cpus ?? "") !== "" || (cpu?.mems ?? "") !== "",
  apply(directory, { cpu }) {
    const { cpus = "", mems = "" } = cpu ?? {};
    const parent = directory.slice(0, directory.lastIndexOf("/"));
    if (cpus !== "") {
      checkSet("CPUs", cpus, readControl(parent, "cpuset.cpus.effective"));
      writeControl(directory, "cpuset.cpus", cpus, "CPU set");
    }
    if (mems !== "") {
      checkSet("memory nodes", mems, readControl(parent, "cpuset.mems.effective"));
      writeControl(directory, "cpuset.mems", mems, "memory node set");
    }
  },
};
