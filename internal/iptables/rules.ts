/**
 * The packet filter as text for iptables-restore, made whole from what is wanted: a chain of ours is always replaced,
 * never edited, so what a change leaves is what this page says, whatever was there before.
 *
 *   filter FORWARD ─▶ CTR-USER (the administrator's, made once, never touched again)
 *                  ─▶ CTR-FORWARD: into a bridge answers and what came by an address of this host, nothing else;
 *                                  out of a bridge everything
 *   nat PREROUTING, OUTPUT (to an address of this host) ─▶ CTR: published ports to their containers
 *   nat POSTROUTING ─▶ CTR-POSTROUTING: what leaves a bridge, and what comes back into it, goes by the host's address
 *   raw PREROUTING  ─▶ CTR-PREROUTING: a container does not reach the host's loopback
 *
 * A published port is one rule in `nat CTR` and nothing else: writing a table costs the kernel some 10 ms.
 */
import type { Protocol } from "../ipc/netd.ts";

/** A bridge, its subnet, `172.17.0.0/16`, and the host's address in it. */
export interface FilteredBridge {
  readonly device: string;
  readonly subnet: string;
  readonly gateway: string;
}

/** A published port; `hostIp` 0.0.0.0 is every address of the host. */
export interface FilteredPort {
  readonly address: string;
  readonly containerPort: number;
  readonly protocol: Protocol;
  readonly hostIp: string;
  readonly hostPort: number;
}

/** Everything netd wants of the packet filter. */
export interface FilterState {
  /** The first part of every chain's name, `CTR`: engines side by side in one network namespace have their own. */
  readonly prefix: string;
  readonly bridges: readonly FilteredBridge[];
  readonly ports: readonly FilteredPort[];
  /** Set FORWARD's policy to DROP: for who switches a host's forwarding on. */
  readonly dropsForwarded: boolean;
}

/** The administrator's chain: its rules come before all of ours, and no change of ours touches it. */
export const USER_CHAIN = "CTR-USER";

const USER_JUMP = `filter FORWARD ${USER_CHAIN}`;

type TableName = "filter" | "nat" | "raw";

/** A rule of ours in a chain that is not ours. */
interface Jump {
  readonly table: TableName;
  readonly chain: string;
  /** How `iptables-save` writes it, for a table's chain of the given prefix. */
  readonly rule: string;
  readonly target: string;
}

/** In the order they end up in: each is inserted at the top, so the last comes first. */
function jumps(prefix: string): readonly Jump[] {
  return [
    { table: "filter", chain: "FORWARD", rule: "", target: `${prefix}-FORWARD` },
    { table: "filter", chain: "FORWARD", rule: "", target: USER_CHAIN },
    // Nothing from a wire may name 127.0.0.1 and be handed on; what this host sends there passes OUTPUT.
    { table: "nat", chain: "PREROUTING", rule: "! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL", target: prefix },
    { table: "nat", chain: "OUTPUT", rule: "-m addrtype --dst-type LOCAL", target: prefix },
    { table: "nat", chain: "POSTROUTING", rule: "", target: `${prefix}-POSTROUTING` },
    { table: "raw", chain: "PREROUTING", rule: "", target: `${prefix}-PREROUTING` },
  ];
}

/** Which of our jumps (`filter FORWARD CTR-FORWARD`) and which chain of the administrator's (`filter CTR-USER`) are there. */
export interface Present {
  has(what: string): boolean;
}

/** Reads the output of `iptables-save`. */
export function parsePresent(saved: string): Present {
  const found = new Set<string>();
  let table = "";
  for (const line of saved.split("\n")) {
    if (line.startsWith("*")) table = line.slice(1).trim();
    else if (line.startsWith(`:${USER_CHAIN} `)) found.add(`${table} ${USER_CHAIN}`);
    const [, chain, target] = /^-A (\S+) (?:.* )?-j (\S+)\s*$/.exec(line) ?? [];
    if (chain !== undefined) found.add(`${table} ${chain} ${target}`);
  }
  return found;
}

