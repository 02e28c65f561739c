/**
 * A program in namespaces that others are in already, started by a small static program in between (csrc/joiner.c): what
 * those others see of it before its execve has nothing of ours, neither executable nor memory nor descriptors.
 */
import joinerBase64 from "../../build/joiner.b64" with { type: "text" };
import { EAGAIN, EINVAL, ENOMEM, ENOSYS } from "../errors/error.ts";
import { memfdCreate, pread, pwrite, sealedProgram } from "./fd.ts";
import { kill, pidfdOpen, waitChild } from "./process.ts";
import {
  Packer,
  type ProcessImage,
  packProcess,
  packSpawn,
  SpawnError,
  type Spawned,
  type SpawnOptions,
  type SpawnStep,
  STEPS,
  spawnExecutable,
} from "./spawn.ts";

const SIGKILL = 9;

/** REQUEST_ADDRESS and REQUEST_OFFSET of csrc/joiner.c. */
const ADDRESS = 0x1000000000n;
const OFFSET = 65536;

/** Packs for a reader that maps it all at a known place. What comes first there is the address of what is asked for. */
class Request extends Packer {
  readonly #parts: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  #size = 8;

  override pointer(bytes: Uint8Array): bigint {
    if (bytes.length === 0) return 0n;
    const at = this.#size;
    this.#parts.push({ at, bytes });
    this.#size += (bytes.length + 7) & ~7;
    return ADDRESS + BigInt(at);
  }

  /** The whole of it; `address` is where what is asked for lies. */
  content(address: bigint): Uint8Array {
    const content = new Uint8Array(this.#size);
    new BigUint64Array(content.buffer, 0, 1)[0] = address;
    for (const { at, bytes } of this.#parts) content.set(bytes, at);
    return content;
  }
}

/**
 * As `spawnProcess`, for a program in a PID namespace (`options.pidNamespaceFd`) whose processes may trace it. Throws
 * SpawnError.
 */
export function spawnApart(image: ProcessImage, options: JoinOptions): Spawned {
  const outcome = joined(image, options, true);
  // A filter that forbids what is to be done under it, or ended the one in between, has left nothing behind.
  const isByFilter = image.seccomp !== undefined && "step" in outcome && isOfFilter(outcome);
  const last = isByFilter ? joined(image, options, false) : outcome;
  if ("step" in last) throw new SpawnError(last.step, last.errno, image.args[0]);
  return last;
}

/** What a program is to be started in. */
export interface JoinOptions extends SpawnOptions {
  readonly pidNamespaceFd: number;
}

interface Failure {
  readonly step: SpawnStep;
  readonly errno: number;
}

function isOfFilter({ step, errno }: Failure): boolean {
  return (step === "clone" || step === "session" || step === "terminal") && errno !== EAGAIN && errno !== ENOMEM;
}

/** Has it done once. `isWatched`: the program is born confined. */
function joined(image: ProcessImage, options: JoinOptions, isWatched: boolean): Spawned | Failure {
  const { fds, joins = [], taskFds = [], pidNamespaceFd, cgroupFd } = options;
  using request = memfdCreate("ctr-request");
  using executable = sealedProgram("ctr-joiner", joinerBase64);
  // Each becomes the descriptor that its place in the list says.
  const given = [...fds];
  const place = (fd: number) => given.push(fd) - 1;
  const { agent, ...others } = image;
  const inside = {
    joins: joins.map(({ fd, kind }) => ({ fd: place(fd), kind })),
    pidNamespaceFd: place(pidNamespaceFd),
    taskFds: taskFds.map(place),
    fds: [],
    newSession: options.newSession === true,
    isWatched,
  };
  const program = agent === undefined ? others : { ...others, agent: { ...agent, socket: place(agent.socket) } };
  const packer = new Request();
  const process = packer.pointer(bytesOf(packProcess(packer, program)));
  const address = packer.pointer(bytesOf(packSpawn(packer, inside, [-1n, 0n, 0n], process)));
  pwrite(request.number, packer.content(address), OFFSET);
  const name = ["ctr-joiner", `${place(request.number)}`];
  const where = { fds: given, ...(cgroupFd === undefined ? {} : { cgroupFd }) };
  const between = spawnExecutable(executable.number, name, [], where);
  between.pidfd.close();
  waitChild(between.pid, true);
  return outcomeOf(request.number);
}

function bytesOf(words: BigInt64Array): Uint8Array {
  return new Uint8Array(words.buffer);
}

/** `struct joined` of csrc/joiner.c. */
function outcomeOf(request: number): Spawned | Failure {
  const words = new BigInt64Array(3);
  pread(request, bytesOf(words), 0);
  const [pid = 0, step = 0, errno = 0] = [...words].map(Number);
  if (errno === 0 && pid > 0) return { pid, pidfd: pidfdOpen(pid) };
  if (pid > 0) {
    // Whoever traces it may have written what it reported: it is ended whatever that says.
    kill(pid, SIGKILL);
    waitChild(pid, true);
  }
  // Ended by the filter, without a word.
  if (errno === 0) return { step: "clone", errno: ENOSYS };
  return { step: STEPS[step] ?? "none", errno: errno > 0 && errno < 4096 ? errno : EINVAL };
}
