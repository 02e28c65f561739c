import { expect, test } from "bun:test";
import { defaultProfile } from "./apparmor.ts";

test("the profile denies what Docker's does, and lets only itself and the engine signal", () => {
  const lines = defaultProfile(["snap.ctr.ctr"]).split("\n");
  for (const rule of ["deny mount", "deny @{PROC}/sysrq-trigger rwklx", "deny /sys/kernel/security/** rwklx"])
    expect(lines).toContain(`  ${rule},`);
  expect(lines.filter((line) => line.includes("signal"))).toEqual([
    '  signal (receive) peer="unconfined",',
    '  signal (receive) peer="snap.ctr.ctr",',
    "  signal (send, receive) peer=ctr-default,",
  ]);
  // Complete in itself: what a distribution keeps in /etc/apparmor.d may be missing, or older or newer.
  expect(lines.some((line) => line.includes("include"))).toBe(false);
});
