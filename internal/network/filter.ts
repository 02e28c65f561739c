/** Keeps the packet filter as the store says: whole chains are written from it, one change at a time. */

import { CtrError } from "../errors/error.ts";
import { type Family, isInstalled, saveRules, startRestore, type WaitingRestore } from "../iptables/restore.ts";
import {
  compareRules,
  type FilteredBridge,
  type FilteredPort,
  type FilterState,
  parsePresent,
  portRule,
  renderPortChanges,
  renderPorts,
  renderRules,
} from "../iptables/rules.ts";
import { formatIpv4, formatSubnet } from "../netlink/ipv4.ts";
import { createCommits } from "../netlink/nft-commits.ts";
import { readText, writeInto } from "../sys/file.ts";
import { createGuard, type Guard, isWithoutIcc } from "./guard.ts";
import { OPTION, parseBoolean } from "./plan.ts";
import { type EndpointRecord, listEndpoints, listNetworks, type NetworkRow, type Store } from "./store.ts";

const FORWARDING = { 4: "/proc/sys/net/ipv4/ip_forward", 6: "/proc/sys/net/ipv6/conf/all/forwarding" } as const;

export interface Filter {
  /** Adds the rules of an endpoint's published ports. Resolves when a change that began after the call is done. */
  publish(endpoint: EndpointRecord): Promise<void>;
  /** Takes them away. */
  unpublish(endpoint: EndpointRecord): Promise<void>;
  /** Starts what the next change needs, beside what is done before it; ended with the result, if there was no change. */
  begin(families: readonly Family[]): Disposable;
  /** Brings everything to what the store says, whatever is there; then switches the host's forwarding on. */
  establish(): Promise<void>;
  /** For a start at which nothing needs rules: writes them if those of a network are left that is not there any more. */
  tidy(): Promise<void>;
  /** What the last `establish` found otherwise; resolves when the changes asked for so far are done. */
  found(): Promise<readonly string[]>;
  /** What the kernel's rules have otherwise than the store says. */
  differences(): Promise<string[]>;
  /** What ports of bridges may send. */
  readonly guard: Guard;
}

export function createFilter(store: Store): Filter {
  let last: Promise<void> = Promise.resolve();
  let waiting: Promise<void> | undefined;
  const commits = createCommits();
  const begun = new Map<Family, WaitingRestore>();
  const present: Present = {
    written: new Map(),
    restore: async (rules, family) => {
      using listener = await commits.listen();
      const waiting = begun.get(family) ?? startRestore(family);
      begun.delete(family);
      await waiting.apply(rules, listener);
    },
  };
  let pending: Changes = { added: [], removed: [] };
  let found: readonly string[] = [];
  /** The IPv6 filter has had something of ours: a host without IPv6 networks needs no ip6tables. */
  let hasSix = false;
  const guard = createGuard(store, () => prefixOf(listNetworks(store)));

  const inTurn = (action: () => Promise<void>): Promise<void> => {
    const turn = last.then(action);
    last = turn.catch(() => undefined); // told to whoever asked for it
    return turn;
  };
  const change = (kind: keyof Changes, endpoint: EndpointRecord): Promise<void> => {
    pending[kind].push(endpoint);
    // Those that come while a change runs share the next one.
    waiting ??= inTurn(async () => {
      waiting = undefined;
      const changes = pending;
      pending = { added: [], removed: [] };
      await Promise.all([changeOne(store, changes, 4, present), changeOne(store, changes, 6, present)]);
    });
    return waiting;
  };
  const establish = (): Promise<void> =>
    inTurn(async () => {
      const lines = guard.differences();
      guard.establish();
      lines.push(...(await establishOne(store, 4, present)));
      hasSix ||= listNetworks(store).some(({ settings, driver }) => settings.ipv6 === true && driver === "bridge");
      if (hasSix) lines.push(...(await establishOne(store, 6, present)));
      found = lines;
    });
  const differences = (): Promise<string[]> =>
    inTurnWith(inTurn, async () => {
      const isSix = listNetworks(store).some(({ settings, driver }) => settings.ipv6 === true && driver === "bridge");
      return [
        ...(await differencesOf(store, 4)),
        ...(isSix ? await differencesOf(store, 6) : []),
        ...guard.differences(),
      ];
    });
  return {
    begin: (families) => {
      using own = new DisposableStack();
      for (const family of families) {
        if (begun.has(family)) continue;
        try {
          const waiting = startRestore(family);
          begun.set(family, waiting);
          own.defer(() => {
            if (begun.get(family) !== waiting) return;
            begun.delete(family);
            waiting.dismiss();
          });
        } catch {
          // The change itself tries again, and says why it failed; what else is to be done is done.
        }
      }
      return own.move();
    },
    publish: (endpoint) => change("added", endpoint),
    unpublish: (endpoint) => change("removed", endpoint),
    establish,
    differences,
    tidy: async () => {
      for (const family of [4, 6] as const) {
        if (!isInstalled(family)) continue;
        // Beside whatever else is done: it only looks.
        const lines = compareWith(filterState(store, false, family), await saveRules(family), true);
        if (!lines.some((line) => line.includes(" has "))) continue;
        await inTurn(async () => {
          found = [...found, ...(await establishOne(store, family, present))];
        });
      }
    },
    found: () => last.then(() => found),
    guard,
  };
}

