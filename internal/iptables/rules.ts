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
 * A published port is one rule in `nat CTR` and nothing else, and only that rule is written while the others are known
 * to be there: emptying a chain of nf_tables costs 10 ms, because the kernel waits for readers; adding costs none.
 */
import type { Protocol } from "../ipc/netd.ts";

/** A bridge, its subnet, `172.17.0.0/16`, and the host's address in it. */
export interface FilteredBridge {
  readonly device: string;
  readonly subnet: string;
  readonly gateway: string;
  /** Nothing goes in or out, but for the host itself. */
  readonly isInternal?: boolean;
  /** Its containers do not reach each other, only each other's published ports. */
  readonly isWithoutIcc?: boolean;
  /** What leaves it keeps the containers' addresses. */
  readonly isUnmasked?: boolean;
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
  /** IPv4 unless given. */
  readonly family?: 4 | 6;
}

const LOOPBACK = { 4: "127.0.0.0/8", 6: "::1/128" } as const;

function loopback({ family = 4 }: Pick<FilterState, "family">): string {
  return LOOPBACK[family];
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
function jumps({ prefix, family }: Pick<FilterState, "prefix" | "family">): readonly Jump[] {
  const local = loopback({ ...(family === undefined ? {} : { family }) });
  return [
    { table: "filter", chain: "FORWARD", rule: "", target: `${prefix}-FORWARD` },
    { table: "filter", chain: "FORWARD", rule: "", target: USER_CHAIN },
    // Nothing from a wire may name 127.0.0.1 and be handed on; what this host sends there passes OUTPUT.
    { table: "nat", chain: "PREROUTING", rule: `! -d ${local} -m addrtype --dst-type LOCAL`, target: prefix },
    // ::1 cannot be led away from this host: the kernel has no route_localnet for it.
    {
      table: "nat",
      chain: "OUTPUT",
      rule: `${family === 6 ? `! -d ${local} ` : ""}-m addrtype --dst-type LOCAL`,
      target: prefix,
    },
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
  const local = loopback(state);
  const missing = jumps(state).filter(({ table, chain, target }) => !present.has(`${table} ${chain} ${target}`));
  // The administrator's chain comes before ours also when only ours was missing.
  const isMisplaced = missing.some(({ target }) => target === `${prefix}-FORWARD`) && present.has(USER_JUMP);
  if (isMisplaced) missing.push(...jumps(state).filter(({ target }) => target === USER_CHAIN));
  const inserted = (table: TableName) =>
    missing
      .filter((jump) => jump.table === table)
      .map(({ chain, rule, target }) => `-I ${chain} 1 ${rule === "" ? "" : `${rule} `}-j ${target}`);
  return [
    "*raw",
    declare(`${prefix}-PREROUTING`),
    ...state.bridges.flatMap(({ device }) => [
      `-A ${prefix}-PREROUTING -i ${device} -d ${local} -j DROP`,
      `-A ${prefix}-PREROUTING -i ${device} -s ${local} -j DROP`,
    ]),
    ...inserted("raw"),
    "COMMIT",
    "*nat",
    ...portRules(state),
    declare(`${prefix}-POSTROUTING`),
    ...state.bridges.flatMap((bridge) => sourceRules(state, bridge)),
    ...inserted("nat"),
    "COMMIT",
    "*filter",
    ...(state.dropsForwarded ? [":FORWARD DROP [0:0]"] : []),
    declare(`${prefix}-FORWARD`),
    ...(present.has(`filter ${USER_CHAIN}`) ? [] : [declare(USER_CHAIN)]),
    ...state.bridges.flatMap((bridge) => internalRules(prefix, bridge)),
    ...state.bridges.flatMap((bridge) => forwardRules(prefix, bridge)),
    // After the drops of all bridges, so that one bridge is no way into another.
    ...state.bridges
      .filter(({ isInternal }) => isInternal !== true)
      .map(({ device }) => `-A ${prefix}-FORWARD -i ${device} -j ACCEPT`),
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

/** The text that adds and takes away published ports, as `portRule` has them, where the others are as they were written. */
export function renderPortChanges(added: readonly string[], removed: readonly string[]): string {
  return ["*nat", ...removed.map((rule) => `-D ${rule}`), ...added.map((rule) => `-A ${rule}`), "COMMIT", ""].join(
    "\n",
  );
}

function portRules({ prefix, ports }: FilterState): string[] {
  return [declare(prefix), ...ports.map((port) => `-A ${portRule(prefix, port)}`)];
}

/** The rule of a published port, without the word that says what happens to it. */
export function portRule(prefix: string, { protocol, hostIp, hostPort, address, containerPort }: FilteredPort): string {
  const isAny = hostIp === "0.0.0.0" || hostIp === "::";
  const where = isAny ? "" : `-d ${hostIp}/${hostIp.includes(":") ? 128 : 32} `;
  const what = `-p ${protocol} -m ${protocol} --dport ${hostPort}`;
  const to = address.includes(":") ? `[${address}]:${containerPort}` : `${address}:${containerPort}`;
  return `${prefix} ${where}${what} -j DNAT --to-destination ${to}`;
}

/** Makes the chain, or empties it (iptables-restore --noflush does so to a chain that is declared). */
function declare(chain: string): string {
  return `:${chain} - [0:0]`;
}

/**
 * Into a bridge from outside comes only what was sent to an address of this host and so to a published port. A neighbour
 * that routes to the container's own address is dropped, so a port published on 127.0.0.1 stays this host's.
 */
function forwardRules(prefix: string, bridge: FilteredBridge): string[] {
  const { device, subnet, gateway, isInternal, isWithoutIcc } = bridge;
  if (isInternal === true) return [];
  const into = `-A ${prefix}-FORWARD ! -i ${device} -o ${device}`;
  return [
    `-A ${prefix}-FORWARD -o ${device} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    `${into} -m conntrack ! --ctorigdst ${subnet} -j ACCEPT`,
    `${into} -m conntrack --ctorigdst ${gateway} -j ACCEPT`,
    `${into} -j DROP`,
    // Frames between its ports the bridge itself holds back (port isolation); what is routed back into it is here.
    ...(isWithoutIcc === true
      ? [
          `-A ${prefix}-FORWARD -i ${device} -o ${device} -m conntrack --ctstate DNAT -j ACCEPT`,
          `-A ${prefix}-FORWARD -i ${device} -o ${device} -j DROP`,
        ]
      : []),
  ];
}

/** Before everything else: what leaves an internal bridge, and what would come in, not even answers. */
function internalRules(prefix: string, { device, isInternal, isWithoutIcc }: FilteredBridge): string[] {
  if (isInternal !== true) return [];
  return [
    `-A ${prefix}-FORWARD -i ${device} ! -o ${device} -j DROP`,
    `-A ${prefix}-FORWARD ! -i ${device} -o ${device} -j DROP`,
    `-A ${prefix}-FORWARD -i ${device} -o ${device} -j ${isWithoutIcc === true ? "DROP" : "ACCEPT"}`,
  ];
}

function sourceRules(state: FilterState, bridge: FilteredBridge): string[] {
  const { prefix, family } = state;
  const { device, subnet, gateway, isInternal, isUnmasked } = bridge;
  if (isInternal === true) return [];
  const within = `-A ${prefix}-POSTROUTING -s ${subnet} -d ${subnet} -o ${device} -m conntrack`;
  return [
    ...(isUnmasked === true ? [] : [`-A ${prefix}-POSTROUTING -s ${subnet} ! -o ${device} -j MASQUERADE`]),
    // A container that called a published port of any host address: the answer must come back here to be put right.
    `${within} ! --ctorigdst ${subnet} -j MASQUERADE`,
    `${within} --ctorigdst ${gateway} -j MASQUERADE`,
    // This host called 127.0.0.1: no container can answer that.
    ...(family === 6 ? [] : [`-A ${prefix}-POSTROUTING -s 127.0.0.0/8 -o ${device} -j MASQUERADE`]),
  ];
}

/** What `iptables-save` shows otherwise than `renderRules` would write it: one line for each rule and jump. */
export function compareRules(state: FilterState, saved: string): string[] {
  const present = parsePresent(saved);
  const wanted = new Map<string, string[]>();
  let table = "";
  for (const line of renderRules(state, { has: () => true }).split("\n")) {
    if (line.startsWith("*")) table = line.slice(1);
    else if (line.startsWith(":") && !line.startsWith(`:${USER_CHAIN} `)) wanted.set(`${table} ${chainOf(line)}`, []);
    else if (line.startsWith("-A ")) wanted.get(`${table} ${chainOf(line)}`)?.push(normal(line));
  }
  const found = new Map<string, string[]>();
  for (const line of saved.split("\n")) {
    if (line.startsWith("*")) table = line.slice(1).trim();
    else if (line.startsWith(":")) found.set(`${table} ${chainOf(line)}`, []);
    else if (line.startsWith("-A ")) found.get(`${table} ${chainOf(line)}`)?.push(normal(line));
  }
  const differences = jumps(state)
    .filter(({ table: where, chain, target }) => !present.has(`${where} ${chain} ${target}`))
    .map(({ table: where, chain, target }) => `${where} ${chain} does not jump to ${target}`);
  for (const [chain, rules] of wanted) {
    const there = found.get(chain) ?? [];
    const missing = rules.filter((rule) => !there.includes(rule));
    const extra = there.filter((rule) => !rules.includes(rule));
    for (const rule of missing) differences.push(`${chain} lacks ${rule}`);
    for (const rule of extra) differences.push(`${chain} has ${rule}`);
    if (missing.length + extra.length === 0 && rules.join("\n") !== there.join("\n"))
      differences.push(`${chain} has its rules in another order`);
  }
  return differences;
}

function chainOf(line: string): string {
  return line.replace(/^(:|-A )/, "").split(" ")[0] ?? "";
}

/** A rule in one way of writing: its matches in order, because programs of different ages write them differently. */
function normal(line: string): string {
  const words = line
    .trim()
    .replace(/ ! /g, " !")
    .split(/ (?=!?-)/);
  // `-p tcp -m tcp` and `-p tcp` are the same to the kernel.
  return words
    .filter((word) => !/^-m (tcp|udp|sctp)$/.test(word))
    .map((word) => word.replace(/\/(32|128)$/, "").replace("ESTABLISHED,RELATED", "RELATED,ESTABLISHED"))
    .sort()
    .join(" ");
}
