/** `ctr network ls` with `--format`: fields by name. */
import type { NetworkRecord } from "../../../internal/ipc/netd.ts";
import { shortNetworkId } from "../networks.ts";
import { goTime } from "./local-time.ts";
import { formatRows, type RowFields } from "./rows.ts";

/** The text of the networks in the format asked for. */
export function formatNetworks(networks: readonly NetworkRecord[], format: string, isShort: boolean): string {
  return formatRows(format, fields(isShort), networks, "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}", {
    type: "*formatter.networkContext",
  });
}

function fields(isShort: boolean): RowFields<NetworkRecord> {
  return {
    ID: { header: "NETWORK ID", value: ({ id }) => (isShort ? shortNetworkId(id) : id) },
    Name: { header: "NAME", value: ({ name }) => name },
    Driver: { header: "DRIVER", value: ({ driver }) => driver },
    Scope: { header: "SCOPE", value: () => "local" },
    IPv4: { header: "IPV4", value: () => "true" },
    IPv6: { header: "IPV6", value: ({ hasIpv6 }) => String(hasIpv6) },
    Internal: { header: "INTERNAL", value: ({ isInternal }) => String(isInternal) },
    Labels: {
      header: "LABELS",
      value: ({ labels }) =>
        Object.keys(labels)
          .sort()
          .map((name) => `${name}=${labels[name]}`)
          .join(","),
    },
    Label: { header: "LABEL", method: ({ labels }, name) => (Object.hasOwn(labels, name) ? (labels[name] ?? "") : "") },
    CreatedAt: { header: "CREATED AT", value: ({ createdAtMs }) => goTime(createdAtMs) },
  };
}
