/** `ctr inspect`: containers, images and whatever else there is, as JSON. */
import { type Engine, openEngine } from "../../../internal/db/engine.ts";
import { CtrError } from "../../../internal/errors/error.ts";
import { AT_FDCWD } from "../../../internal/sys/fd.ts";
import { exists } from "../../../internal/sys/file.ts";
import { defineCommand, INSPECT_HELP } from "../command.ts";
import { type Inspected, inspectEach, inspectOneContainer, unless } from "../inspect-each.ts";

const TYPES = ["container", "image", "volume", "network"] as const;
type ObjectType = (typeof TYPES)[number];

export const command = defineCommand({
  meta: { name: "inspect", description: "Return low-level information on containers, images and volumes" },
  usage: "[OPTIONS] NAME|ID [NAME|ID...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {
    format: { type: "string", alias: "f", description: INSPECT_HELP },
    size: { type: "boolean", alias: "s", description: "Display total file sizes if the type is container" },
    type: { type: "string", description: "Only inspect objects of the given type" },
  },
  async run({ flags, operands, directories }) {
    const type = TYPES.find((candidate) => candidate === flags.type);
    if (flags.type !== undefined && flags.type !== "" && type === undefined) {
      const known = TYPES.map((name) => JSON.stringify(name)).join(", ");
      throw new CtrError("invalid", `unknown type: ${JSON.stringify(flags.type)}: must be one of ${known}`);
    }
    using engine = openEngine(directories);
    return await inspectEach(type ?? "object", flags.format, operands, async (target) => {
      for (const one of type === undefined ? TYPES : [type]) {
        // `invalid`: what can be no image's name is no image.
        const found = await unless(["not-found", "invalid"], () => LOOK[one](engine, target, flags.size));
        if (found !== undefined) return found;
      }
      return undefined;
    });
  },
});

/** How each type is looked for, in Docker's order. */
const LOOK: { readonly [Type in ObjectType]: (engine: Engine, target: string, size: boolean) => Promise<Inspected> } = {
  container: inspectOneContainer,
  image: async (engine, target) => {
    const { inspectImage } = await import("../../../internal/image/inspect.ts");
    return inspectImage(engine, target);
  },
  volume: async (engine, target) => {
    const { inspectVolumeNamed } = await import("../../../internal/volume/inspect.ts");
    return inspectVolumeNamed(engine, target);
  },
  network: async (engine, target) => {
    // Where netd was never asked for anything nobody has made one.
    if (!exists(AT_FDCWD, `${engine.root}/netd.db`)) throw new CtrError("not-found", `network ${target} not found`);
    const [{ ensureNetd }, { networkNamed }, { inspectNetwork }] = await Promise.all([
      import("../../../internal/ipc/netd-client.ts"),
      import("../networks.ts"),
      import("../inspect-network.ts"),
    ]);
    using netd = await ensureNetd(engine);
    return inspectNetwork(networkNamed(await netd.networks(), target), await netd.endpoints(), false);
  },
};
