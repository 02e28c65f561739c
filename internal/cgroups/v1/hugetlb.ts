/** kernel Documentation/admin-guide/cgroup-v1/hugetlb.rst */
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
      // config-linux.md#huge-page-limits: what is reserved is limited too, where the kernel can (5.7).
      const reserved = `hugetlb.${pageSize}.rsvd.limit_in_bytes`;
      if (exists(AT_FDCWD, `${directory}/${reserved}`)) writeControl(directory, reserved, limit, "huge page limit");
      writeControl(directory, `hugetlb.${pageSize}.limit_in_bytes`, limit, `huge page limit ${pageSize}`);
    }
  },
};
