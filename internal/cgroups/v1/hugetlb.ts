/** kernel Documentation/admin-guide/cgroup-v1/hugetlb.rst */
import type { Controller } from "../controller.ts";
import { writeControl } from "../file.ts";

export const hugetlb: Controller = {
  name: "hugetlb",
  isAlwaysMade: false,
  isAsked: ({ hugepageLimits }) => hugepageLimits !== undefined && hugepageLimits.length > 0,
  apply(directory, { hugepageLimits }) {
    for (const { pageSize, limit } of hugepageLimits ?? []) {
      writeControl(directory, `hugetlb.${pageSize}.limit_in_bytes`, limit, `huge page limit ${pageSize}`);
    }
  },
};
