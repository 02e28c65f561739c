/**
 * The `local` driver's options `type`, `o` and `device` (moby volume/local): a volume that is not a directory of the
 * engine's but a mount of something else, made by init inside the container's mount namespace, so that none stays on the
 * host.
 */
import { CtrError } from "../errors/error.ts";
import type { LocalOptions, WantedVolume } from "./mount-point.ts";

/** Which options want which others. */
const NEEDS: { readonly [option: string]: readonly string[] } = {
  device: ["type"],
  type: ["device"],
  o: ["device", "type"],
};

/** Throws `invalid`, in Docker's words, for a driver that is not there and for options it does not take. */
export function checkDriver(name: string, { driver, options }: WantedVolume): void {
  const wrong = (why: string) => new CtrError("invalid", `create ${name}: ${why}`);
  if (driver !== "local" && driver !== "") {
    throw new CtrError(
      "not-found",
      `create ${name}: error looking up volume plugin ${driver}: plugin ${JSON.stringify(driver)} not found`,
    );
  }
  for (const option of Object.keys(options)) {
    if (option === "size") throw wrong("quota size requested but no quota support");
    if (NEEDS[option] === undefined) throw wrong(`invalid option: ${JSON.stringify(option)}`);
  }
  for (const option of Object.keys(options)) {
    const missing = NEEDS[option]?.find((other) => options[other] === undefined);
    if (missing !== undefined) throw wrong(`missing required option: ${JSON.stringify(missing)}`);
  }
}

/** True if the options name something to mount. */
export function isNamed(options: LocalOptions): boolean {
  return options["device"] !== undefined;
}

/** The mount that the options ask for, in the words of the runtime-spec. `type` is `bind` for `o=bind`. */
export function localMount(options: LocalOptions): {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
} {
  // Words that begin so are for programs, and some for init: none of them is a user's to say.
  const words = (options["o"] ?? "").split(",").filter((word) => word !== "" && !word.startsWith("X-"));
  const source = options["device"] ?? "";
  const isBind = words.includes("bind") || words.includes("rbind");
  return { type: isBind ? "bind" : (options["type"] ?? ""), source, options: words };
}
