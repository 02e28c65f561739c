/**
 * Device rules as an eBPF program for cgroup v2: the rules are brought into the form that v1's kernel code keeps (a
 * default and its exceptions, security/device_cgroup.c), and the exceptions become comparisons.
 */
import { CtrError, ENOSYS, EPERM, isErrno, withContext } from "../errors/error.ts";
import type { DeviceRule } from "../spec/runtime.ts";
import {
  BPF_CGROUP_DEVICE,
  BPF_F_ALLOW_MULTI,
  BPF_PROG_TYPE_CGROUP_DEVICE,
  bpfProgAttach,
  bpfProgDetach,
  bpfProgGetFdById,
  bpfProgLoad,
  bpfProgQuery,
} from "../sys/bpf.ts";
import { O_DIRECTORY, O_RDONLY, open } from "../sys/fd.ts";

// linux/bpf.h, struct bpf_cgroup_dev_ctx: access_type is access << 16 | type
const BLOCK = 1;
const CHARACTER = 2;
const ACCESS: { readonly [letter: string]: number } = { m: 1, r: 2, w: 4 };
const ALL_ACCESS = 7;

/** A kind of device and the access that the default does not decide. `undefined` is every number. */
export interface DeviceException {
  readonly type: typeof BLOCK | typeof CHARACTER;
  readonly major: number | undefined;
  readonly minor: number | undefined;
  readonly access: number;
}

/** What a list of rules comes to. */
export interface DevicePolicy {
  readonly isAllowed: boolean;
  readonly exceptions: readonly DeviceException[];
}

/** The policy of rules that follow each other, each over the ones before it; nothing is allowed before the first. */
export function devicePolicy(rules: readonly DeviceRule[]): DevicePolicy {
  let isAllowed = false;
  let exceptions: DeviceException[] = [];
  for (const rule of rules) {
    const access = accessMask(rule.access);
    const [major, minor] = [number(rule.major), number(rule.minor)];
    const type = rule.type ?? "a";
    if (type === "a" && major === undefined && minor === undefined && access === ALL_ACCESS) {
      isAllowed = rule.allow;
      exceptions = [];
      continue;
    }
    for (const kind of [BLOCK, CHARACTER] as const) {
      if (type !== "a" && (type === "b") !== (kind === BLOCK)) continue;
      const exception: DeviceException = { type: kind, major, minor, access };
      exceptions = rule.allow === isAllowed ? without(exceptions, exception) : having(exceptions, exception);
    }
  }
  return { isAllowed, exceptions };
}

function accessMask(access: string | undefined): number {
  if (access === undefined || access === "") return ALL_ACCESS;
  let mask = 0;
  for (const letter of access) mask |= ACCESS[letter] ?? 0;
  return mask;
}

function number(value: number | undefined): number | undefined {
  return value === undefined || value < 0 ? undefined : value;
}

function isSameDevice(a: DeviceException, b: DeviceException): boolean {
  return a.type === b.type && a.major === b.major && a.minor === b.minor;
}

function having(exceptions: readonly DeviceException[], more: DeviceException): DeviceException[] {
  const access = exceptions
    .filter((old) => isSameDevice(old, more))
    .reduce((sum, old) => sum | old.access, more.access);
  return [...exceptions.filter((old) => !isSameDevice(old, more)), { ...more, access }];
}

function without(exceptions: readonly DeviceException[], less: DeviceException): DeviceException[] {
  return exceptions
    .map((old) => (isSameDevice(old, less) ? { ...old, access: old.access & ~less.access } : old))
    .filter((old) => old.access !== 0);
}

// linux/bpf_common.h, linux/bpf.h
const LDX_MEM_W = 0x61;
const MOV64_REG = 0xbf;
const MOV64_IMM = 0xb7;
const AND32_IMM = 0x54;
const RSH32_IMM = 0x74;
const JEQ_IMM = 0x15;
const JNE_IMM = 0x55;
const JNE_REG = 0x5d;
const EXIT = 0x95;

