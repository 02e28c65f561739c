/**
 * Calls that i386 has a second way to: socketcall(2) and ipc(2) are given the call's number of their own (linux/net.h,
 * linux/ipc.h), and the arguments behind a pointer.
 */
import type { Abi } from "./numbers.ts";

export interface Multiplexer {
  readonly name: "socketcall" | "ipc";
  /** By the name of the call: the number that the first argument holds. */
  readonly members: ReadonlyMap<string, number>;
  /** What counts of the first argument: the upper half of ipc's is a version. */
  readonly mask: bigint;
}

const SOCKETCALL =
  `socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown
setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg`
    .split(/\s+/)
    .map((name, at) => [name, at + 1] as const);

const IPC = [
  ["semop", 1],
  ["semget", 2],
  ["semctl", 3],
  ["semtimedop", 4],
  ["msgsnd", 11],
  ["msgrcv", 12],
  ["msgget", 13],
  ["msgctl", 14],
  ["shmat", 21],
  ["shmdt", 22],
  ["shmget", 23],
  ["shmctl", 24],
] as const;

const OF_I386: readonly Multiplexer[] = [
  { name: "socketcall", members: new Map(SOCKETCALL), mask: 0xffffffffn },
  { name: "ipc", members: new Map(IPC), mask: 0xffffn },
];

export function multiplexers(abi: Abi): readonly Multiplexer[] {
  return abi.name === "SCMP_ARCH_X86" ? OF_I386 : [];
}
