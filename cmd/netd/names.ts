/** The containers' name server, loaded when the first network has names. */
import type { Controller } from "../../internal/network/controller.ts";
import type { DnsCounters, KeptSockets, NameServer } from "../../internal/network/dns/name-server.ts";
import type { Log } from "../../internal/network/log.ts";
import type { Dns } from "../../internal/network/names.ts";
import { readBootId } from "../../internal/network/sandbox.ts";

const NO_QUESTIONS: DnsCounters = { containers: 0, questions: 0, answered: 0, forwarded: 0, failed: 0, waiting: 0 };

export interface Names extends Dns {
  readonly changed: (containerId?: string) => Promise<void>;
  untilNextTimer(): number | undefined;
  counters(): DnsCounters;
  /** Resolves when no question waits for another server. */
  idle(): Promise<void>;
}

export function createNames(controller: Promise<Controller>, kept: KeptSockets, log: Log): Names {
  let server: NameServer | undefined;
  const start = async (): Promise<NameServer> => {
    const { namesOnNetworks } = await controller;
    const { createNameServer } = await import("../../internal/network/dns/name-server.ts");
    server ??= createNameServer({ names: namesOnNetworks, bootId: readBootId(), log, kept });
    return server;
  };
  return {
    changed: async (containerId) => await (server ?? (await start())).changed(containerId),
    served: async (containerId) => await (server ?? (await start())).served(containerId),
    // At a start it is not there yet, nor are they missed.
    differences: () => server?.differences() ?? [],
    repair: async () => await server?.repair(),
    untilNextTimer: () => server?.untilNextTimer(),
    counters: () => ({ ...(server?.counters ?? NO_QUESTIONS) }),
    idle: async () => await server?.idle(),
  };
}