/** What is there, and how it is changed. */
interface Present {
  /** The rules of published ports, as far as we know. */
  readonly written: Map<Family, Set<string>>;
  readonly restore: (rules: string, family: Family) => Promise<void>;
}

/** Endpoints whose published ports come and go. */
interface Changes {
  readonly added: EndpointRecord[];
  readonly removed: EndpointRecord[];
}

async function changeOne(store: Store, changes: Changes, family: Family, { written, restore }: Present): Promise<void> {
  const prefix = prefixOf(listNetworks(store));
  const rulesOf = (endpoints: readonly EndpointRecord[]) =>
    endpoints.flatMap((endpoint) => filteredPorts(endpoint, family)).map((port) => portRule(prefix, port));
  const known = written.get(family);
  // What was written whole meanwhile has them, or has them no more.
  const removed = rulesOf(changes.removed).filter((rule) => known?.has(rule) !== false);
  const added = rulesOf(changes.added).filter((rule) => known?.has(rule) !== true);
  if (added.length + removed.length === 0) return;
  try {
    if (known === undefined) throw new CtrError("internal", "the rules were not written yet");
    await restore(renderPortChanges(added, removed), family);
    for (const rule of removed) known.delete(rule);
    for (const rule of added) known.add(rule);
  } catch {
    // Somebody changed the chain, or it is as an earlier netd left it: all of it, from the store. What fails now is told.
    const state = filterState(store, false, family);
    await restore(renderPorts(state), family);
    written.set(family, portsWritten(state));
  }
}

function portsWritten({ prefix, ports }: FilterState): Set<string> {
  return new Set(ports.map((port) => portRule(prefix, port)));
}

async function inTurnWith<T>(
  inTurn: (action: () => Promise<void>) => Promise<void>,
  action: () => Promise<T>,
): Promise<T> {
  const results: T[] = [];
  await inTurn(async () => {
    results.push(await action());
  });
  const [result] = results;
  if (result === undefined) throw new CtrError("internal", "the packet filter was not looked at");
  return result;
}

/** What was otherwise before. */
async function establishOne(store: Store, family: Family, { written, restore }: Present): Promise<string[]> {
  const isForwarding = readText(FORWARDING[family]).trim() === "1";
  const saved = await saveRules(family);
  // The rules first: at no moment does a host forward that has not been told what to drop.
  const state = filterState(store, !isForwarding, family);
  await restore(renderRules(state, parsePresent(saved)), family);
  written.set(family, portsWritten(state));
  if (!isForwarding) writeInto(FORWARDING[family], "1");
  return compareWith(state, saved, isForwarding);
}

/** What the kernel's rules lack, have too much, or have in another order. */
async function differencesOf(store: Store, family: Family): Promise<string[]> {
  const state = filterState(store, false, family);
  if (state.bridges.length === 0) return [];
  return compareWith(state, await saveRules(family), readText(FORWARDING[family]).trim() === "1");
}

function compareWith(state: FilterState, saved: string, isForwarding: boolean): string[] {
  const { family = 4 } = state;
  const name = family === 6 ? "ip6tables" : "iptables";
  const found = compareRules(state, saved).map((line) => `${name}: ${line}`);
  if (!isForwarding) found.push(`${FORWARDING[family]} is not 1`);
  return found;
}

function filterState(store: Store, dropsForwarded: boolean, family: Family): FilterState {
  const networks = listNetworks(store).filter(({ driver }) => driver === "bridge");
  return {
    prefix: prefixOf(networks),
    bridges: networks.flatMap((network) => filteredBridge(network, family)),
    ports: listEndpoints(store).flatMap((endpoint) =>
      endpoint.state === "attached" ? filteredPorts(endpoint, family) : [],
    ),
    dropsForwarded,
    family,
  };
}

function filteredBridge(network: NetworkRow, family: Family): FilteredBridge[] {
  const { device, subnet, prefix_length: prefixLength, gateway, settings } = network;
  if (device === null || subnet === null || prefixLength === null || gateway === null) return [];
  const six = settings.pools?.find((pool) => pool.subnet.includes(":"));
  if (family === 6 && six?.gateway === undefined) return [];
  const { [OPTION.masquerade]: masquerade = "true" } = settings.options ?? {};
  return [
    {
      device,
      subnet: family === 6 ? (six?.subnet ?? "") : formatSubnet({ network: subnet, prefixLength }),
      gateway: family === 6 ? (six?.gateway ?? "") : formatIpv4(gateway),
      isInternal: settings.internal === true,
      isWithoutIcc: isWithoutIcc(network),
      isUnmasked: parseBoolean(masquerade) === false,
    },
  ];
}

function filteredPorts({ address, settings, ports }: EndpointRecord, family: Family): FilteredPort[] {
  const own = family === 6 ? settings.address6 : address === undefined ? undefined : formatIpv4(address);
  if (own === undefined) return [];
  return ports
    .filter(({ hostIp }) => hostIp.includes(":") === (family === 6))
    .map((port) => ({ ...port, address: own }));
}

function prefixOf(networks: readonly NetworkRow[]): string {
  return chainPrefix(networks.find(({ name }) => name === "bridge")?.device ?? "");
}

/** `CTR` for ctr0, `CTR1` for ctr1: two engines in one network namespace do not write each other's chains. */
function chainPrefix(device: string): string {
  const number = /^ctr([1-9][0-9]*)$/.exec(device)?.[1];
  return number === undefined ? "CTR" : `CTR${number}`;
}
