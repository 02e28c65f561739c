/**
 * What containers may send: in nobody else's name on networks with antispoof, and to no neighbour where ICC is off; with
 * br_netfilter and without. Frames are made by hand and sent through packet(7) from inside the container.
 */
import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { ipv4Bytes, parseIpv4 } from "../../internal/netlink/ipv4.ts";
import { ipv6, ipv6Bytes } from "../../internal/netlink/ipv6.ts";
import { parseMac } from "../../internal/netlink/mac.ts";
import { tempEngine } from "../lib/engine.ts";
import { test } from "../lib/test.ts";
import { fetchFrom, startWeb } from "../lib/web.ts";

const engine = tempEngine();
const BR_NETFILTER = ["/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"];

function setBridgeNetfilter(isOn: boolean): void {
  for (const path of BR_NETFILTER) writeFileSync(path, isOn ? "1" : "0");
}
const isKernelWithBridgeNetfilter = await Bun.file(BR_NETFILTER[0] ?? "").exists();
const BOTH = isKernelWithBridgeNetfilter ? [false, true] : [false];

interface Place {
  readonly pid: number;
  readonly mac: Uint8Array;
  readonly ip: string;
  readonly ip6: string;
}

async function start(name: string, network: string, ...flags: readonly string[]): Promise<Place> {
  await startWeb(engine, name, "--network", network, ...flags);
  const format = `{{.State.Pid}} {{with index .NetworkSettings.Networks "${network}"}}{{.MacAddress}} {{.IPAddress}} {{.GlobalIPv6Address}}{{end}}`;
  const [pid = "", mac = "", ip = "", ip6 = ""] = (await engine.ok("inspect", "-f", format, name)).split(" ");
  return { pid: Number(pid), mac: parseMac(mac), ip, ip6 };
}

const four = (text: string) => ipv4Bytes(parseIpv4(text) ?? 0);
const six = (text: string) => ipv6Bytes(ipv6(text));
const bytes = (...parts: (number | Uint8Array)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === "number" ? new Uint8Array([part]) : part)));

function ethernet(to: Uint8Array, from: Uint8Array, type: number, payload: Uint8Array): Buffer {
  return bytes(to, from, type >> 8, type & 255, payload);
}

/** An ARP answer: `ip` is at `mac`. */
function arp(mac: Uint8Array, ip: string, target: Place, operation = 2): Buffer {
  return bytes(0, 1, 8, 0, 6, 4, 0, operation, mac, four(ip), target.mac, four(target.ip));
}

