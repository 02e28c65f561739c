/** The kinds of namespace: the runtime-spec's name, clone(2)'s flag, the file in /proc/<pid>/ns, the kernel that had it first. */
import type { NamespaceType } from "./runtime.ts";

export interface NamespaceKind {
  readonly type: NamespaceType;
  readonly flag: number;
  readonly file: string;
  readonly since: string;
}

// In the order in which they are joined: the user namespace gives the right to join the others; the mount
// namespace comes last, because the paths of the others lie in the one we are in.
export const NAMESPACES: readonly NamespaceKind[] = [
  { type: "user", flag: 0x10000000, file: "user", since: "3.8" },
  { type: "ipc", flag: 0x08000000, file: "ipc", since: "2.6.19" },
  { type: "uts", flag: 0x04000000, file: "uts", since: "2.6.19" },
  { type: "network", flag: 0x40000000, file: "net", since: "2.6.24" },
  { type: "pid", flag: 0x20000000, file: "pid", since: "2.6.24" },
  { type: "cgroup", flag: 0x02000000, file: "cgroup", since: "4.6" },
  { type: "time", flag: 0x00000080, file: "time", since: "5.6" },
  { type: "mount", flag: 0x00020000, file: "mnt", since: "2.4.19" },
];
