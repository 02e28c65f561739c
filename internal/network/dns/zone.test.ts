import { expect, test } from "bun:test";
import type { NamedEndpoint } from "../names.ts";
import { nameAt, nameKey, TYPE_A, TYPE_AAAA } from "./message.ts";
import { addressBytes, buildZones, findAddress, findAny, findName, reverseAddress, type View } from "./zone.ts";

function endpoint(name: string, network: string, choices: Partial<NamedEndpoint> = {}): NamedEndpoint {
  return {
    endpointId: `${name}-${network}`,
    containerId: name,
    containerName: name,
    shortId: `${name}0000`,
    hostname: `${name}-host`,
    aliases: [],
    networkId: `id-${network}`,
    networkName: network,
    addresses: [],
    isInternal: false,
    sandbox: { inode: "1", bootId: "b" },
    servers: [],
    ...choices,
  };
}

const zones = buildZones([
  endpoint("web", "backend", { addresses: ["172.18.0.2", "fd00::2"], aliases: ["Shared", "www.site"] }),
  endpoint("db", "backend", { addresses: ["172.18.0.3"], aliases: ["shared"], isInternal: true }),
  endpoint("web", "front.end", { addresses: ["172.19.0.2"] }),
  endpoint("api", "front.end", { addresses: ["172.19.0.3"], isInternal: true, servers: ["192.0.2.53"] }),
  endpoint("api", "closed", { addresses: ["172.20.0.3"], isInternal: true }),
]);

function view(container: string): View {
  const found = zones.get(container);
  if (found === undefined) throw new Error(`no view of ${container}`);
  return found;
}
const ask = (container: string, name: string, type = TYPE_A) =>
  findName(view(container), nameKey(name) ?? "", type)?.records.map(({ value }) => [...value].join("."));

test.each([
  ["db", "web", ["172.18.0.2"]],
  ["db", "WEB.Backend", ["172.18.0.2"]],
  ["db", "web0000", ["172.18.0.2"]],
  ["db", "web-host.backend", ["172.18.0.2"]],
  ["db", "www.site", ["172.18.0.2"]],
  ["db", "www.site.backend", ["172.18.0.2"]],
  ["db", "shared", ["172.18.0.2", "172.18.0.3"]],
  ["db", "db", ["172.18.0.3"]],
  ["db", "api", undefined],
  ["db", "web.front.end", undefined],
  ["db", "webbackend", undefined],
  ["db", "backend", undefined],
  ["web", "api", ["172.19.0.3"]],
  ["web", "web", ["172.18.0.2"]],
  ["web", "web.front.end", ["172.19.0.2"]],
  ["api", "web", ["172.19.0.2"]],
  ["api", "api.closed", ["172.20.0.3"]],
])("zone: %s asks for %s", (container, name, expected) => {
  expect(ask(container, name)).toEqual(expected);
});

test("zone: a name without such an address is there, and empty", () => {
  expect(ask("web", "db", TYPE_AAAA)).toEqual([]);
  expect(ask("web", "web", 16)).toEqual([]);
  expect(ask("db", "web", TYPE_AAAA)).toHaveLength(1);
  expect(findAny(view("db"), nameKey("web") ?? "")?.records).toHaveLength(2);
});

test("zone: of several containers with a name, another comes first each time", () => {
  const first = () => findName(view("db"), nameKey("shared") ?? "", TYPE_A)?.first ?? -1;
  const turns = [first(), first(), first(), first()].map((turn) => turn % 2);
  expect(turns[0]).not.toBe(turns[1] ?? -1);
  expect(turns.slice(0, 2)).toEqual(turns.slice(2));
});

const reverse = (container: string, name: string) => {
  const [record] = findAddress(view(container), nameKey(name) ?? "")?.records ?? [];
  return record === undefined ? undefined : nameAt(record.value, 0);
};

test("zone: an address leads to the name with its network, for those on the network only", () => {
  expect(reverse("db", "2.0.18.172.in-addr.arpa")).toBe("web.backend");
  expect(reverse("web", "3.0.19.172.IN-ADDR.ARPA")).toBe("api.front.end");
  expect(reverse("db", "3.0.19.172.in-addr.arpa")).toBeUndefined();
  expect(reverse("db", `2.${"0.".repeat(27)}0.0.d.f.ip6.arpa`)).toBe("web.backend");
});

test.each([
  ["1.0.0.127.in-addr.arpa", "7f000001"],
  ["0.0.127.in-addr.arpa", undefined],
  ["01.0.0.127.in-addr.arpa", undefined],
  ["256.0.0.127.in-addr.arpa", undefined],
  ["1.ip6.arpa", undefined],
  [`${"g.".repeat(32)}ip6.arpa`, undefined],
  ["arpa", undefined],
])("zone: the address of %s", (name, expected) => {
  expect(reverseAddress(nameKey(name) ?? "")).toBe(expected);
});

test.each([
  ["10.0.0.1", "0a000001"],
  ["10.0.0", undefined],
  ["fd00::1", "fd000000000000000000000000000001"],
  ["::", "0".repeat(32)],
  ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
  ["1:2:3:4:5:6:7::8", undefined],
  ["1::2::3", undefined],
  ["12345::", undefined],
])("zone: the bytes of %s", (address, expected) => {
  expect(addressBytes(address)?.toString("hex")).toBe(expected);
});

test("zone: one network with a way out is enough to ask the host's servers; servers of its own are kept", () => {
  expect(view("web").mayAskHost).toBe(true);
  expect(view("db").mayAskHost).toBe(false);
  expect(view("api")).toMatchObject({ mayAskHost: false, servers: ["192.0.2.53"] });
});
