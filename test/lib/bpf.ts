/** The kernel's interpreter of a seccomp program (net/core/filter.c), for the instructions seccomp_check_filter lets through. */

export interface Call {
  readonly arch: number;
  readonly nr: number;
  readonly args?: readonly bigint[];
}

/** The program's answer, a SECCOMP_RET_ value; libseccomp's programs run too. Throws for one the kernel would not take. */
export function runFilter(program: Uint8Array, { arch, nr, args = [] }: Call): number {
  const input = new DataView(new ArrayBuffer(64));
  input.setUint32(0, nr, true);
  input.setUint32(4, arch, true);
  for (const [index, value] of args.entries()) input.setBigUint64(16 + 8 * index, BigInt.asUintN(64, value), true);
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let a = 0;
  for (let at = 0; at < program.length / 8; at++) {
    const k = view.getUint32(at * 8 + 4, true);
    const branch = (isTrue: boolean) => view.getUint8(at * 8 + (isTrue ? 2 : 3));
    switch (view.getUint16(at * 8, true)) {
      case 0x20: // LD W ABS
        if (k % 4 !== 0 || k >= 64) throw new Error(`instruction ${at} loads from ${k}`);
        a = input.getUint32(k, true);
        break;
      case 0x54: // AND K
        a = (a & k) >>> 0;
        break;
      case 0x05: // JA
        at += k;
        break;
      case 0x15: // JEQ
        at += branch(a === k);
        break;
      case 0x25: // JGT
        at += branch(a > k);
        break;
      case 0x35: // JGE
        at += branch(a >= k);
        break;
      case 0x45: // JSET
        at += branch((a & k) !== 0);
        break;
      case 0x06: // RET K
        return k;
      default:
        throw new Error(`instruction ${at} is none the kernel takes`);
    }
  }
  throw new Error("ran past the end");
}
