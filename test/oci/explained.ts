/** Differences between runtimes that are known, with their reason: the first rule that fits explains one. */
import type { Json } from "./harness.ts";

type Values = { readonly [runtime: string]: string };

interface Rule {
  readonly path: RegExp;
  readonly why: string;
  /** Absent is always. */
  readonly when?: (values: Values, config: Json) => boolean;
}

/** The values of the two others are the same. */
function only(runtime: string): (values: Values) => boolean {
  return (values) => {
    const others = Object.entries(values).filter(([name]) => name !== runtime);
    return new Set(others.map(([, value]) => value)).size === 1;
  };
}

const RULES: readonly Rule[] = [
  {
    path: /^scheduler\.nice$/,
    why: "the niceness of who called does not travel with ctr; runc and crun hand it on",
    when: ({ ctr, ...others }) => ctr === "0" && new Set(Object.values(others)).size === 1,
  },
  {
    path: /^failed$/,
    why: "crun 1.8 takes a relative source from its own directory, not from the bundle, and takes it for a directory",
    when: ({ ctr, runc, crun = "" }) =>
      ctr === "runs" && runc === "runs" && /open mount target|cannot stat|No such file/.test(crun),
  },
  {
    path: /^mount\.\/sys\.superOptions$/,
    why: "runc makes a read-only sysfs with a read-only superblock, ctr and crun a read-only mount",
    when: only("runc"),
  },
  {
    path: /^dev\.core\./,
    why: "this kernel has no /proc/kcore: crun makes /dev/core all the same",
    when: only("crun"),
  },
  {
    path: /^dev\.null\.(uid|gid)$/,
    why: "standard input was /dev/null: crun gives it to the container's user, ctr and runc leave a shared device alone",
    when: only("crun"),
  },
  {
    path: /^(answers\.(stat|write|mknod):\/tmp|root\.tmp\.|root\.home\.mode)/,
    why: "a tmpfs on a directory: runc 1.1.5 gives it the directory's mode even where mode= says another (later versions and ctr do not), crun the kernel's 1777 where nothing is said",
  },
  {
    path: /^root\.filled\.mode$/,
    why: "tmpcopyup: ctr and runc keep the directory's mode, crun has the kernel's 1777",
    when: only("crun"),
  },
  {
    path: /^mount\.\/(tmp|scratch|filled|home)\.options$/,
    why: "crun 1.8 loses flags of a read-only tmpfs when it remounts it",
    when: only("crun"),
  },
  {
    path: /^cgroups\.(cpuset|name=systemd|hugetlb|net_cls|net_prio|perf_event|rdma|misc|)$/,
    why: "ctr makes no directory in hierarchies that hold none of its limits; runc and crun make one in each",
    when: only("ctr"),
  },
  {
    path: /^mount\.\/(proc\/(version|keys))\./,
    why: "a masked file: ctr and runc bind the container's own /dev/null, crun the host's",
    when: only("crun"),
  },
  {
    path: /^mount\.\/(filled|home|tmp|scratch)\.superOptions$/,
    why: "a tmpfs has the directory's mode: ctr gives it as an option, runc sets it afterwards, crun does not",
  },
  {
    path: /^mount\.\/sys\/fs\/cgroup\/(cpuset|systemd|hugetlb|net_cls|net_prio|perf_event|rdma|misc)\./,
    why: "ctr shows no hierarchy in which it made no directory for the container; runc and crun make one in each",
    when: only("ctr"),
  },
  {
    path: /^mount\.\/sys\/fs\/cgroup(\.|\/[a-z,]+\.source$)/,
    why: "the tmpfs that holds the hierarchies: ctr closes it read-only where the mount is to be; crun names things otherwise",
  },
  {
    path: /^env$/,
    why: "a masked /etc: ctr looks up HOME in the passwd that is below the mask, which runc and crun cannot see any more",
    when: ({ runc, crun = runc }, config) => runc === crun && JSON.stringify(config["linux"]).includes('"/etc"'),
  },
  {
    path: /^(mount\.\/etc\.(options|superOptions|source)|root\.etc\.mode)$/,
    why: "a masked directory: ctr's empty tmpfs is nosuid, nodev, noexec, of mode 755 and holds no file at all",
  },
  {
    path: /^env$/,
    why: "HOME is added from the container's passwd by ctr and runc, not by crun",
    when: only("crun"),
  },
  {
    path: /^mount\..*\.propagation$/,
    why: "crun 1.8 drops shared from a bind that has further flags",
    when: only("crun"),
  },
];

/** Why a fact differs, or undefined where nobody knows. */
export function explanation(path: string, values: Values, config: Json): string | undefined {
  return RULES.find((rule) => rule.path.test(path) && (rule.when?.(values, config) ?? true))?.why;
}
