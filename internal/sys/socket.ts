/** Sockets as bare descriptors: for netlink, for the first message between processes, for peer credentials. */
import { ptr } from "bun:ffi";
import { CtrError } from "../errors/error.ts";
import { Fd } from "./fd.ts";
import { check, cstr, lib } from "./lib.ts";

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_STREAM = 1;
export const SOCK_SEQPACKET = 5;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
const SO_PEERCRED = 17;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;

/** socket(2), close-on-exec. */
export function socket(family: number, type: number, protocol = 0): Fd {
  return new Fd(check("socket", lib.ctr_socket(family, type | SOCK_CLOEXEC, protocol)));
}

/** socketpair(2), both ends close-on-exec. */
export function socketpair(type = SOCK_STREAM): readonly [Fd, Fd] {
  const fds = new Int32Array(2);
  check("socketpair", lib.ctr_socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds));
  return [new Fd(fds[0] ?? -1), new Fd(fds[1] ?? -1)];
}

/** bind(2) with the address in its kernel form. */
export function bind(fd: number, address: Uint8Array, shown?: string): void {
  check("bind", lib.ctr_bind(fd, address, address.length), shown);
}

/** listen(2). */
export function listen(fd: number, backlog: number): void {
  check("listen", lib.ctr_listen(fd, backlog));
}

/** connect(2). */
export function connect(fd: number, address: Uint8Array, shown?: string): void {
  check("connect", lib.ctr_connect(fd, address, address.length), shown);
}

/** setsockopt(2) with an int. */
export function setsockoptInt(fd: number, level: number, option: number, value: number): void {
  check("setsockopt", lib.ctr_setsockopt(fd, level, option, new Int32Array([value]), 4));
}

/** getsockname(2): the address in its kernel form. */
export function getsockname(fd: number): Uint8Array {
  const address = new Uint8Array(128);
  const size = new Uint32Array([address.length]);
  check("getsockname", lib.ctr_getsockname(fd, address, size));
  return address.slice(0, size[0]);
}

/** `SO_PEERCRED` of unix(7): who connected. */
export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } {
  const ucred = new Int32Array(3);
  check("getsockopt", lib.ctr_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ucred, new Uint32Array([12])));
  return { pid: ucred[0] ?? 0, uid: ucred[1] ?? -1, gid: ucred[2] ?? -1 };
}

/** sendto(2) without an address. */
export function send(fd: number, bytes: Uint8Array, flags = 0): number {
  return check("send", lib.ctr_sendto(fd, bytes, bytes.length, flags, null, 0));
}

/** recv(2): the number of bytes; a datagram longer than the buffer is cut (with `MSG_TRUNC` 0x20 its true size is returned). */
export function recv(fd: number, buffer: Uint8Array, flags = 0): number {
  return check("recv", lib.ctr_recvfrom(fd, buffer, buffer.length, flags, null, null));
}

/** accept4(2): waits for the next connection, which is close-on-exec. */
export function accept(fd: number): Fd {
  return new Fd(check("accept", lib.ctr_accept4(fd, SOCK_CLOEXEC)));
}

/** recvfrom(2) of a datagram: its size, and who sent it, in the kernel's form. */
export function recvfrom(fd: number, buffer: Uint8Array, flags = 0): { size: number; from: Uint8Array } {
  const address = new Uint8Array(128);
  const addressSize = new Uint32Array([address.length]);
  const size = check("recvfrom", lib.ctr_recvfrom(fd, buffer, buffer.length, flags, address, addressSize));
  return { size, from: address.slice(0, addressSize[0]) };
}

/** sendmsg(2) of a descriptor (`SCM_RIGHTS` of unix(7)), with `data` beside it or nothing; never waits. */
export function sendFd(fd: number, passed: number, data = new Uint8Array(0)): void {
  check("sendmsg", lib.ctr_send_fd(fd, passed, data.length === 0 ? null : data, data.length));
}

/** recvmsg(2): the number of bytes, 0 at the end, and the descriptor that came with them, which is close-on-exec. */
export function recvFd(fd: number, data: Uint8Array): { readonly size: number; readonly fd: number | undefined } {
  const received = new Int32Array([-1]);
  const size = check("recvmsg", lib.ctr_recv_fd(fd, data, data.length, received));
  const [passed = -1] = received;
  return { size, fd: passed < 0 ? undefined : passed };
}

/** struct sockaddr_un of unix(7). */
export function unixAddress(path: string): Uint8Array {
  const name = cstr(path);
  const address = new Uint8Array(2 + name.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  return address;
}

const SO_ATTACH_FILTER = 26;

/** One step of a filter: struct sock_filter of linux/filter.h. */
export interface FilterStep {
  readonly code: number;
  readonly ifTrue?: number;
  readonly ifFalse?: number;
  readonly value?: number;
}

// linux/bpf_common.h
export const BPF_LOAD_HALF = 0x28;
export const BPF_LOAD_BYTE = 0x30;
export const BPF_IF_EQUAL = 0x15;
export const BPF_RETURN = 0x06;

/** What arrives at the socket is looked at before it is queued, and nobody woken for the rest: `SO_ATTACH_FILTER` of socket(7). */
export function filterIncoming(fd: number, steps: readonly FilterStep[]): void {
  const filter = new BigUint64Array(
    steps.map(
      ({ code, ifTrue = 0, ifFalse = 0, value = 0 }) =>
        BigInt(code) | (BigInt(ifTrue) << 16n) | (BigInt(ifFalse) << 24n) | (BigInt(value) << 32n),
    ),
  );
  const program = new BigUint64Array([BigInt(steps.length), BigInt(ptr(filter))]); // struct sock_fprog { len, filter }
  check("setsockopt", lib.ctr_setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, 16));
  if (filter.length !== steps.length) throw new TypeError("unreachable: keeps the filter alive until the call is done");
}

/** Drops all that arrives. */
export function dropIncoming(fd: number): void {
  filterIncoming(fd, [{ code: BPF_RETURN }]);
}

/** The descriptor of a socket of Bun's, which stays its owner; its types (1.4.5) do not say that it has one. */
export function descriptorOf(socket: object): number {
  const fd = (socket as { readonly fd?: unknown }).fd;
  if (typeof fd !== "number" || fd < 0) throw new CtrError("internal", "socket without a descriptor");
  return fd;
}
