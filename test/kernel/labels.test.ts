/** Security labels on a host that has neither AppArmor nor SELinux; with AppArmor they are tested in test/vm/confinement. */
import { expect } from "bun:test";
import { existsSync } from "node:fs";
import { tempEngine } from "../lib/engine.ts";
import { isDocker } from "../lib/needs.ts";
import { test } from "../lib/test.ts";

const engine = tempEngine();
const image = await engine.image("minimal");
const isPlain = !existsSync("/sys/module/apparmor") && !existsSync("/sys/fs/selinux/enforce") && !isDocker();

test.if(isPlain)(
  "a profile or a label that the host cannot give ends the start, before anything is recorded",
  async () => {
    const refused = (option: string) =>
      engine.fails(125, "run", "--rm", "--network", "none", "--security-opt", option, image, "true");
    expect(await refused("apparmor=some")).toContain("apparmor profile some: this host has no AppArmor");
    expect(await refused("label=type:spc_t")).toContain("label=type:spc_t: this host has no SELinux");
    expect(await refused("label=nonsense")).toContain('bad label option "nonsense", valid options');
    expect(await refused("apparmor=")).toContain("Invalid --security-opt");
    expect(await engine.ok("ps", "-aq")).toBe("");
  },
);

test("what switches labels off is taken everywhere", async () => {
  const options = ["apparmor=unconfined", "label=disable"].flatMap((option) => ["--security-opt", option]);
  await engine.ok("create", "--name", "open", "--network", "none", ...options, image, "echo", "said");
  expect(await engine.ok("start", "-a", "open")).toBe("said");
  expect(await engine.ok("inspect", "-f", "{{json .HostConfig.SecurityOpt}}", "open")).toBe(
    '["apparmor=unconfined","label=disable"]',
  );
  expect(await engine.ok("inspect", "-f", "{{.ProcessLabel}}{{.MountLabel}}", "open")).toBe("");
  await engine.ok("rm", "open");
});
