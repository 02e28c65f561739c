/**
 * `linux.netDevices`: network devices of the host for the container's network namespace (config-linux.md#network-devices).
 * Nobody takes them back when the container ends: the namespace's end does that with hardware, and ends what is virtual.
 */
import { CtrError, withContext } from "../errors/error.ts";
import { type MovedDevice, moveDevice, type NamespaceEnd, returnDevice } from "../netlink/move-device.ts";
import { NETLINK_ROUTE, openNetlink } from "../netlink/socket.ts";
import { inNamespace } from "../network/sandbox.ts";
import type { Linux } from "../spec/runtime.ts";
import { O_RDONLY, open } from "../sys/fd.ts";
import { fstat } from "../sys/file.ts";

type NetDevices = NonNullable<Linux["netDevices"]>;

/** Devices that were moved; disposing brings them back, unless they are kept. */
export interface GivenDevices extends Disposable {
  keep(): void;
}

/** Moves them into the network namespace of a process, all of them or none. */
export function giveDevices(devices: NetDevices, pid: number): GivenDevices {
  using owned = new DisposableStack();
  const from = ends(owned, "/proc/thread-self/ns/net");
  const to = ends(owned, `/proc/${pid}/ns/net`);
  if (fstat(from.namespaceFd).ino === fstat(to.namespaceFd).ino)
    throw new CtrError("invalid", "linux.netDevices: the container's network namespace is the host's");
  const moved: MovedDevice[] = [];
  const giveBack = () => {
    for (const device of moved.toReversed()) returnDevice(from, to, device);
  };
  owned.defer(() => {
    if (!isKept) giveBack();
  });
  let isKept = false;
  for (const [name, { name: newName = "" }] of Object.entries(devices)) {
    try {
      moved.push(moveDevice(from, to, name, newName === "" ? name : newName));
    } catch (error) {
      throw withContext("linux.netDevices", error);
    }
  }
  const given = owned.move();
  return {
    keep: () => {
      isKept = true;
    },
    [Symbol.dispose]: () => given.dispose(),
  };
}

function ends(owned: DisposableStack, path: string): NamespaceEnd {
  const namespaceFd = owned.use(open(path, O_RDONLY)).number;
  return { namespaceFd, netlink: owned.use(inNamespace(namespaceFd, () => openNetlink(NETLINK_ROUTE))) };
}
