/** `ctr inspect`: containers and images as JSON. */
import { type Engine, openEngine } from "../../../internal/db/engine.ts";
import { CtrError, type ErrorKind } from "../../../internal/errors/error.ts";
import { defineCommand } from "../command.ts";
import { harmless } from "../fail.ts";
import { print, printError } from "../output.ts";

type Inspected = { readonly [field: string]: unknown };
const TYPES = ["container", "image"] as const;
type ObjectType = (typeof TYPES)[number];

export const command = defineCommand({
  meta: { name: "inspect", description: "Return low-level information on containers and images" },
  usage: "[OPTIONS] NAME|ID [NAME|ID...]",
  operands: [1, Number.POSITIVE_INFINITY],
  flags: {
    format: {
      type: "string",
      alias: "f",
      description:
        "Format output using a custom template:\n'json':             Print in JSON format\n" +
        "'TEMPLATE':         Print output using the given Go template.",
    },
    size: { type: "boolean", alias: "s", description: "Display total file sizes if the type is container" },
    type: { type: "string", description: "Only inspect objects of the given type" },
  },
  async run({ flags, operands, directories }) {
    const type = TYPES.find((candidate) => candidate === flags.type);
    if (flags.type !== undefined && flags.type !== "" && type === undefined) {
      throw new CtrError("invalid", `unknown type: ${JSON.stringify(flags.type)}: must be one of "container", "image"`);
    }
    const show =
      flags.format === undefined || flags.format === ""
        ? undefined
        : (await import("../format/object.ts")).compileObjectFormat(flags.format);
    using engine = openEngine(directories);
    const found: Inspected[] = [];
    const missing: string[] = [];
    for (const target of operands) {
      const object = await inspect(engine, target, type, flags.size);
      if (object === undefined) missing.push(target);
      else found.push(object);
    }
    if (show === undefined) print(`${JSON.stringify(found, null, 4)}\n`);
    else for (const object of found) print(`${show(object)}\n`);
    // After what was found, as Docker does.
    for (const target of missing) printError(`Error: No such ${type ?? "object"}: ${harmless(target)}`);
    return missing.length === 0 ? 0 : 1;
  },
});

/** A container by that name, else an image; undefined when there is neither. */
async function inspect(
  engine: Engine,
  target: string,
  type: ObjectType | undefined,
  withSize: boolean,
): Promise<Inspected | undefined> {
  if (type !== "image") {
    const container = await unless(["not-found"], () => inspectOneContainer(engine, target, withSize));
    if (container !== undefined) return container;
  }
  if (type === "container") return undefined;
  // `invalid`: what can be no image's name is no image.
  return await unless(["not-found", "invalid"], () => inspectOneImage(engine, target));
}

async function inspectOneContainer(engine: Engine, target: string, withSize: boolean): Promise<Inspected> {
  const { currentContainer } = await import("../../../internal/container/control.ts");
  const { inspectContainer } = await import("../../../internal/container/inspect.ts");
  const record = currentContainer(engine, target);
  const object = inspectContainer(engine, record);
  if (!withSize) return object;
  const { containerSizes } = await import("../../../internal/container/sizes.ts");
  const { writable, total } = containerSizes(engine, record);
  return { ...object, SizeRw: writable, SizeRootFs: total };
}

async function inspectOneImage(engine: Engine, target: string): Promise<Inspected> {
  const { inspectImage } = await import("../../../internal/image/inspect.ts");
  return inspectImage(engine, target);
}

/** Undefined where `look` fails with one of these kinds. */
async function unless(kinds: readonly ErrorKind[], look: () => Promise<Inspected>): Promise<Inspected | undefined> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof CtrError && kinds.includes(error.kind)) return undefined;
    throw error;
  }
}
