import { expect, test } from "bun:test";
import { hostsText, namedResolvConfText, resolvConfText } from "./etc-files.ts";

const LOCAL =
  "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n" +
  "ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
const plain = { servers: [], search: [], options: [] };

test("etc-files: hosts with nothing of its own", () => {
  expect(hostsText({ hostname: "abc", domainname: "", extraHosts: [] })).toBe(LOCAL);
});

test.each([
  ["abc", "", "172.17.0.2\tabc"],
  ["foo.example.com", "", "172.17.0.2\tfoo.example.com foo"],
  ["foo", "d", "172.17.0.2\tfoo.d foo"],
  ["foo.example.com", "d", "172.17.0.2\tfoo.example.com.d foo"],
])("etc-files: hosts of %s in %p", (hostname, domainname, line) => {
  expect(hostsText({ hostname, domainname, extraHosts: [], addresses: ["172.17.0.2"] })).toBe(`${LOCAL}${line}\n`);
});

test("etc-files: extra hosts come before the own line, and host-gateway is the gateway", () => {
  const extraHosts = ["db:10.0.0.1", "six:2001:db8::1", "up:host-gateway"];
  expect(
    hostsText({ hostname: "abc", domainname: "", extraHosts, addresses: ["172.17.0.2"], gateway: "172.17.0.1" }),
  ).toBe(`${LOCAL}10.0.0.1\tdb\n2001:db8::1\tsix\n172.17.0.1\tup\n172.17.0.2\tabc\n`);
});

test("etc-files: resolv.conf keeps the host's lines without servers that cannot be reached", () => {
  const host =
    "# made by x\nnameserver 127.0.0.1\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\nsearch a b\noptions edns0\n";
  expect(resolvConfText(host, plain)).toBe("search a b\nnameserver 10.0.0.53\noptions edns0\n");
});

test("etc-files: resolv.conf without a usable server names public ones", () => {
  expect(resolvConfText("nameserver ::1\n", plain)).toBe("nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
  expect(resolvConfText("", plain)).toBe("nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
});

test("etc-files: each flag replaces its part of resolv.conf, and `.` means no search list", () => {
  const host = "nameserver 10.0.0.53\nsearch a\noptions edns0\n";
  expect(resolvConfText(host, { servers: ["1.1.1.1"], search: ["b", "c"], options: ["ndots:2"] })).toBe(
    "search b c\nnameserver 1.1.1.1\noptions ndots:2\n",
  );
  expect(resolvConfText(host, { ...plain, search: ["."] })).toBe("nameserver 10.0.0.53\noptions edns0\n");
});

test.each([
  [
    "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n",
    [],
    "search lan\nnameserver 127.0.0.11\noptions edns0 trust-ad ndots:0\n",
  ],
  ["", [], "nameserver 127.0.0.11\noptions ndots:0\n"],
  ["nameserver 10.0.0.53\n", ["ndots:2"], "nameserver 127.0.0.11\noptions ndots:2\n"],
  ["options ndots:1\n", ["edns0"], "nameserver 127.0.0.11\noptions edns0 ndots:0\n"],
])("etc-files: resolv.conf on networks with names, from %j", (host, options, expected) => {
  expect(namedResolvConfText(host, { search: [], options })).toBe(expected);
});
