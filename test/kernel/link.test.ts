/** `--link` on the default bridge: hosts, variables, and taking a link away. */
import { expect } from "bun:test";
import { tempEngine } from "../lib/engine.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const image = await engine.image("minimal");

test("--link: a line of /etc/hosts and Docker's variables", async () => {
  await engine.ok("run", "-d", "--name", "db", "--expose", "5432", "-e", "USER=x", image, "sleep", "600");
  const address = await engine.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "db");
  const short = await engine.ok("inspect", "-f", "{{.Config.Hostname}}", "db");
  await engine.ok("run", "-d", "--name", "web", "--link", "db:store", image, "sleep", "600");
  expect(await engine.ok("exec", "web", "cat", "/etc/hosts")).toContain(`${address}\tstore ${short} db`);
  const environment = (await engine.ok("exec", "web", "cat", "/proc/1/environ")).split("\0");
  expect(environment).toEqual(
    expect.arrayContaining([
      `STORE_PORT=tcp://${address}:5432`,
      `STORE_PORT_5432_TCP=tcp://${address}:5432`,
      `STORE_PORT_5432_TCP_ADDR=${address}`,
      "STORE_PORT_5432_TCP_PORT=5432",
      "STORE_PORT_5432_TCP_PROTO=tcp",
      "STORE_NAME=/web/store",
      "STORE_ENV_USER=x",
    ]),
  );
  expect(await engine.ok("inspect", "-f", "{{json .HostConfig.Links}}", "web")).toBe('["/db:/web/store"]');
  expect(await engine.ok("rm", "--link", "web/store")).toBe("web/store");
  expect(await engine.ok("inspect", "-f", "{{json .HostConfig.Links}}", "web")).toBe("null");
  expect(await engine.fails(1, "rm", "--link", "web/store")).toContain("no link store");
  await engine.ok("rm", "-f", "web");
  await engine.ok("stop", "-t", "0", "db");
  expect(await engine.fails(125, "run", "--rm", "--link", "db", image, "true")).toContain(
    "Cannot link to a non running container: /db",
  );
  expect(await engine.fails(125, "run", "--rm", "--link", "nosuch", image, "true")).toContain(
    "could not get container for nosuch",
  );
  await engine.ok("rm", "db");
});
