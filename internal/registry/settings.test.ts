import { expect, test } from "bun:test";
import { endpointsOf, loadRegistrySettings, parseRegistrySettings, withInsecure } from "./settings.ts";

const parse = (text: string, environment = {}) => parseRegistrySettings(text, "/etc/ctr/registries.toml", environment);
const hosts = async (text: string, domain: string, actions: "pull" | "push" = "pull") =>
  (await endpointsOf(parse(text), domain, actions)).map(
    ({ scheme, host, prefix, isInsecure, isMirror }) =>
      `${scheme}://${host}${prefix}${isInsecure ? " insecure" : ""}${isMirror ? " mirror" : ""}`,
  );

test("without a file: Docker Hub at its own address, this machine insecure, everything else by TLS", async () => {
  expect(await hosts("", "docker.io")).toEqual(["https://registry-1.docker.io"]);
  expect(await hosts("", "index.docker.io")).toEqual(["https://registry-1.docker.io"]);
  expect(await hosts("", "localhost:5000")).toEqual(["https://localhost:5000 insecure"]);
  expect(await hosts("", "127.3.2.1:5000")).toEqual(["https://127.3.2.1:5000 insecure"]);
  expect(await hosts("", "10.0.0.1:5000")).toEqual(["https://10.0.0.1:5000"]);
});

test("mirrors are asked in order, before the registry, and for pulls only", async () => {
  const text = `
[registry."docker.io"]
mirrors = ["https://one.example.com", "http://two.example.com:5000/hub/", "three.example.com"]
[registry."three.example.com"]
insecure = true
[registry."r.example.com"]
mirrors = ["localhost:5000"]
`;
  expect(await hosts(text, "docker.io")).toEqual([
    "https://one.example.com mirror",
    "http://two.example.com:5000/hub insecure mirror",
    "https://three.example.com insecure mirror",
    "https://registry-1.docker.io",
  ]);
  expect(await hosts(text, "docker.io", "push")).toEqual(["https://registry-1.docker.io"]);
  expect(await hosts(text, "r.example.com")).toEqual([
    "https://localhost:5000 insecure mirror",
    "https://r.example.com",
  ]);
});

test("insecure by name, by network, and by a command's flag", async () => {
  const text = 'insecure-networks = ["10.0.0.0/8", "fd00::/8"]\n[registry."r.example.com:5000"]\ninsecure = true\n';
  expect(await hosts(text, "r.example.com:5000")).toEqual(["https://r.example.com:5000 insecure"]);
  expect(await hosts(text, "r.example.com")).toEqual(["https://r.example.com"]);
  expect(await hosts(text, "10.9.8.7:80")).toEqual(["https://10.9.8.7:80 insecure"]);
  expect(await hosts(text, "[fd00::1]:80")).toEqual(["https://[fd00::1]:80 insecure"]);
  const [endpoint] = await endpointsOf(withInsecure(parse(text), "x.example.com"), "x.example.com", "pull");
  expect(endpoint?.isInsecure).toBe(true);
});

test("proxies come from the environment, lower case first, or as a whole from the file", () => {
  const environment = {
    HTTP_PROXY: "http://upper:1",
    http_proxy: "lower:2",
    HTTPS_PROXY: "https://s:3",
    NO_PROXY: "a, .b ,10.0.0.0/8",
  };
  expect(parse("", environment).proxies).toEqual({
    http: "http://lower:2/",
    https: "https://s:3/",
    except: ["a", ".b", "10.0.0.0/8"],
  });
  expect(parse('[proxy]\nhttps = "http://user:pass@file:4"\n', environment).proxies).toEqual({
    http: undefined,
    https: "http://user:pass@file:4/",
    except: [],
  });
  expect(() => parse("", { HTTPS_PROXY: "socks5://secret@x" })).toThrow("HTTPS_PROXY: is no http or https URL");
  expect(() => parse("", { HTTPS_PROXY: "socks5://secret@x" })).not.toThrow("secret");
});

test.each<readonly [string, string]>([
  ["x = ", "/etc/ctr/registries.toml: Missing value after"],
  ["unknown = 1", "/etc/ctr/registries.toml: unknown: is not known here (registry, "],
  ["registry = 1", "/etc/ctr/registries.toml: registry: is no table"],
  ['[registry."a b"]', 'registry."a b": is no host name'],
  ['[registry."https://a"]', "is no host name"],
  ['[registry."a"]\nmirror = ["b"]', 'registry."a".mirror: is not known here (insecure, mirrors are)'],
  ['[registry."a"]\nmirrors = "b"', 'registry."a".mirrors: is no list of texts'],
  ['[registry."a"]\nmirrors = [1]', 'registry."a".mirrors[0]: is no text'],
  ['[registry."a"]\nmirrors = ["ftp://b"]', 'registry."a".mirrors[0]: "ftp://b" is neither https nor http'],
  ['[registry."a"]\nmirrors = ["https://u:p@b"]', "credentials do not belong here"],
  ['[registry."a"]\nmirrors = ["https://b?x"]', "has more than a host and a path"],
  ['[registry."a"]\nmirrors = ["http://"]', "is no URL"],
  ['[registry."a"]\ninsecure = "yes"', 'registry."a".insecure: is neither true nor false'],
  ['insecure-networks = ["10.0.0.1"]', 'insecure-networks[0]: "10.0.0.1" is no network (10.0.0.0/8)'],
  ['certificate-directories = ["certs"]', "certificate-directories[0]: is no absolute path"],
  ["retries = -1", "retries: is no whole number from 0 to 100"],
  ["stall-timeout = 1.5", "stall-timeout: is no whole number from 1 to 86400"],
  ['[proxy]\nftp = "x"', "proxy.ftp: is not known here (http, https, except are)"],
  ["[proxy]\nhttp = 3", "proxy.http: is no text"],
])("the file %p is refused with its name and the key", (text, message) => {
  expect(() => parse(text)).toThrow(message);
});

test("a file that was asked for must be there; the usual one need not", () => {
  expect(() => loadRegistrySettings({ CTR_REGISTRIES: "/nonexistent/r.toml" })).toThrow(
    "registry settings: open /nonexistent/r.toml: no such file or directory",
  );
});