/** The Internet checksum (RFC 1071). */
function checksum(data: Uint8Array): Uint8Array {
  let sum = 0;
  for (let at = 0; at < data.length; at += 2) sum += ((data[at] ?? 0) << 8) | (data[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return new Uint8Array([(~sum >> 8) & 255, ~sum & 255]);
}

function ipv4Udp(from: string, to: string, port: number, text: string): Buffer {
  const data = Buffer.from(text);
  const udp = bytes(0, 99, port >> 8, port & 255, 0, 8 + data.length, 0, 0, data);
  const head = bytes(0x45, 0, 0, 20 + udp.length, 0, 1, 0, 0, 64, 17, 0, 0, four(from), four(to));
  head.set(checksum(head), 10);
  return bytes(head, udp);
}

function ipv6Packet(from: string, to: string, next: number, body: Buffer, checksumAt: number): Buffer {
  const pseudo = bytes(six(from), six(to), 0, 0, 0, body.length, 0, 0, 0, next);
  body.set(checksum(bytes(pseudo, body, body.length % 2 === 1 ? 0 : new Uint8Array(0))), checksumAt);
  return bytes(0x60, 0, 0, 0, 0, body.length, next, 255, six(from), six(to), body);
}

function ipv6Udp(from: string, to: string, port: number, text: string): Buffer {
  const data = Buffer.from(text);
  return ipv6Packet(from, to, 17, bytes(0, 99, port >> 8, port & 255, 0, 8 + data.length, 0, 0, data), 6);
}

/** A neighbour advertisement: `owned` is at `mac`. */
function advertisement(from: string, to: string, owned: string, mac: Uint8Array, type = 136): Buffer {
  return ipv6Packet(from, to, 58, bytes(type, 0, 0, 0, 0x60, 0, 0, 0, six(owned), 2, 1, mac), 2);
}

const SEND = `
import socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
for line in sys.stdin: wire.send(bytes.fromhex(line.strip()))
`;
const HEAR = `
import socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("eth0", 0))
print("ready", flush=True)
while True:
    frame = wire.recv(2048)
    print(frame.hex(), flush=True)
    if b"the-end" in frame: break
`;
const within = (pid: number, program: string) => [
  "nsenter",
  "--net",
  "-t",
  String(pid),
  "--",
  "python3",
  "-c",
  program,
];

/** Sends the frames in order, then one that every network lets through: which of them came out at the other end. */
async function deliver(from: Place, to: Place, frames: readonly Buffer[]): Promise<boolean[]> {
  const hearer = Bun.spawn(within(to.pid, HEAR), { stdin: "ignore", stdout: "pipe" });
  const reader = hearer.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let heard = "";
  const until = async (text: string) => {
    while (!heard.includes(text)) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`the hearer ended before ${text}`);
      heard += value;
    }
  };
  await until("ready");
  const last = ethernet(to.mac, from.mac, 0x0800, ipv4Udp(from.ip, to.ip, 9, "the-end"));
  const sender = Bun.spawnSync(within(from.pid, SEND), {
    stdin: Buffer.from([...frames, last].map((frame) => `${frame.toString("hex")}\n`).join("")),
  });
  expect(sender.exitCode).toBe(0);
  await until(Buffer.from("the-end").toString("hex"));
  await hearer.exited;
  const came = heard.split("\n");
  return frames.map((frame) => came.some((line) => line.startsWith(frame.toString("hex"))));
}

test("antispoof: no frame in a neighbour's name gets through, by ARP, IPv4, IPv6, discovery or MAC", async () => {
  const flags = ["--ipv6", "--subnet", "10.81.0.0/24", "--subnet", "fd81::/64"];
  await engine.ok("network", "create", ...flags, "-o", "ctr.network.bridge.antispoof=true", "strict");
  await engine.ok("network", "create", "--ipv6", "--subnet", "10.82.0.0/24", "--subnet", "fd82::/64", "open");
  for (const isOn of BOTH) {
    if (isKernelWithBridgeNetfilter) setBridgeNetfilter(isOn);
    for (const network of ["strict", "open"]) {
      const [liar, victim] = [await start("liar", network), await start("victim", network)];
      const gateway = victim.ip.replace(/\d+$/, "1");
      const [prefix] = victim.ip6.split("::");
      const other = `${prefix}::77`;
      const strange = parseMac("02:00:00:00:00:66");
      const frame = (type: number, payload: Uint8Array, from = liar.mac) => ethernet(victim.mac, from, type, payload);
      const honest: readonly [string, Buffer][] = [
        ["its own ARP answer", frame(0x0806, arp(liar.mac, liar.ip, victim))],
        ["an ARP probe", frame(0x0806, arp(liar.mac, "0.0.0.0", victim, 1))],
        ["its own IPv4", frame(0x0800, ipv4Udp(liar.ip, victim.ip, 7, "own"))],
        ["its own IPv6", frame(0x86dd, ipv6Udp(liar.ip6, victim.ip6, 7, "own"))],
        ["its own advertisement", frame(0x86dd, advertisement(liar.ip6, victim.ip6, liar.ip6, liar.mac))],
      ];
      const spoofed: readonly [string, Buffer][] = [
        ["the gateway is at my MAC", frame(0x0806, arp(liar.mac, gateway, victim))],
        ["the gateway asks by ARP", frame(0x0806, arp(liar.mac, gateway, victim, 1))],
        ["my address is at another MAC", frame(0x0806, arp(strange, liar.ip, victim))],
        ["another MAC in the frame of ARP", frame(0x0806, arp(strange, liar.ip, victim), strange)],
        ["ARP of another kind", frame(0x0806, bytes(0, 6, arp(liar.mac, gateway, victim).subarray(2)))],
        ["IPv4 of the gateway", frame(0x0800, ipv4Udp(gateway, victim.ip, 7, "forged"))],
        ["IPv4 of the world", frame(0x0800, ipv4Udp("192.0.2.1", victim.ip, 7, "forged"))],
        ["another MAC", frame(0x0800, ipv4Udp(liar.ip, victim.ip, 7, "mac"), strange)],
        ["IPv6 of another", frame(0x86dd, ipv6Udp(other, victim.ip6, 7, "forged"))],
        ["another's advertisement", frame(0x86dd, advertisement(liar.ip6, victim.ip6, other, liar.mac))],
        ["a router's advertisement", frame(0x86dd, advertisement(liar.ip6, victim.ip6, liar.ip6, liar.mac, 134))],
        ["a redirect", frame(0x86dd, advertisement(liar.ip6, victim.ip6, liar.ip6, liar.mac, 137))],
        ["a tag for the next bridge", frame(0x8100, bytes(0, 5, 0x08, 0x06, arp(liar.mac, gateway, victim)))],
        ["two tags", frame(0x8100, bytes(0, 0, 0x81, 0, 0, 0, 0x08, 0x06, arp(liar.mac, gateway, victim)))],
        ["a frame of no protocol", frame(0x88b5, Buffer.from("anything at all"))],
      ];
      const came = await deliver(
        liar,
        victim,
        [...honest, ...spoofed].map(([, sent]) => sent),
      );
      const through = [...honest, ...spoofed].flatMap(([what], at) => (came[at] ? [what] : []));
      // On a network without it they are what they are meant to be: frames that arrive.
      const expected =
        network === "strict" ? honest : [...honest, ...spoofed].filter(([what]) => !what.includes("tag"));
      expect({ network, isOn, through }).toEqual({ network, isOn, through: expected.map(([what]) => what) });
      expect(await fetchFrom(engine, "liar", victim.ip)).toBe("hello");
      expect(await fetchFrom(engine, "liar", `[${victim.ip6}]`)).toBe("hello");
      await engine.ok("rm", "-f", "liar", "victim");
    }
  }
  await engine.ok("network", "rm", "strict", "open");
  expect(Bun.spawnSync(["nft", "list", "tables", "bridge"]).stdout.toString()).toBe("");
}, 60_000);

