/**
 * Runs a program to which some system calls are refused: a kernel that has less, or a sandbox around it.
 *
 *   bun with-filter.ts FILTER /path/of/program ARGUMENT...
 */
import { compileSeccomp } from "../../internal/security/seccomp/compile.ts";
import type { SeccompSyscall } from "../../internal/spec/runtime.ts";
import { installFilter } from "../../internal/sys/seccomp.ts";
import { execve } from "../../internal/sys/spawn.ts";

const [EPERM, ENOSYS, EPROTONOSUPPORT] = [1, 38, 93];
const [AF_NETLINK, NETLINK_NETFILTER] = [16, 12];
/** Namespaces but the network's: mnt, cgroup, uts, ipc, user, pid. */
const OTHER_NAMESPACES = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000];

const refuse = (errnoRet: number, names: readonly string[], args: SeccompSyscall["args"] = []): SeccompSyscall => ({
  names,
  action: "SCMP_ACT_ERRNO",
  errnoRet,
  args,
});
const hasFlag = (index: number, value: number) =>
  [{ index, value, valueTwo: value, op: "SCMP_CMP_MASKED_EQ" }] as const;

const FILTERS = new Map<string, readonly SeccompSyscall[]>([
  // systemd's RestrictNamespaces=net (seccomp_restrict_namespaces, src/shared/seccomp-util.c)
  [
    "namespaces",
    [
      refuse(ENOSYS, ["clone3"]),
      refuse(EPERM, ["setns"], [{ index: 1, value: 0, op: "SCMP_CMP_EQ" }]),
      ...OTHER_NAMESPACES.flatMap((flag) => [
        refuse(EPERM, ["clone", "unshare"], hasFlag(0, flag)),
        refuse(EPERM, ["setns"], hasFlag(1, flag)),
      ]),
    ],
  ],
  ["clone3", [refuse(ENOSYS, ["clone3"])]],
  // A kernel without nf_tables, conntrack's netlink and the like.
  [
    "nfnetlink",
    [
      refuse(
        EPROTONOSUPPORT,
        ["socket"],
        [
          { index: 0, value: AF_NETLINK, op: "SCMP_CMP_EQ" },
          { index: 2, value: NETLINK_NETFILTER, op: "SCMP_CMP_EQ" },
        ],
      ),
    ],
  ],
]);

const [, , name = "", ...command] = process.argv;
const syscalls = FILTERS.get(name);
if (syscalls === undefined || (process.arch !== "x64" && process.arch !== "arm64"))
  throw new Error(`no filter ${name} here`);
installFilter(compileSeccomp({ defaultAction: "SCMP_ACT_ALLOW", syscalls }, process.arch));
const environment = Object.entries(process.env).map(([key, value]) => `${key}=${value ?? ""}`);
execve(command[0] ?? "", command, environment);
