import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { openCredentialStore } from "./credentials.ts";

const top = mkdtempSync("/tmp/ctr-credentials-");
afterAll(() => rmSync(top, { recursive: true }));
let made = 0;
/** A configuration directory with this config.json, and helpers in its PATH. */
function store(config?: unknown) {
  const directory = `${top}/${made++}`;
  Bun.spawnSync(["mkdir", "-p", directory]);
  const path = `${directory}/config.json`;
  if (config !== undefined) writeFileSync(path, typeof config === "string" ? config : JSON.stringify(config));
  const environment = { DOCKER_CONFIG: directory, PATH: `${directory}:.:relative:/usr/bin:/bin`, HOME: directory };
  return { directory, path, environment, store: openCredentialStore(environment) };
}
const auth = (text: string) => ({ auth: Buffer.from(text).toString("base64") });
const plain = (username: string, password: string) => ({ username, password, identityToken: undefined });

test("auths are found by host, by the URLs old clients wrote, and Docker Hub under its own name", async () => {
  const { store: s } = store({
    auths: {
      "https://index.docker.io/v1/": auth("hub:pa:ss"),
      "https://old.example.com/v1/": auth("old:x"),
      "r.example.com:5000": { ...auth("u:"), identitytoken: "T" },
      "empty.example.com": {},
      "legacy.example.com": { username: "l", password: "p" },
    },
  });
  expect(await s.get("docker.io")).toEqual(plain("hub", "pa:ss"));
  expect(await s.get("registry-1.docker.io")).toEqual(plain("hub", "pa:ss"));
  expect(await s.get("old.example.com")).toEqual(plain("old", "x"));
  expect(await s.get("r.example.com:5000")).toEqual({ username: "u", password: "", identityToken: "T" });
  expect(await s.get("legacy.example.com")).toEqual(plain("l", "p"));
  for (const host of ["empty.example.com", "r.example.com", "example.com", "docker.io.example.com", "__proto__"]) {
    expect(await s.get(host)).toBeUndefined();
  }
});

test("a broken configuration is an error that names the file and shows no secret", async () => {
  await expect(store('{"auths": {"a": {"auth": "c2VjcmV0OnBhc3M="').store.get("a")).rejects.toThrow(
    /config\.json is not JSON$/,
  );
  await expect(store("[]").store.get("a")).rejects.toThrow("is no JSON object");
  await expect(store({ auths: { a: { auth: "c2VjcmV0" } } }).store.get("a")).rejects.toThrow(
    /auths: a: auth is not the base64 of user:password$/,
  );
  await expect(store({ auths: { a: { auth: 1 } } }).store.get("a")).rejects.toThrow("auth is no text");
  expect(await store("").store.get("a")).toBeUndefined();
  expect(await store().store.get("a")).toBeUndefined();
});

test("put keeps everything else in the file, and the file for its owner alone", async () => {
  const { store: s, path } = store({ HttpHeaders: { a: "b" }, auths: { other: auth("o:o") } });
  chmodSync(path, 0o644);
  await s.put("r.example.com", plain("u", "p:q"));
  expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({
    HttpHeaders: { a: "b" },
    auths: { other: auth("o:o"), "r.example.com": auth("u:p:q") },
  });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(await s.get("r.example.com")).toEqual(plain("u", "p:q"));
  expect(await s.remove("r.example.com")).toBe(true);
  expect(await s.remove("r.example.com")).toBe(false);
  expect(Object.keys(JSON.parse(readFileSync(path, "utf8")).auths)).toEqual(["other"]);
});

test("the first login makes the directory 0700; a link to the file stays a link", async () => {
  const environment = { DOCKER_CONFIG: `${top}/new/deep` };
  await openCredentialStore(environment).put("a", plain("u", "p"));
  expect(statSync(`${top}/new/deep`).mode & 0o777).toBe(0o700);
  expect(statSync(`${top}/new/deep/config.json`).mode & 0o777).toBe(0o600);
  const { store: s, path, directory } = store();
  writeFileSync(`${directory}/dotfile`, "{}");
  symlinkSync("dotfile", path);
  await s.put("a", plain("u", "p"));
  expect(JSON.parse(readFileSync(`${directory}/dotfile`, "utf8"))).toEqual({ auths: { a: auth("u:p") } });
});

