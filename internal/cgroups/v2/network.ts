/** What v1's net_cls and net_prio do has no files in v2: programs on the cgroup do it there (cgroup-v2.rst, "Non-normative"). */
import { CtrError } from "../../errors/error.ts";
import type { Controller } from "../controller.ts";

const isAsked: Controller["isAsked"] = ({ network }) => network !== undefined && Object.keys(network).length > 0;

export const network: Controller = {
  name: "net_cls",
  isAlwaysMade: false,
  isAsked,
  apply(_directory, resources) {
    if (isAsked(resources)) throw new CtrError("unsupported", "network classes and priorities: cgroup v2 has none");
  },
};
