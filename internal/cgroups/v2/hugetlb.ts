/** kernel Documentation/admin-guide/cgroup-v2.rst, hugetlb */
import { AT_FDCWD } from "../../sys/fd.ts";
import { exists } from "../../sys/file.ts";
import type { Controller } from "../controller.ts";
import { writeControl } from "../file.ts";

export const hugetlb: Controller = {
  name: "hugetlb",
  isAlwaysMade: false,
  isAsked: ({ hugepageLimits }) => hugepageLimits !== undefined && hugepageLimits.length > 0,
  apply(directory, { hugepageLimits }) {
    for (const { pageSize, limit } of hugepageLimits ?? []) {
      // As in v1.
      const reserved = `hugetlb.${pageSize}.rsvd.max`;
      if (exists(AT_FDCWD, `${directory}/${reserved}`)) writeControl(directory, reserved, limit, "huge page limit");
      writeControl(directory, `hugetlb.${pageSize}.max`, limit, `huge page limit ${pageSize}`);
    }
  },
};