// Registers: the answer, scratch (the context at first), type, access, major, minor.
const [R0, R1, TYPE, WANTED, MAJOR, MINOR] = [0, 1, 2, 3, 4, 5];

type Instruction = readonly [code: number, to: number, from: number, offset: number, value: number];

/** The eBPF instructions (struct bpf_insn) of a policy: 1 lets the access happen, 0 answers EPERM. */
export function compileDeviceProgram(policy: DevicePolicy): Uint8Array {
  const program: Instruction[] = [
    [LDX_MEM_W, TYPE, R1, 0, 0],
    [AND32_IMM, TYPE, 0, 0, 0xffff],
    [LDX_MEM_W, WANTED, R1, 0, 0],
    [RSH32_IMM, WANTED, 0, 0, 16],
    [LDX_MEM_W, MAJOR, R1, 4, 0],
    [LDX_MEM_W, MINOR, R1, 8, 0],
  ];
  for (const exception of policy.exceptions) program.push(...compileException(exception, policy.isAllowed));
  program.push([MOV64_IMM, R0, 0, 0, policy.isAllowed ? 1 : 0], [EXIT, 0, 0, 0, 0]);
  return encode(program);
}

/** An exception from "denied" must allow all that is wanted; one from "allowed" denies if it names any of it. */
function compileException(exception: DeviceException, isAllowed: boolean): Instruction[] {
  const body: Instruction[] = [[JNE_IMM, TYPE, 0, 0, exception.type]];
  body.push([MOV64_REG, R1, WANTED, 0, 0], [AND32_IMM, R1, 0, 0, exception.access]);
  body.push(isAllowed ? [JEQ_IMM, R1, 0, 0, 0] : [JNE_REG, R1, WANTED, 0, 0]);
  if (exception.major !== undefined) body.push([JNE_IMM, MAJOR, 0, 0, exception.major]);
  if (exception.minor !== undefined) body.push([JNE_IMM, MINOR, 0, 0, exception.minor]);
  body.push([MOV64_IMM, R0, 0, 0, isAllowed ? 0 : 1], [EXIT, 0, 0, 0, 0]);
  const jumps = new Set([JEQ_IMM, JNE_IMM, JNE_REG]);
  return body.map(([code, to, from, offset, value], at) =>
    jumps.has(code) ? [code, to, from, body.length - at - 1, value] : [code, to, from, offset, value],
  );
}

function encode(program: readonly Instruction[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(program.length * 8));
  for (const [at, [code, to, from, offset, value]] of program.entries()) {
    view.setUint8(at * 8, code);
    view.setUint8(at * 8 + 1, (from << 4) | to);
    view.setInt16(at * 8 + 2, offset, true);
    view.setInt32(at * 8 + 4, value, true);
  }
  return new Uint8Array(view.buffer);
}

/** Makes these rules the cgroup's only ones. The new program comes before the old goes: there is no moment without. */
export function attachDeviceProgram(directory: string, rules: readonly DeviceRule[]): void {
  try {
    using cgroup = open(directory, O_RDONLY | O_DIRECTORY);
    using program = bpfProgLoad(BPF_PROG_TYPE_CGROUP_DEVICE, compileDeviceProgram(devicePolicy(rules)), "ctr_devices");
    const old = bpfProgQuery(cgroup.number, BPF_CGROUP_DEVICE);
    bpfProgAttach(cgroup.number, program.number, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI);
    for (const id of old) {
      using oldProgram = bpfProgGetFdById(id);
      bpfProgDetach(cgroup.number, oldProgram.number, BPF_CGROUP_DEVICE);
    }
  } catch (error) {
    if (!isErrno(error, ENOSYS, EPERM)) throw withContext("device rules", error);
    const message = "device rules: this kernel or the confinement ctr runs in does not permit bpf(2)";
    throw new CtrError("unsupported", message, { cause: error });
  }
}
