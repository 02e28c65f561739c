/**
 * A decision graph as classic BPF. The program is written from its end, so that every jump leads to what is placed
 * already; answers are shared where the jump, of at most 255 instructions, still reaches one.
 */
import { CtrError } from "../../errors/error.ts";

/** One step of a decision; the same object may be reached from several places and is written once. */
export type Node = Return | Load | And | Test;

export interface Return {
  readonly ret: number;
}

/** Loads the 32-bit word at this offset of struct seccomp_data. */
export interface Load {
  readonly load: number;
  readonly next: Node;
}

export interface And {
  readonly and: number;
  readonly next: Node;
}

/** Compares what was loaded, unsigned. */
export interface Test {
  readonly test: "eq" | "gt" | "ge";
  readonly k: number;
  readonly yes: Node;
  readonly no: Node;
}

/** Makes the nodes of one program. What is made twice is the same node, so that it is written, and compared, once. */
export interface NodeMaker {
  ret(value: number): Node;
  load(offset: number, next: Node): Node;
  and(mask: number, next: Node): Node;
  /** Two ways to one place need no comparison. */
  test(compare: Test["test"], k: number, yes: Node, no: Node): Node;
}

export function nodeMaker(): NodeMaker {
  const made = new Map<string, Node>();
  const ids = new Map<Node, number>();
  const id = (node: Node): number => ids.get(node) ?? -1;
  const once = (key: string, make: () => Node): Node => {
    const known = made.get(key);
    if (known !== undefined) return known;
    const node = make();
    made.set(key, node);
    ids.set(node, ids.size);
    return node;
  };
  return {
    ret: (value) => once(`ret ${value >>> 0}`, () => ({ ret: value >>> 0 })),
    load: (offset, next) => ("ret" in next ? next : once(`load ${offset} ${id(next)}`, () => ({ load: offset, next }))),
    and: (mask, next) => once(`and ${mask} ${id(next)}`, () => ({ and: mask, next })),
    test: (compare, k, yes, no) =>
      yes === no ? yes : once(`${compare} ${k} ${id(yes)} ${id(no)}`, () => ({ test: compare, k, yes, no })),
  };
}

// linux/bpf_common.h
const LD_W_ABS = 0x20;
const AND_K = 0x54;
const JA = 0x05;
const RET_K = 0x06;
const JUMPS = { eq: 0x15, gt: 0x25, ge: 0x35 } as const;

export const MAX_INSTRUCTIONS = 4096; // BPF_MAXINSNS
// A conditional jump has 8 bits; two are kept for what may still come between.
const MAX_JUMP = 253;

interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** struct sock_filter[]. Throws `invalid` if the kernel would not take so many instructions. */
export function assemble(start: Node): Uint8Array {
  // In reverse: index 0 is the program's last instruction.
  const written: Instruction[] = [];
  const places = new Map<Node, number>();

  const push = (code: number, k: number, jt = 0, jf = 0) => written.push({ code, k, jt, jf }) - 1;
  /** How many instructions a jump that is written next skips to get to `place`. */
  const distance = (place: number) => written.length - place - 1;

  /** Makes `node` reachable by a conditional jump that is written next. */
  const near = (node: Node): number => {
    const place = put(node);
    if (distance(place) <= MAX_JUMP) return place;
    if (!("ret" in node)) return push(JA, distance(place));
    const copy = push(RET_K, node.ret);
    places.set(node, copy);
    return copy;
  };

  /** Makes `node` what follows the instruction that is written next. */
  const follow = (node: Node): void => {
    const place = put(node);
    if (distance(place) === 0) return;
    if ("ret" in node) push(RET_K, node.ret);
    else push(JA, distance(place));
  };

  const put = (node: Node): number => {
    const known = places.get(node);
    if (known !== undefined) return known;
    let place: number;
    if ("ret" in node) {
      place = push(RET_K, node.ret);
    } else if ("test" in node) {
      put(node.yes);
      const no = near(node.no);
      const yes = near(node.yes);
      place = push(JUMPS[node.test], node.k, distance(yes), distance(no));
    } else {
      follow(node.next);
      place = "load" in node ? push(LD_W_ABS, node.load) : push(AND_K, node.and);
    }
    places.set(node, place);
    return place;
  };

  const first = put(start);
  if (first !== written.length - 1) push(JA, distance(first));
  if (written.length > MAX_INSTRUCTIONS) {
    const message = `the seccomp profile is too large: ${written.length} instructions, the kernel takes ${MAX_INSTRUCTIONS}`;
    throw new CtrError("invalid", message);
  }
  return encode(written.reverse());
}

/** struct sock_filter: u16 code, u8 jt, u8 jf, u32 k. */
function encode(program: readonly Instruction[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(program.length * 8));
  for (const [at, { code, k, jt, jf }] of program.entries()) {
    if (jt > 255 || jf > 255) throw new CtrError("internal", "a seccomp jump is too long");
    view.setUint16(at * 8, code, true);
    view.setUint8(at * 8 + 2, jt);
    view.setUint8(at * 8 + 3, jf);
    view.setUint32(at * 8 + 4, k >>> 0, true);
  }
  return new Uint8Array(view.buffer);
}
