import { expect, test } from "bun:test";
import { DEFAULT_CAPABILITIES } from "./capabilities.ts";
import { REFUSED_CALLS } from "./own-filter-program.ts";
import { defaultProfile } from "./seccomp/profile.ts";
import { resolveProfile } from "./seccomp/resolve.ts";

// A further program of the container has both filters: the supervisor's must not be what it notices.
test("a supervisor refuses only what the container's own default filter refuses", () => {
  for (const native of ["x64", "arm64"] as const) {
    const profile = resolveProfile(defaultProfile(), { native, capabilities: DEFAULT_CAPABILITIES, kernel: "6.0" });
    expect(profile.defaultAction).toBe("SCMP_ACT_ERRNO");
    expect(profile.defaultErrnoRet ?? 1).toBe(1);
    const others = new Set((profile.syscalls ?? []).flatMap(({ names }) => names));
    expect(REFUSED_CALLS.supervisor.filter((name) => others.has(name))).toEqual([]);
  }
});
