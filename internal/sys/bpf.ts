/** bpf(2), as far as programs attached to a cgroup need it. Offsets are those of `union bpf_attr` in linux/bpf.h. */
import { ptr } from "bun:ffi";
import { Fd } from "./fd.ts";
import { check, cstr, lib } from "./lib.ts";

export const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
export const BPF_CGROUP_DEVICE = 6;
export const BPF_F_ALLOW_MULTI = 2;

const BPF_PROG_LOAD = 5;
const BPF_PROG_ATTACH = 8;
const BPF_PROG_DETACH = 9;
const BPF_PROG_GET_FD_BY_ID = 13;
const BPF_PROG_QUERY = 16;
const INSTRUCTION_SIZE = 8;
const MAX_QUERIED = 64;

function bpf(
  command: number,
  shown: string,
  size: number,
  fill: (attr: DataView) => void,
): { result: number; attr: DataView } {
  const attr = new DataView(new ArrayBuffer(size));
  fill(attr);
  return { result: check(shown, lib.ctr_bpf(command, new Uint8Array(attr.buffer), size)), attr };
}

/** BPF_PROG_LOAD, kernel 3.18: a checked program; close-on-exec. */
export function bpfProgLoad(type: number, instructions: Uint8Array, name: string): Fd {
  const license = cstr("GPL");
  const { result } = bpf(BPF_PROG_LOAD, "bpf program load", 64, (attr) => {
    attr.setUint32(0, type, true);
    attr.setUint32(4, instructions.length / INSTRUCTION_SIZE, true);
    attr.setBigUint64(8, BigInt(ptr(instructions)), true);
    attr.setBigUint64(16, BigInt(ptr(license)), true);
    new Uint8Array(attr.buffer, 48, 15).set(new TextEncoder().encode(name).subarray(0, 15));
  });
  return new Fd(result);
}

/** BPF_PROG_ATTACH, kernel 4.10; the cgroup holds the program from then on. */
export function bpfProgAttach(cgroupFd: number, program: number, attachType: number, flags: number): void {
  bpf(BPF_PROG_ATTACH, "bpf attach", 20, (attr) => {
    attr.setUint32(0, cgroupFd, true);
    attr.setUint32(4, program, true);
    attr.setUint32(8, attachType, true);
    attr.setUint32(12, flags, true);
  });
}

/** BPF_PROG_DETACH, kernel 4.10. */
export function bpfProgDetach(cgroupFd: number, program: number, attachType: number): void {
  bpf(BPF_PROG_DETACH, "bpf detach", 20, (attr) => {
    attr.setUint32(0, cgroupFd, true);
    attr.setUint32(4, program, true);
    attr.setUint32(8, attachType, true);
  });
}

/** BPF_PROG_QUERY, kernel 4.15: the ids of the programs attached to this very cgroup. */
export function bpfProgQuery(cgroupFd: number, attachType: number): readonly number[] {
  const ids = new Uint32Array(MAX_QUERIED);
  const { attr } = bpf(BPF_PROG_QUERY, "bpf query", 32, (query) => {
    query.setUint32(0, cgroupFd, true);
    query.setUint32(4, attachType, true);
    query.setBigUint64(16, BigInt(ptr(ids)), true);
    query.setUint32(24, MAX_QUERIED, true);
  });
  return [...ids.subarray(0, attr.getUint32(24, true))];
}

/** BPF_PROG_GET_FD_BY_ID, kernel 4.13. */
export function bpfProgGetFdById(id: number): Fd {
  return new Fd(bpf(BPF_PROG_GET_FD_BY_ID, "bpf program", 12, (attr) => attr.setUint32(0, id, true)).result);
}
