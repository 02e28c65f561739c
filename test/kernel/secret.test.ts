/** `run --secret`: files that a container's programs find, and nobody else. */
import { expect } from "bun:test";
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { filesBelow, kernelFile, processes } from "../lib/host.ts";
import { isDocker } from "../lib/needs.ts";
import { test as kernelTest } from "../lib/test.ts";
import { waitFor } from "../lib/wait.ts";

const test = kernelTest.if(!isDocker());
const engine = tempEngine();
const image = await engine.image("minimal");

const VALUE = "correct horse battery staple";
const file = `${engine.scratch}/password`;
writeFileSync(file, `${VALUE}\n`);
const secrets = [
  ...["--secret", `id=password,src=${file}`],
  ...["--secret", "id=token,env=TOKEN,target=api,uid=1000,gid=29,mode=0400"],
  ...["--secret", `id=key,src=password,target=/etc/app/key`],
];
const create = (...words: readonly string[]) => engine.ctrWith({ env: { TOKEN: `${VALUE} token` } }, ...words);

/** Every file of the engine's, of the places where it may keep anything, that has the value in it. */
const holders = (...tops: readonly string[]) =>
  tops
    .flatMap((top) => filesBelow(top))
    .filter((path) => existsSync(path) && lstatSync(path).isFile() && readFileSync(path).includes(VALUE));

test("a secret is a file in memory with its owner and mode, for the program, exec and every start", async () => {
  const look = [
    "cat /run/secrets/password /run/secrets/api /etc/app/key; echo",
    "stat -c '%n %a %u %g' /run/secrets/* /etc/app/key",
    "ls -A /run/secrets",
    "(echo x > /run/secrets/password) 2>&1; (echo x > /etc/app/key) 2>&1; (echo x > /run/secrets/new) 2>&1",
    "grep -E ' /(run/secrets|etc/app/key) ' /proc/self/mounts",
  ].join("; ");
  const run = await create("run", "--name", "vault", "--network", "none", ...secrets, image, "sh", "-c", look);
  expect(run.stderr).toBe("");
  const lines = run.stdout.trimEnd().split("\n");
  expect(lines.slice(0, 10)).toEqual([
    VALUE,
    `${VALUE} token${VALUE}`,
    "",
    "/run/secrets/api 400 1000 29",
    "/run/secrets/password 444 0 0",
    "/etc/app/key 444 0 0",
    "api",
    "password",
    "sh: can't create /run/secrets/password: Read-only file system",
    "sh: can't create /etc/app/key: Read-only file system",
  ]);
  expect(lines[10]).toBe("sh: can't create /run/secrets/new: Read-only file system");
  for (const line of lines.slice(11)) expect(line).toMatch(/^secrets \S+ tmpfs ro,nosuid,nodev,noexec/);
  expect(lines).toHaveLength(13);
  // The file may change meanwhile: the secret is what it was when the container was made.
  writeFileSync(file, "another\n");
  expect(await engine.ok("start", "-a", "vault")).toStartWith(VALUE);
  writeFileSync(file, `${VALUE}\n`);
  await engine.ok("rm", "vault");
  expect(holders(engine.root, engine.state)).toEqual([]);
});

test("it is in no image, no layer, no answer, no environment and no command line", async () => {
  const { stdout } = await create("run", "-d", "--name", "vault", ...secrets, image, "sleep", "1000");
  const id = stdout.trim();
  expect(await engine.ok("exec", "vault", "cat", "/run/secrets/password")).toBe(VALUE);
  expect(holders(engine.root)).toEqual([]);
  expect(
    holders(engine.state)
      .map((path) => path.slice(engine.state.length))
      .sort(),
  ).toEqual(["key", "password", "token"].map((name) => `/secrets/${id}/${name}`));
  for (const path of [`${engine.state}/secrets`, `${engine.state}/secrets/${id}`])
    expect(lstatSync(path).mode & 0o777).toBe(0o700);
  expect(lstatSync(`${engine.state}/secrets/${id}/key`).mode & 0o777).toBe(0o600);
  for (const { pid, command } of processes().filter(({ command }) => command.startsWith("ctr ")))
    expect(`${command} ${kernelFile(`/proc/${pid}/environ`)}`).not.toContain(VALUE);
  const answers = [
    await engine.ok("inspect", "vault"),
    await engine.ok("events", "--since", "5m", "--until", "0s", "--format", "{{json .}}"),
    await engine.ok("diff", "vault"),
    await engine.ok("logs", "vault"),
    await engine.ok("ps", "-a", "--no-trunc", "--format", "{{json .}}"),
  ];
  for (const answer of answers) expect(answer).not.toContain(VALUE);
  await engine.ok("stop", "-t", "0", "vault");
  await engine.ok("commit", "vault", "made");
  await engine.ok("export", "-o", `${engine.scratch}/export.tar`, "vault");
  await engine.ok("save", "-o", `${engine.scratch}/save.tar`, "made");
  await engine.ctr("cp", "vault:/run", `${engine.scratch}/run`);
  expect(existsSync(`${engine.scratch}/run/secrets`)).toBe(true);
  expect(holders(engine.scratch)).toEqual([file]);
  expect(readdirSync(`${engine.scratch}/run/secrets`)).toEqual([]);
  await engine.ok("rm", "vault");
  await engine.ok("rmi", "made");
  expect(existsSync(`${engine.state}/secrets/${id}`)).toBe(false);
});

test("after a boot it is read from its file again; one that came from the environment is missed", async () => {
  await create(
    "create",
    "--name",
    "plain",
    "--network",
    "none",
    "--secret",
    `id=password,src=${file}`,
    image,
    "cat",
    "/run/secrets/password",
  );
  await create(
    "create",
    "--name",
    "caller",
    "--network",
    "none",
    "--secret",
    "id=token,env=TOKEN",
    image,
    "cat",
    "/run/secrets/token",
  );
  // What a boot does to a state directory in memory.
  rmSync(`${engine.state}/secrets`, { recursive: true });
  expect(await engine.ok("start", "-a", "plain")).toBe(VALUE);
  expect((await engine.ctr("start", "caller")).stderr).toContain(
    "secret token of container caller did not outlive the last boot: it came from no file, so the container must be created again",
  );
  rmSync(`${engine.state}/secrets`, { recursive: true });
  rmSync(file);
  expect((await engine.ctr("start", "plain")).stderr).toContain("could not be read again: open");
  writeFileSync(file, `${VALUE}\n`);
  await engine.ok("rm", "plain", "caller");
});

test("--rm, a restart by policy, a read-only root, another user; what cannot be is told before anything is done", async () => {
  const flags = ["--network", "none", "--read-only", "-u", "alice", "--secret", "id=token,env=TOKEN,uid=1000,mode=400"];
  expect((await create("run", "--rm", ...flags, image, "cat", "/run/secrets/token")).stdout).toBe(`${VALUE} token`);
  expect(existsSync(`${engine.state}/secrets`) ? readdirSync(`${engine.state}/secrets`) : []).toEqual([]);
  const again = ["--restart", "on-failure:1", ...flags, image, "sh", "-c", "cat /run/secrets/token; exit 3"];
  await create("run", "-d", "--name", "again", ...again);
  await waitFor("the second run", async () => (await engine.ok("logs", "again")).split("token").length === 3);
  await engine.ok("rm", "-f", "again");
  const refused = await create("run", "--secret", "id=x,env=NOT_THERE", image, "true");
  expect(refused.status).toBe(125);
  expect(refused.stderr).toContain("the environment has no variable NOT_THERE");
  expect(await engine.ok("ps", "-aq")).toBe("");
});
