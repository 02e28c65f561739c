/** `state`: what a container is and does, as JSON (runtime-spec runtime.md#state). */
import { known, openContainer } from "../../../internal/oci/container.ts";
import { containerId, type OciCommand } from "../command.ts";
import { print } from "../log.ts";
import { ownerName } from "../owner.ts";

export const command: OciCommand = {
  flags: {},
  operands: [1, 1],
  usage: "<container-id>",
  summary: "output the state of a container",
  run(call) {
    using directory = openContainer(call.globals.root, containerId(call));
    const container = known(directory);
    const status = directory.status(container);
    const { ociVersion, id, bundle, rootfs, created, annotations, init } = container;
    const state = {
      ociVersion,
      id,
      pid: status === "stopped" ? 0 : (init?.pid ?? 0),
      status,
      bundle,
      rootfs,
      created,
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      owner: ownerName(container.uid),
    };
    print(JSON.stringify(state, undefined, 2));
    return 0;
  },
};
