/**
 * The checked parser of a runtime-spec configuration: for one read from a bundle or handed over by another process.
 * It runs in every container start, so it is a table of small checkers that copy what they know and nothing else.
 */
import { CtrError } from "../errors/error.ts";
import {
  absolutePath,
  bits64,
  type Check,
  flag,
  int32,
  int64,
  integer,
  list,
  map,
  object,
  oneOf,
  optional,
  parse,
  refuse,
  text,
  uint16,
  uint32,
  uint64,
} from "./check.ts";
import type * as runtime from "./runtime.ts";

/**
 * A runtime-spec configuration, copied: unknown fields are dropped and null counts as absent, as the spec says
 * (config.md#extensibility). Throws `invalid` naming the field: `process.args[1]: must be a string`.
 */
export function parseSpec(value: unknown): runtime.Spec {
  const result = parse(spec, value, "");
  if (result.linux?.namespaces !== undefined) noneTwice(result.linux.namespaces);
  return result;
}

/** A `linux.seccomp` object alone: a profile read from a file. Throws `invalid` naming the field. */
export function parseSeccomp(value: unknown): runtime.Seccomp {
  return parse(seccomp, value, "");
}

/** A `process` object alone: a further program for a container. */
export function parseProcess(value: unknown): runtime.Process {
  return parse(process, value, "process");
}

/** A `linux.resources` object alone: limits that are to change. */
export function parseResources(value: unknown): runtime.Resources {
  return parse(resources, value, "resources");
}

function noneTwice(namespaces: readonly runtime.Namespace[]): void {
  const seen = new Set<string>();
  for (const { type } of namespaces) {
    if (seen.has(type)) throw new CtrError("invalid", `linux.namespaces: ${type} is listed twice`);
    seen.add(type);
  }
}

/** config.md#mounts: a relative destination, which is deprecated, is relative to the root. */
const destination: Check<string> = (value) => {
  const path = text(value);
  if (path === "") refuse("must not be empty");
  return path[0] === "/" ? path : `/${path}`;
};

// -1 as an id means "leave as it is" to setuid(2), so it names nobody.
const id = integer(0, 0xfffffffe);
const texts = list(text);
const textMap = map(text);

const capability: Check<string> = (value) => {
  const name = text(value);
  return name.startsWith("CAP_") ? name : refuse("must be a capability's name, such as CAP_KILL");
};

const idMappings = list(
  object<runtime.IdMapping>({ containerID: uint32, hostID: uint32, size: uint32 }),
  340, // user_namespaces(7): the kernel takes no more lines
);

const process = object<runtime.Process>({
  terminal: optional(flag),
  consoleSize: optional(object<{ readonly height: number; readonly width: number }>({ height: uint16, width: uint16 })),
  user: object<runtime.User>({
    uid: id,
    gid: id,
    umask: optional(integer(0, 0o777)),
    additionalGids: optional(list(id)),
    username: optional(text),
  }),
  args: texts,
  env: optional(texts),
  cwd: absolutePath,
  capabilities: optional(
    object<runtime.Capabilities>({
      bounding: optional(list(capability)),
      effective: optional(list(capability)),
      inheritable: optional(list(capability)),
      permitted: optional(list(capability)),
      ambient: optional(list(capability)),
    }),
  ),
  rlimits: optional(list(object<runtime.Rlimit>({ type: text, soft: uint64, hard: uint64 }))),
  noNewPrivileges: optional(flag),
  apparmorProfile: optional(text),
  oomScoreAdj: optional(integer(-1000, 1000)),
  selinuxLabel: optional(text),
  ioPriority: optional(
    object<{ readonly class: string; readonly priority: number }>({ class: text, priority: integer(0, 7) }),
  ),
  scheduler: optional(
    object<runtime.Scheduler>({
      policy: text,
      nice: optional(int32),
      priority: optional(int32),
      flags: optional(texts),
      runtime: optional(uint64),
      deadline: optional(uint64),
      period: optional(uint64),
    }),
  ),
  execCPUAffinity: optional(
    object<{ readonly initial?: string; readonly final?: string }>({ initial: optional(text), final: optional(text) }),
  ),
});

const hooks = optional(
  list(
    object<runtime.Hook>({
      path: absolutePath,
      args: optional(texts),
      env: optional(texts),
      timeout: optional(integer(1, 2 ** 31 - 1)),
    }),
  ),
);

const throttle = optional(list(object<runtime.ThrottleDevice>({ major: int64, minor: int64, rate: uint64 })));

