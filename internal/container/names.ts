/** Names and ids: what a container may be called, and what it is called when nobody said. */
import { CtrError } from "../errors/error.ts";
import type { ContainerName } from "../ipc/init.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const ID = /^[0-9a-f]{64}$/;
const ID_PREFIX = /^[0-9a-f]{1,63}$/;

/** The name without Docker's leading slash. Throws `invalid`. */
export function parseName(name: string): string {
  const bare = name.startsWith("/") ? name.slice(1) : name;
  if (!NAME.test(bare)) {
    throw new CtrError("invalid", `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  }
  return bare;
}

/** A new container id: 64 hexadecimal digits. */
export function generateId(): string {
  return crypto.getRandomValues(new Uint8Array(32)).toHex();
}

/** True for a whole id. */
export function isId(text: string): boolean {
  return ID.test(text);
}

/** True for a name as containers have it, without the slash. */
export function isName(text: string): boolean {
  return NAME.test(text);
}

/** True for what may be the beginning of an id. */
export function isIdPrefix(text: string): boolean {
  return ID_PREFIX.test(text);
}

/** A name nobody asked for: `adjective_surname`; from the third attempt on with a digit behind it. */
export function generateName(attempt = 0): string {
  const [a = 0, b = 0, c = 0] = crypto.getRandomValues(new Uint32Array(3));
  const name = `${ADJECTIVES[a % ADJECTIVES.length]}_${SURNAMES[b % SURNAMES.length]}`;
  return attempt < 2 ? name : `${name}${c % 10 ** Math.min(attempt - 1, 9)}`;
}

const ADJECTIVES = (
  "able agile airy amber ample apt ardent astute autumn balmy bold brave breezy bright brisk busy calm candid careful " +
  "cheery civil clear clever cosy crisp curious daring deft diligent dreamy eager early earnest easy elastic elegant " +
  "epic exact fair famous fearless festive fine firm fluent fond frank free fresh gentle genuine glad golden grand " +
  "happy hardy hearty helpful honest humble ideal jolly jovial keen kind lively logical loyal lucid lucky mellow merry " +
  "mild modest neat nifty nimble noble open patient plucky polite prompt proud quick quiet rapid ready regal robust " +
  "rosy serene sharp silent silver simple sincere sleek smart snug solid spry stable steady stoic sturdy subtle sunny " +
  "swift tactful tender thrifty tidy tranquil trusty upbeat valiant vivid warm wise witty zany zealous zesty"
).split(" ");

const SURNAMES = (
  "abel ampere archimedes avogadro babbage banach bernoulli bohr boltzmann boole born bose brahe cantor carson cauchy " +
  "cavendish chandrasekhar chebyshev church copernicus coulomb cray curie dalton darwin dijkstra dirac doppler earhart " +
  "eckert edison einstein engelbart erdos euclid euler faraday fermat fermi feynman fibonacci fleming fourier franklin " +
  "galileo galois gauss germain goedel goodall haber halley hamilton hawking heisenberg herschel hertz hilbert hooke " +
  "hopper hubble huygens hypatia jacobi joule kepler kilby knuth kolmogorov kovalevskaya lagrange lamarr laplace " +
  "lavoisier leavitt leibniz liskov lorentz lovelace markov maxwell mccarthy meitner mendel mendeleev minsky napier " +
  "newton nightingale noether nobel ohm pascal pasteur pauli payne perlman planck poincare ptolemy pythagoras raman " +
  "ramanujan riemann ritchie roentgen rutherford sagan salk shannon shockley snow stallman tesla thompson torvalds " +
  "turing volta wiles wilson wing wozniak wright wu yonath"
).split(" ");

/** What hooks and the agents of seccomp filters are told a container is. */
export function containerName({ root }: { readonly root: string }, id: string): ContainerName {
  return { id, bundle: `${root}/containers/${id}` };
}
