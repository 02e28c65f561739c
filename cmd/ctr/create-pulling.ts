/** Creating a container with its image pulled first, as `--pull` says. What pulls is only loaded when it has to. */
import { type Created, type CreateOptions, createContainer, type ImageFound } from "../../internal/container/create.ts";
import { tidyUp } from "../../internal/container/leftovers.ts";
import type { Engine } from "../../internal/db/engine.ts";
import { CtrError } from "../../internal/errors/error.ts";
import { UsageError } from "./flags.ts";
import { printError } from "./output.ts";

export interface PullFlags {
  readonly pull: string;
  readonly quiet: boolean;
  readonly platform: string | undefined;
}

/** Throws UsageError for a value of `--pull` that is none; `command` is `run` or `create`. */
export function checkPullFlag({ pull }: PullFlags, command: string): void {
  if (["always", "missing", "never", ""].includes(pull)) return;
  throw new UsageError(
    `ctr: invalid pull option: '${pull}': must be one of "always", "missing" or "never"`,
    125,
    "",
    `\n\nRun 'ctr ${command} --help' for more information`,
  );
}

/** `createContainer`, and what it needs of the image first. */
export async function createPulling(
  engine: Engine,
  flags: PullFlags,
  options: Omit<CreateOptions, "platform" | "onImageMissing">,
): Promise<Created> {
  const wanted = { ...options, platform: flags.platform || undefined };
  const { SecurityOpt } = options.flags.hostConfig;
  if (SecurityOpt?.some((option) => option.startsWith("seccomp={")) === true) {
    const { checkSeccomp } = await import("../../internal/container/check-seccomp.ts");
    await checkSeccomp(options.flags.hostConfig);
  }
  const pull = async () => {
    const { pullForContainer } = await import("./pull-for-container.ts");
    await pullForContainer(engine, options.image, flags);
  };
  if (flags.pull === "always") await pull();
  const missing: { readonly name: string; readonly found: ImageFound }[] = [];
  const onImageMissing = (name: string, found: ImageFound) => void missing.push({ name, found });
  const create = async () => {
    try {
      return createContainer(engine, { ...wanted, onImageMissing });
    } catch (error) {
      // Nothing has been recorded. A name may belong to what a crash left behind.
      if (!(error instanceof CtrError) || error.kind !== "conflict") throw error;
      await tidyUp(engine);
      return createContainer(engine, { ...wanted, onImageMissing });
    }
  };
  for (let pulls = 0; ; pulls++) {
    try {
      return await create();
    } catch (error) {
      // Nothing has been done yet: the image is looked up before the first effect.
      const { name, found } = missing.splice(0).at(-1) ?? {};
      const isOver = pulls === MAX_PULLS || (pulls > 0 && found !== "nothing");
      if (name === undefined || isOver || (flags.pull !== "missing" && flags.pull !== "")) throw error;
      if (!flags.quiet) printError(`Unable to find image '${name}' locally`);
    }
    await pull();
  }
}

/** An image may be removed again between its pull and its first container. */
const MAX_PULLS = 3;