const resources = object<runtime.Resources>({
  devices: optional(
    list(
      object<runtime.DeviceRule>({
        allow: flag,
        type: optional(oneOf("a", "c", "b")),
        major: optional(int64),
        minor: optional(int64),
        access: optional((value) => {
          const access = text(value);
          for (const letter of access) if (!"rwm".includes(letter)) refuse("must be made of r, w and m");
          return access;
        }),
      }),
    ),
  ),
  memory: optional(
    object<runtime.MemoryResources>({
      limit: optional(int64),
      reservation: optional(int64),
      swap: optional(int64),
      kernel: optional(int64),
      kernelTCP: optional(int64),
      swappiness: optional(integer(0, 200)),
      disableOOMKiller: optional(flag),
      useHierarchy: optional(flag),
      checkBeforeUpdate: optional(flag),
    }),
  ),
  cpu: optional(
    object<runtime.CpuResources>({
      shares: optional(uint64),
      quota: optional(int64),
      burst: optional(uint64),
      period: optional(uint64),
      realtimeRuntime: optional(int64),
      realtimePeriod: optional(uint64),
      cpus: optional(text),
      mems: optional(text),
      idle: optional(integer(0, 1)),
    }),
  ),
  pids: optional(object<{ readonly limit?: number }>({ limit: optional(int64) })),
  blockIO: optional(
    object<runtime.BlockIoResources>({
      weight: optional(uint16),
      leafWeight: optional(uint16),
      weightDevice: optional(
        list(
          object<runtime.WeightDevice>({
            major: int64,
            minor: int64,
            weight: optional(uint16),
            leafWeight: optional(uint16),
          }),
        ),
      ),
      throttleReadBpsDevice: throttle,
      throttleWriteBpsDevice: throttle,
      throttleReadIOPSDevice: throttle,
      throttleWriteIOPSDevice: throttle,
    }),
  ),
  hugepageLimits: optional(list(object<runtime.HugepageLimit>({ pageSize: text, limit: uint64 }))),
  network: optional(
    object<runtime.NetworkResources>({
      classID: optional(uint32),
      priorities: optional(
        list(object<{ readonly name: string; readonly priority: number }>({ name: text, priority: uint32 })),
      ),
    }),
  ),
  rdma: optional(
    map(
      object<{ readonly hcaHandles?: number; readonly hcaObjects?: number }>({
        hcaHandles: optional(uint32),
        hcaObjects: optional(uint32),
      }),
    ),
  ),
  unified: optional(textMap),
});

const seccompAction = oneOf<runtime.SeccompAction>(
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_LOG",
  "SCMP_ACT_NOTIFY",
);

const seccomp = object<runtime.Seccomp>({
  defaultAction: seccompAction,
  defaultErrnoRet: optional(uint16),
  architectures: optional(texts),
  flags: optional(texts),
  listenerPath: optional(text),
  listenerMetadata: optional(text),
  syscalls: optional(
    list(
      object<runtime.SeccompSyscall>({
        names: texts,
        action: seccompAction,
        errnoRet: optional(uint16),
        args: optional(
          list(
            object<runtime.SeccompArg>({
              index: integer(0, 5),
              value: bits64,
              valueTwo: optional(bits64),
              op: oneOf(
                "SCMP_CMP_NE",
                "SCMP_CMP_LT",
                "SCMP_CMP_LE",
                "SCMP_CMP_EQ",
                "SCMP_CMP_GE",
                "SCMP_CMP_GT",
                "SCMP_CMP_MASKED_EQ",
              ),
            }),
            64,
          ),
        ),
      }),
    ),
  ),
});

const linux = object<runtime.Linux>({
  namespaces: optional(
    list(
      object<runtime.Namespace>({
        type: oneOf("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"),
        path: optional(absolutePath),
      }),
    ),
  ),
  uidMappings: optional(idMappings),
  gidMappings: optional(idMappings),
  timeOffsets: optional(
    map(
      object<{ readonly secs?: number; readonly nanosecs?: number }>({
        secs: optional(int64),
        nanosecs: optional(uint32),
      }),
    ),
  ),
  devices: optional(
    list(
      object<runtime.Device>({
        path: absolutePath,
        type: oneOf("c", "u", "b", "p"),
        major: optional(uint32),
        minor: optional(uint32),
        fileMode: optional(integer(0, 0o177777)), // Go writes the kind's bits too
        uid: optional(id),
        gid: optional(id),
      }),
    ),
  ),
  netDevices: optional(map(object<{ readonly name?: string }>({ name: optional(text) }))),
  cgroupsPath: optional(text),
  resources: optional(resources),
  intelRdt: optional(
    object<runtime.IntelRdt>({
      closID: optional(text),
      l3CacheSchema: optional(text),
      memBwSchema: optional(text),
      schemata: optional(texts),
      enableMonitoring: optional(flag),
      enableCMT: optional(flag),
      enableMBM: optional(flag),
    }),
  ),
  memoryPolicy: optional(object<runtime.MemoryPolicy>({ mode: text, nodes: optional(text), flags: optional(texts) })),
  sysctl: optional(textMap),
  seccomp: optional(seccomp),
  rootfsPropagation: optional(oneOf("shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate")),
  maskedPaths: optional(list(absolutePath)),
  readonlyPaths: optional(list(absolutePath)),
  mountLabel: optional(text),
  personality: optional(
    object<{ readonly domain: "LINUX" | "LINUX32"; readonly flags?: readonly string[] }>({
      domain: oneOf("LINUX", "LINUX32"),
      flags: optional(texts),
    }),
  ),
});

const spec = object<Omit<runtime.Spec, "secrets">>({
  ociVersion: text,
  process,
  root: object<runtime.Root>({ path: text, readonly: optional(flag) }),
  hostname: optional(text),
  domainname: optional(text),
  mounts: optional(
    list(
      object<runtime.Mount>({
        destination,
        type: optional(text),
        source: optional(text),
        options: optional(texts),
        uidMappings: optional(idMappings),
        gidMappings: optional(idMappings),
      }),
    ),
  ),
  hooks: optional(
    object<runtime.Hooks>({
      prestart: hooks,
      createRuntime: hooks,
      createContainer: hooks,
      startContainer: hooks,
      poststart: hooks,
      poststop: hooks,
    }),
  ),
  annotations: optional(textMap),
  linux: optional(linux),
});
