/** What the operands of each command name. */
import { FILES, NOTHING, type Values } from "./candidates.ts";

/** Names of what there is; each list is read when it is asked for. */
export interface Names {
  /** Names of the containers in one of these states; all without any. */
  readonly containers: (...states: readonly string[]) => readonly string[];
  /** `alpine:latest`, and the names without a tag where only the repository matters. */
  readonly images: () => readonly string[];
  readonly volumes: () => readonly string[];
  readonly networks: () => readonly string[];
}

type Operand = (names: Names) => readonly string[];

const all: Operand = (names) => names.containers();
const running: Operand = (names) => names.containers("running", "paused", "restarting");
const unpaused: Operand = (names) => names.containers("running");
const paused: Operand = (names) => names.containers("paused");
const stopped: Operand = (names) => names.containers("created", "exited", "dead");
const images: Operand = (names) => names.images();
const volumes: Operand = (names) => names.volumes();
const networks: Operand = (names) => names.networks();
const either: Operand = (names) => [...names.containers(), ...names.images(), ...names.volumes(), ...names.networks()];
const shells: Operand = () => ["bash", "zsh", "fish"];
const files = "files";

/** `each`: every operand is one of these; otherwise one entry per operand, and nothing after the last. */
type Operands = { readonly each: Operand } | readonly (Operand | typeof files)[];

/** By command as `docs/cli.md` names it; those of a group that mean something else have their whole name. */
const OPERANDS: { readonly [command: string]: Operands } = {
  attach: [running],
  build: [files],
  commit: [all, images],
  completion: [shells],
  create: [images],
  diff: [all],
  exec: [unpaused],
  export: [all],
  history: [images],
  import: [files, images],
  inspect: { each: either },
  "container inspect": { each: all },
  "image inspect": { each: images },
  kill: { each: running },
  logs: [all],
  ls: [],
  images: [images],
  "image ls": [images],
  pause: { each: unpaused },
  port: [all],
  pull: [images],
  push: [images],
  rename: [all],
  restart: { each: all },
  rm: { each: stopped },
  "image rm": { each: images },
  rmi: { each: images },
  run: [images],
  save: { each: images },
  start: { each: stopped },
  stats: { each: running },
  stop: { each: running },
  tag: [images, images],
  top: [running],
  unpause: { each: paused },
  update: { each: all },
  wait: { each: running },
  "network connect": [networks, all],
  "network disconnect": [networks, all],
  "network inspect": { each: networks },
  "network rm": { each: networks },
  "volume inspect": { each: volumes },
  "volume rm": { each: volumes },
  "volume update": [volumes],
};

/** Names that mean the same inside of a group. */
const ALIASES: { readonly [name: string]: string } = { remove: "rm", list: "ls" };

/** The candidates for the operand after `given`. What is named already is not named again. */
export async function operandsOf(
  path: readonly string[],
  given: readonly string[],
  typed: string,
  names: Names,
): Promise<Values> {
  const verb = path.at(-1) ?? "";
  const whole = [...path.slice(0, -1), ALIASES[verb] ?? verb].join(" ");
  if (whole === "cp" || whole === "container cp") return copied(given, typed, names);
  if (whole === "seccomp explain") return given.length > 0 ? NOTHING : { words: await systemCalls() };
  const operands = OPERANDS[whole] ?? (path[0] === "container" || path[0] === "image" ? OPERANDS[verb] : undefined);
  if (operands === undefined) return NOTHING;
  if ("each" in operands) return { words: operands.each(names).filter((name) => !given.includes(name)) };
  const operand = operands[given.length];
  if (operand === undefined) return NOTHING;
  return operand === files ? FILES : { words: operand(names) };
}

async function systemCalls(): Promise<readonly string[]> {
  const { ABIS } = await import("../../../internal/security/seccomp/numbers.ts");
  return [...new Set(ABIS.flatMap((abi) => [...abi.numbers().keys()]))].sort();
}

/** `cp`: a path of the machine, or a container and a colon. */
function copied(given: readonly string[], typed: string, names: Names): Values {
  if (given.length > 1 || typed.includes(":")) return NOTHING;
  if (typed.includes("/")) return FILES;
  return { words: names.containers().map((name) => `${name}:`), mayBeFile: true, isUnfinished: true };
}