test("ICC off: no frame from port to port, but published ports as Docker has them, and the host reaches all", async () => {
  await engine.ok("network", "create", "--ipv6", "-o", "com.docker.network.bridge.enable_icc=false", "apart");
  for (const isOn of BOTH) {
    if (isKernelWithBridgeNetfilter) setBridgeNetfilter(isOn);
    const p1 = await start("p1", "apart", "-p", "18313:80");
    const p2 = await start("p2", "apart");
    const between = [
      fetchFrom(engine, "p1", p2.ip),
      fetchFrom(engine, "p1", `[${p2.ip6}]`),
      fetchFrom(engine, "p2", p1.ip),
      fetchFrom(engine, "p2", `[${p1.ip6}]`),
    ];
    expect(await Promise.all(between)).toEqual(["", "", "", ""]);
    const [inspected] = JSON.parse(await engine.ok("network", "inspect", "apart"));
    const [{ Gateway: gateway }, { Gateway: gateway6 }] = inspected.IPAM.Config;
    const shown = Bun.spawnSync(["ip", "-o", "link", "show", `br-${inspected.Id.slice(0, 12)}`]).stdout.toString();
    const bridge = parseMac(/link\/ether (\S+)/.exec(shown)?.[1] ?? "");
    const answers = {
      "p2 by the gateway": await fetchFrom(engine, "p2", `${gateway}:18313`),
      "p2 by the gateway, v6": await fetchFrom(engine, "p2", `[${gateway6}]:18313`),
      "p1 itself": await fetchFrom(engine, "p1", `${gateway}:18313`),
      host: (await (await fetch("http://127.0.0.1:18313/")).text()).trim(),
      "host to p1": (await (await fetch(`http://${p1.ip}/`)).text()).trim(),
    };
    for (const [who, answer] of Object.entries(answers))
      expect({ isOn, who, answer }).toEqual({ isOn, who, answer: "hello" });
    // By hand: to the neighbour, to everybody, and to the bridge, which is asked to lead it back.
    const broadcast = new Uint8Array(6).fill(255);
    const hearer = Bun.spawn(within(p1.pid, HEAR), { stdin: "ignore", stdout: "pipe" });
    const reader = hearer.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let heard = "";
    const until = async (text: string) => {
      while (!heard.includes(text)) {
        const { done, value } = await reader.read();
        if (done) throw new Error(`the hearer ended before ${text}`);
        heard += value;
      }
    };
    await until("ready");
    const hidden = Buffer.from("psst");
    const udp = ipv4Udp(p2.ip, p1.ip, 7, "psst");
    const frames = [
      ethernet(p1.mac, p2.mac, 0x0800, udp),
      ethernet(broadcast, p2.mac, 0x0800, udp),
      ethernet(bridge, p2.mac, 0x0800, udp),
      ethernet(broadcast, p2.mac, 0x0806, bytes(arp(p2.mac, gateway, p1), hidden)),
    ];
    const sent = Bun.spawnSync(within(p2.pid, SEND), {
      stdin: Buffer.from(frames.map((frame) => `${frame.toString("hex")}\n`).join("")),
    });
    expect(sent.exitCode).toBe(0);
    // What the host sends afterwards arrives: everything before it was dropped, not late.
    await fetch(`http://${p1.ip}/the-end`);
    await until(Buffer.from("the-end").toString("hex"));
    await hearer.exited;
    expect(heard).not.toContain(hidden.toString("hex"));
    await engine.ok("rm", "-f", "p1", "p2");
  }
  await engine.ok("network", "rm", "apart");
}, 60_000);