/** The text that brings the host from `present` to `state`: one restore, all of it or nothing per table. */
export function renderRules(state: FilterState, present: Present): string {
  const { prefix } = state;
  const missing = jumps(prefix).filter(({ table, chain, target }) => !present.has(`${table} ${chain} ${target}`));
  // The administrator's chain comes before ours also when only ours was missing.
  const isMisplaced = missing.some(({ target }) => target === `${prefix}-FORWARD`) && present.has(USER_JUMP);
  if (isMisplaced) missing.push(...jumps(prefix).filter(({ target }) => target === USER_CHAIN));
  const inserted = (table: TableName) =>
    missing
      .filter((jump) => jump.table === table)
      .map(({ chain, rule, target }) => `-I ${chain} 1 ${rule === "" ? "" : `${rule} `}-j ${target}`);
  return [
    "*raw",
    declare(`${prefix}-PREROUTING`),
    ...state.bridges.flatMap(({ device }) => [
      `-A ${prefix}-PREROUTING -i ${device} -d 127.0.0.0/8 -j DROP`,
      `-A ${prefix}-PREROUTING -i ${device} -s 127.0.0.0/8 -j DROP`,
    ]),
    ...inserted("raw"),
    "COMMIT",
    "*nat",
    ...portRules(state),
    declare(`${prefix}-POSTROUTING`),
    ...state.bridges.flatMap((bridge) => sourceRules(prefix, bridge)),
    ...inserted("nat"),
    "COMMIT",
    "*filter",
    ...(state.dropsForwarded ? [":FORWARD DROP [0:0]"] : []),
    declare(`${prefix}-FORWARD`),
    ...(present.has(`filter ${USER_CHAIN}`) ? [] : [declare(USER_CHAIN)]),
    ...state.bridges.flatMap((bridge) => forwardRules(prefix, bridge)),
    // After the drops of all bridges, so that one bridge is no way into another.
    ...state.bridges.map(({ device }) => `-A ${prefix}-FORWARD -i ${device} -j ACCEPT`),
    ...(isMisplaced ? [`-D FORWARD -j ${USER_CHAIN}`] : []),
    ...inserted("filter"),
    "COMMIT",
    "",
  ].join("\n");
}

/** The text that brings only the published ports to `state`, where everything else is in place. */
export function renderPorts(state: FilterState): string {
  return ["*nat", ...portRules(state), "COMMIT", ""].join("\n");
}

function portRules({ prefix, ports }: FilterState): string[] {
  return [
    declare(prefix),
    ...ports.map(({ protocol, hostIp, hostPort, address, containerPort }) => {
      const where = hostIp === "0.0.0.0" ? "" : `-d ${hostIp}/32 `;
      const what = `-p ${protocol} -m ${protocol} --dport ${hostPort}`;
      return `-A ${prefix} ${where}${what} -j DNAT --to-destination ${address}:${containerPort}`;
    }),
  ];
}

/** Makes the chain, or empties it (iptables-restore --noflush does so to a chain that is declared). */
function declare(chain: string): string {
  return `:${chain} - [0:0]`;
}

/**
 * Into a bridge from outside comes only what was sent to an address of this host and so to a published port. A neighbour
 * that routes to the container's own address is dropped, so a port published on 127.0.0.1 stays this host's.
 */
function forwardRules(prefix: string, { device, subnet, gateway }: FilteredBridge): string[] {
  const into = `-A ${prefix}-FORWARD ! -i ${device} -o ${device}`;
  return [
    `-A ${prefix}-FORWARD -o ${device} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    `${into} -m conntrack ! --ctorigdst ${subnet} -j ACCEPT`,
    `${into} -m conntrack --ctorigdst ${gateway} -j ACCEPT`,
    `${into} -j DROP`,
  ];
}

function sourceRules(prefix: string, { device, subnet, gateway }: FilteredBridge): string[] {
  const within = `-A ${prefix}-POSTROUTING -s ${subnet} -d ${subnet} -o ${device} -m conntrack`;
  return [
    `-A ${prefix}-POSTROUTING -s ${subnet} ! -o ${device} -j MASQUERADE`,
    // A container that called a published port of any host address: the answer must come back here to be put right.
    `${within} ! --ctorigdst ${subnet} -j MASQUERADE`,
    `${within} --ctorigdst ${gateway} -j MASQUERADE`,
    // This host called 127.0.0.1: no container can answer that.
    `-A ${prefix}-POSTROUTING -s 127.0.0.0/8 -o ${device} -j MASQUERADE`,
  ];
}
