/** kernel Documentation/admin-guide/cgroup-v2.rst, hugetlb */
import type { Controller } from "../controller.ts";
import { writeControl } from "../file.ts";

export const hugetlb: Controller = {
  name: "hugetlb",
  isAlwaysMade: false,
  isAsked: ({ hugepageLimits }) => hugepageLimits !== undefined && hugepageLimits.length > 0,
  apply(directory, { hugepageLimits }) {
    for (const { pageSize, limit } of hugepageLimits ?? []) {
      writeControl(directory, `hugetlb.${pageSize}.max`, limit, `huge page limit ${pageSize}`);
    }
  },
};
