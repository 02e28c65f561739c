/** kernel Documentation/admin-guide/cgroup-v1/rdma.rst; the files are the same in v2. */
import type { Controller } from "../controller.ts";
import { writeControl } from "../file.ts";

export const rdma: Controller = {
  name: "rdma",
  isAlwaysMade: false,
  isAsked: ({ rdma }) => rdma !== undefined && Object.keys(rdma).length > 0,
  apply(directory, { rdma = {} }) {
    for (const [device, { hcaHandles, hcaObjects }] of Object.entries(rdma)) {
      const handles = hcaHandles === undefined ? [] : [`hca_handle=${hcaHandles}`];
      const objects = hcaObjects === undefined ? [] : [`hca_object=${hcaObjects}`];
      writeControl(directory, "rdma.max", [device, ...handles, ...objects].join(" "), "RDMA limit");
    }
  },
};
