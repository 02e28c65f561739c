/** kernel Documentation/admin-guide/cgroup-v1/net_cls.rst, net_prio.rst: two controllers for one field of the spec. */
import type { Controller } from "../controller.ts";
import { writeControl } from "../file.ts";

export const netClasses: Controller = {
  name: "net_cls",
  isAlwaysMade: false,
  isAsked: ({ network }) => network?.classID !== undefined,
  apply(directory, { network }) {
    if (network?.classID !== undefined) writeControl(directory, "net_cls.classid", network.classID, "network class");
  },
};

export const netPriorities: Controller = {
  name: "net_prio",
  isAlwaysMade: false,
  isAsked: ({ network }) => (network?.priorities ?? []).length > 0,
  apply(directory, { network }) {
    for (const { name, priority } of network?.priorities ?? []) {
      writeControl(directory, "net_prio.ifpriomap", `${name} ${priority}`, "network priority");
    }
  },
};
