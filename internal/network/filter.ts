/** Keeps the packet filter as the store says: whole chains are written from it, one change at a time. */

import { restoreRules, saveRules } from "../iptables/restore.ts";
import { type FilterState, parsePresent, renderPorts, renderRules } from "../iptables/rules.ts";
import { formatIpv4, formatSubnet } from "../netlink/ipv4.ts";
import { readText, writeInto } from "../sys/file.ts";
import { listEndpoints, listNetworks, type Store } from "./store.ts";

const IP_FORWARD = "/proc/sys/net/ipv4/ip_forward";

export interface Filter {
  /** Brings the published ports to what the store says. Resolves when a change that began after the call is done. */
  apply(): Promise<void>;
  /** Brings everything to what the store says, whatever is there; then switches the host's forwarding on. */
  establish(): Promise<void>;
}

export function createFilter(store: Store): Filter {
  let last: Promise<void> = Promise.resolve();
  let waiting: Promise<void> | undefined;

  const inTurn = (action: () => Promise<void>): Promise<void> => {
    const turn = last.then(action);
    last = turn.catch(() => undefined); // told to whoever asked for it
    return turn;
  };
  const apply = (): Promise<void> => {
    // Those that come while a change runs share the next one.
    waiting ??= inTurn(async () => {
      waiting = undefined;
      await restoreRules(renderPorts(filterState(store, false)));
    });
    return waiting;
  };
  const establish = (): Promise<void> =>
    inTurn(async () => {
      const isForwarding = readText(IP_FORWARD).trim() === "1";
      const present = parsePresent(await saveRules());
      // The rules first: at no moment does a host forward that has not been told what to drop.
      await restoreRules(renderRules(filterState(store, !isForwarding), present));
      if (!isForwarding) writeInto(IP_FORWARD, "1");
    });
  return { apply, establish };
}

function filterState(store: Store, dropsForwarded: boolean): FilterState {
  const networks = listNetworks(store);
  const [first] = networks.flatMap(({ device }) => (device === null ? [] : [device]));
  return {
    prefix: chainPrefix(first ?? ""),
    bridges: networks.flatMap(({ device, subnet, prefix_length: prefixLength, gateway }) =>
      device === null || subnet === null || prefixLength === null || gateway === null
        ? []
        : [{ device, subnet: formatSubnet({ network: subnet, prefixLength }), gateway: formatIpv4(gateway) }],
    ),
    ports: listEndpoints(store).flatMap(({ state, address, ports }) =>
      state !== "attached" || address === undefined
        ? []
        : ports.map((port) => ({ ...port, address: formatIpv4(address) })),
    ),
    dropsForwarded,
  };
}

/** `CTR` for ctr0, `CTR1` for ctr1: two engines in one network namespace do not write each other's chains. */
function chainPrefix(device: string): string {
  const number = /^ctr([1-9][0-9]*)$/.exec(device)?.[1];
  return number === undefined ? "CTR" : `CTR${number}`;
}
