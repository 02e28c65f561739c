/** What systemd hands over at netd's start: the socket to listen on, and sockets that netd kept from its life before. */
import { type Environment, type ServiceManager, takeHandedOver } from "../../internal/ipc/service-manager.ts";
import type { KeptSockets } from "../../internal/network/dns/name-server.ts";
import { dup, Fd } from "../../internal/sys/fd.ts";

/** How the names of kept sockets begin; every other is a socket unit's. */
const KEPT = /^dns-/;

export interface Inheritance {
  /** Undefined: netd makes its own. */
  readonly listener: Fd | undefined;
  /** True if systemd handed it over. */
  readonly isSystemds: boolean;
  readonly kept: KeptSockets;
  /** Lets go of what nobody took: of containers that ended meanwhile. */
  forgetRest(): void;
}

/**
 * To be called once, after the locks are held: a process that is killed closes its descriptors in order, so whoever finds
 * the socket dead finds the locks free.
 */
export function takeInheritance(manager: ServiceManager, environment: Environment): Inheritance {
  const kept = new Map<string, Fd>();
  let listener: Fd | undefined;
  for (const { name, fd } of takeHandedOver(environment)) {
    if (KEPT.test(name) && !kept.has(name)) kept.set(name, fd);
    else if (listener === undefined && !KEPT.test(name)) listener = fd;
    else fd.close();
  }
  const take = (beginning: string) =>
    [...kept]
      .filter(([name]) => name.startsWith(beginning))
      .map(([name, fd]) => {
        kept.delete(name);
        return { name, fd };
      });
  return {
    listener: listener ?? spawnersListener(environment),
    isSystemds: listener !== undefined,
    kept: { take, keep: manager.keep, forget: manager.forget },
    forgetRest: () => {
      for (const { name, fd } of take("")) {
        fd.close();
        manager.forget(name);
      }
    },
  };
}

/** Of whoever started us on first need. */
function spawnersListener({ CTR_LISTEN_FD }: Environment): Fd | undefined {
  if (CTR_LISTEN_FD === undefined) return undefined;
  using original = new Fd(Number(CTR_LISTEN_FD));
  return dup(original.number);
}
