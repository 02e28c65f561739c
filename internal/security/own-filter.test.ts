import { describe, expect, test } from "bun:test";
import { type Call, runFilter } from "../../test/lib/bpf.ts";
import { DEFAULT_CAPABILITIES } from "./capabilities.ts";
import { ownProgram, REFUSED_TO_SUPERVISORS } from "./own-filter-program.ts";
import { ABIS, NATIVE_ABI } from "./seccomp/numbers.ts";
import { defaultProfile, REFUSED_DOMAINS } from "./seccomp/profile.ts";
import { resolveProfile } from "./seccomp/resolve.ts";

const ALLOW = 0x7fff0000;
const errno = (number: number) => 0x50000 + number;
const [EPERM, ENOSYS] = [errno(1), errno(38)];

describe.each(["x64", "arm64"] as const)("on %s", (native) => {
  const abi = ABIS.find(({ name }) => name === NATIVE_ABI[native]);
  const numbers = abi?.numbers() ?? new Map<string, number>();
  const ask = (role: "netd" | "supervisor", name: string, ...args: bigint[]): number => {
    const nr = numbers.get(name);
    if (nr === undefined || abi === undefined) throw new Error(`no call ${name}`);
    const call: Call = { arch: abi.auditArch, nr, args };
    return runFilter(ownProgram(native, role), call);
  };

  // A further program of the container has both filters: the supervisor's must not be what it notices.
  test("a supervisor refuses only what the container's own default filter refuses", () => {
    const profile = resolveProfile(defaultProfile(), { native, capabilities: DEFAULT_CAPABILITIES, kernel: "6.0" });
    expect(profile.defaultAction).toBe("SCMP_ACT_ERRNO");
    expect(profile.defaultErrnoRet ?? 1).toBe(1);
    const rules = profile.syscalls ?? [];
    const others = new Set(rules.flatMap(({ names }) => names));
    expect(REFUSED_TO_SUPERVISORS.filter((name) => others.has(name))).toEqual([]);
    const domains = rules.filter(({ names }) => names.includes("socket")).map(({ args }) => args?.[0]?.value);
    expect(domains.filter((domain) => REFUSED_DOMAINS.has(Number(domain)))).toEqual([]);
    expect(ask("supervisor", "socket", 38n)).toBe(EPERM);
    expect(ask("supervisor", "socket", 2n)).toBe(ALLOW);
  });

  test("what a supervisor does for a start, an exec and a restart it may", () => {
    for (const name of [
      "clone3",
      "setns",
      "unshare",
      "mount",
      "fsopen",
      "move_mount",
      "pivot_root",
      "bpf",
      "pidfd_getfd",
    ])
      expect([name, ask("supervisor", name)]).toEqual([name, ALLOW]);
  });

  test("netd makes no namespace, by no call", () => {
    expect(ask("netd", "unshare")).toBe(EPERM);
    expect(ask("netd", "clone3")).toBe(ENOSYS);
    expect(ask("netd", "clone", 0x11n)).toBe(ALLOW);
    for (const flag of [0x20000n, 0x2000000n, 0x4000000n, 0x8000000n, 0x10000000n, 0x20000000n, 0x40000000n])
      expect(ask("netd", "clone", flag | 0x11n)).toBe(EPERM);
    expect(ask("netd", "setns", 3n, 0x40000000n)).toBe(ALLOW);
  });

  test("netd speaks to the kernel's networks and to Unix sockets only", () => {
    const domains = Array.from({ length: 64 }, (_, domain) => domain);
    const allowed = domains.filter((domain) => ask("netd", "socket", BigInt(domain)) === ALLOW);
    expect(allowed).toEqual([1, 2, 10, 16]);
    // socket(2) looks at the lower half; the filter at all of it.
    expect(ask("netd", "socket", (1n << 32n) | 38n)).toBe(EPERM);
  });

  test("netd has neither mounts, other processes' memory, modules' removal nor another architecture's calls", () => {
    const refused =
      "mount umount2 fsopen open_tree pivot_root chroot bpf ptrace process_vm_readv kcmp keyctl add_key io_uring_setup " +
      "userfaultfd perf_event_open kexec_load delete_module swapon reboot sethostname settimeofday personality shmget " +
      "open_by_handle_at name_to_handle_at vmsplice";
    for (const name of refused.split(" ")) expect([name, ask("netd", name)]).toEqual([name, EPERM]);
    for (const { auditArch, name } of ABIS) {
      if (auditArch === abi?.auditArch) continue;
      const answer = runFilter(ownProgram(native, "netd"), { arch: auditArch, nr: 20 });
      expect([name, answer >>> 0]).toEqual([name, 0x80000000]);
    }
  });
});
