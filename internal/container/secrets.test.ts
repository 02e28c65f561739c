import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { secretsFromFlags } from "./secrets.ts";

const directory = mkdtempSync("/tmp/ctr-secrets-");
afterAll(() => rmSync(directory, { recursive: true }));
writeFileSync(`${directory}/key`, "from the file");
writeFileSync(`${directory}/large`, new Uint8Array(500 * 1024 + 1));
for (const name of ["a", "b", "c", "d", "e"]) writeFileSync(`${directory}/${name}`, new Uint8Array(450 * 1024));

const caller = { variables: { TOKEN: "from the environment", EMPTY: "" }, directory };
const read = (...flags: readonly string[]) =>
  secretsFromFlags(flags, caller).map(({ secret, content }) => ({
    ...secret,
    text: new TextDecoder().decode(content),
  }));

test("a secret is a file or a variable, and has a place, an owner and a mode", () => {
  const common = { UID: 0, GID: 0, Mode: 0o444 };
  expect(read("id=key,src=key", "id=token,env=TOKEN", `id=empty,env=EMPTY`)).toEqual([
    { Name: "key", Target: "/run/secrets/key", ...common, Source: `${directory}/key`, text: "from the file" },
    { Name: "token", Target: "/run/secrets/token", ...common, text: "from the environment" },
    { Name: "empty", Target: "/run/secrets/empty", ...common, text: "" },
  ]);
  expect(read(`source=${directory}/key,id=key,destination=/etc/app/key,uid=1000,gid=4294,mode=0400`)).toEqual([
    {
      Name: "key",
      Target: "/etc/app/key",
      UID: 1000,
      GID: 4294,
      Mode: 0o400,
      Source: `${directory}/key`,
      text: "from the file",
    },
  ]);
});

test.each([
  ["key", "unexpected 'key'"],
  ["id=key,src=key,type=env", "unexpected 'type'"],
  ["id=key,src=key,src=key", "src is given twice"],
  ["id=key", "one of src=FILE and env=VARIABLE is needed"],
  ["id=key,src=key,env=TOKEN", "one of src=FILE and env=VARIABLE is needed"],
  ["src=key", "id must be a name"],
  ["id=../key,src=key", "id must be a name"],
  ["id=key,src=missing", "no such file or directory"],
  ["id=key,env=MISSING", "the environment has no variable MISSING"],
  ["id=key,src=large", "it has more than 512000 bytes"],
  ["id=key,src=key,target=a/b", "target 'a/b' must be a name or an absolute path"],
  ["id=key,src=key,target=/etc/../x", "target '/etc/../x' must be"],
  ["id=key,src=key,target=/proc/x", "nothing can be mounted on /proc/x"],
  ["id=key,src=key,target=/run/secrets", "nothing can be mounted on /run/secrets"],
  ["id=key,src=key,uid=alice", "uid 'alice' is not"],
  ["id=key,src=key,uid=2147483648", "uid '2147483648' is not"],
  ["id=key,src=key,mode=999", "mode '999' is not"],
  ["id=key,src=key,mode=4755", "mode '4755' is not"],
])("--secret %s: %s", (flag, words) => {
  expect(() => read(flag)).toThrow(words);
});

test("two secrets need two places, and all of them fit into one message", () => {
  expect(() => read("id=a,src=key,target=same", "id=b,env=TOKEN,target=/run/secrets/same")).toThrow("two secrets have");
  expect(() => read("id=a,src=a", "id=b,src=b", "id=c,src=c", "id=d,src=d", "id=e,src=e")).toThrow(
    "2097152 bytes together",
  );
});
