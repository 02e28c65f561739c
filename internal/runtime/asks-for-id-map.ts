/** On the path of every start that knows its spec: it loads nothing. */
import type { Mount } from "../spec/runtime.ts";

/** True if a mount of the spec asks for other owners: then it is made outside, where namespaces of ids can be made. */
export function asksForIdMap({ uidMappings = [], gidMappings = [], options = [] }: Mount): boolean {
  return (
    uidMappings.length > 0 || gidMappings.length > 0 || options.some((word) => word === "idmap" || word === "ridmap")
  );
}