test("many logins at once are all kept", async () => {
  const { path, environment } = store();
  const program = `
    import { openCredentialStore } from ${JSON.stringify(`${import.meta.dir}/credentials.ts`)};
    for (let i = 0; i < 10; i++) await openCredentialStore(process.env).put(process.argv[1] + i, { username: "u", password: "p", identityToken: undefined });`;
  const children = ["a", "b", "c"].map((name) =>
    Bun.spawn([process.execPath, "-e", program, name], { env: environment, stderr: "inherit" }),
  );
  expect(await Promise.all(children.map((child) => child.exited))).toEqual([0, 0, 0]);
  expect(Object.keys(JSON.parse(readFileSync(path, "utf8")).auths).length).toBe(30);
}, 30_000);

/** A helper that keeps one entry in a file and writes down what it was asked. */
const HELPER = `#!/bin/sh
dir=$(dirname "$0")
echo "$1 $(tr -d '\\n' < /dev/stdin | tee "$dir/input")" >> "$dir/calls"
case "$1" in
  get) if [ -e "$dir/kept" ] && grep -q "$(cat "$dir/input")" "$dir/kept"; then cat "$dir/kept"; else echo "credentials not found in native keychain"; exit 1; fi ;;
  store) cp "$dir/input" "$dir/kept" ;;
  erase) rm -f "$dir/kept" ;;
esac
`;

function helperStore(config: object) {
  const made = store(config);
  writeFileSync(`${made.directory}/docker-credential-test`, HELPER, { mode: 0o755 });
  return { ...made, calls: () => readFileSync(`${made.directory}/calls`, "utf8").trim().split("\n") };
}

test("a helper for one registry keeps and gives its credentials; the file gets none", async () => {
  const { store: s, path, calls } = helperStore({ credHelpers: { "r.example.com": "test" } });
  expect(await s.get("r.example.com")).toBeUndefined();
  expect(s.keeperOf("r.example.com")).toEqual({ helper: "test" });
  expect(s.keeperOf("other.example.com")).toEqual({ file: path });
  await s.put("r.example.com", plain("u", "sec ret"));
  expect(readFileSync(path, "utf8")).not.toContain(Buffer.from("u:sec ret").toString("base64"));
  expect(await s.get("r.example.com")).toEqual(plain("u", "sec ret"));
  expect(await s.remove("r.example.com")).toBe(true);
  expect(calls()).toEqual([
    "get r.example.com",
    'store {"ServerURL":"r.example.com","Username":"u","Secret":"sec ret"}',
    "get r.example.com",
    "get r.example.com",
    "erase r.example.com",
  ]);
});

test("a helper for all: an identity token goes in and out under its mark", async () => {
  const { store: s, directory } = helperStore({ credsStore: "test" });
  await s.put("docker.io", { username: "u", password: "", identityToken: "T" });
  expect(readFileSync(`${directory}/kept`, "utf8")).toBe(
    '{"ServerURL":"https://index.docker.io/v1/","Username":"<token>","Secret":"T"}',
  );
  expect(await s.get("docker.io")).toEqual({ username: "", password: "", identityToken: "T" });
});

test("helpers that are missing, misnamed, fail, or talk nonsense are errors without secrets", async () => {
  await expect(store({ credsStore: "nosuch" }).store.get("a")).rejects.toThrow(
    "error getting credentials: docker-credential-nosuch is not in PATH",
  );
  await expect(store({ credsStore: "../evil" }).store.get("a")).rejects.toThrow(
    'credential helper "../evil": no such name',
  );
  const failing = store({ credsStore: "test" });
  const write = (body: string) =>
    writeFileSync(`${failing.directory}/docker-credential-test`, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  write("printf 'locked\\033[31m'; exit 3");
  await expect(failing.store.get("a")).rejects.toThrow("docker-credential-test get: status 3: locked [31m");
  write('echo \'{"Secret": "hunter2"\'');
  await expect(failing.store.get("a")).rejects.toThrow(/^docker-credential-test get: the answer is not JSON$/);
  write('echo \'{"Secret": "hunter2"}\'');
  await expect(failing.store.get("a")).rejects.toThrow("the answer has no Username and Secret");
  write("exec cat /dev/zero");
  await expect(failing.store.get("a")).rejects.toThrow("the answer is too long");
});
