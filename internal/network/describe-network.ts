/** A network as netd's clients are told of it. */
import type { IpamPool, NetworkRecord } from "../ipc/netd.ts";
import { formatIpv4, formatSubnet } from "../netlink/ipv4.ts";
import type { NetworkRow } from "./store.ts";

export function describeNetwork(network: NetworkRow): NetworkRecord {
  const { id, name, driver, created_at, device, subnet, prefix_length, gateway, mtu, settings } = network;
  const shown =
    subnet === null || prefix_length === null
      ? undefined
      : formatSubnet({ network: subnet, prefixLength: prefix_length });
  const pools: readonly IpamPool[] =
    settings.pools ??
    (shown === undefined || gateway === null ? [] : [{ subnet: shown, gateway: formatIpv4(gateway) }]);
  return {
    id,
    name,
    driver,
    createdAtMs: created_at,
    isInternal: settings.internal === true,
    isAttachable: settings.attachable === true,
    hasIpv6: settings.ipv6 === true,
    labels: settings.labels ?? {},
    options: settings.options ?? {},
    ipamOptions: settings.ipamOptions ?? {},
    pools,
    ...(device === null ? {} : { device }),
    ...(shown === undefined ? {} : { subnet: shown }),
    ...(gateway === null ? {} : { gateway: formatIpv4(gateway) }),
    ...(mtu === null ? {} : { mtu }),
  };
}