test("the guard is part of check and reconcile, and of what a killed netd leaves behind", async () => {
  await engine.ok(
    "network",
    "create",
    "--subnet",
    "10.83.0.0/24",
    "-o",
    "ctr.network.bridge.antispoof=true",
    "watched",
  );
  const [liar, victim] = [await start("liar", "watched"), await start("victim", "watched")];
  const forged = ethernet(victim.mac, liar.mac, 0x0800, ipv4Udp("192.0.2.1", victim.ip, 7, "forged"));
  const nft = (...words: string[]) => {
    const ran = Bun.spawnSync(["nft", ...words]);
    if (ran.exitCode !== 0) throw new Error(ran.stderr.toString());
    return ran.stdout.toString();
  };
  expect(await engine.ok("netd", "check")).toBe("");
  const tables = nft("list", "tables", "bridge").trim().split(" ");
  const table = tables.at(-1) ?? "";
  const changes: readonly [readonly string[], string][] = [
    [["delete", "table", "bridge", table], "is not as it was written"],
    [["insert", "rule", "bridge", table, "from-ports", "accept"], "is not as it was written"],
    [["flush", "set", "bridge", table, "guarded"], "guarded lacks veth"],
    [
      ["add", "element", "bridge", table, "addresses", "{", "vethother", ".", "192.0.2.1", "}"],
      "addresses has vethother",
    ],
  ];
  for (const [words, told] of changes) {
    nft(...words);
    expect((await engine.ctr("netd", "check")).stdout).toContain(told);
    await engine.ctr("netd", "reconcile");
    expect(await engine.ok("netd", "check")).toBe("");
    expect(await deliver(liar, victim, [forged])).toEqual([false]);
  }
  process.kill(engine.netd() ?? 0, "SIGKILL");
  expect(await deliver(liar, victim, [forged])).toEqual([false]);
  expect(await engine.ok("netd", "check")).toBe("");
  expect(await deliver(liar, victim, [forged])).toEqual([false]);
  await engine.ok("rm", "-f", "liar", "victim");
  await engine.ok("network", "rm", "watched");
});

test("antispoof is refused where it cannot be", async () => {
  const create = (...flags: readonly string[]) => engine.fails(1, "network", "create", ...flags, "no");
  expect(await create("-o", "ctr.network.bridge.antispoof=perhaps")).toContain("is neither true nor false");
  expect(await create("-d", "macvlan", "-o", "parent=lo", "-o", "ctr.network.bridge.antispoof=true")).toContain(
    "only for networks of the driver bridge",
  );
});
