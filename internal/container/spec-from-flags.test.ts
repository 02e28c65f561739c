import { expect, test } from "bun:test";
import { CONTAINER_FLAGS } from "../../cmd/ctr/container-flags.ts";
import { parseFlags } from "../../cmd/ctr/flags.ts";
import { OptionError } from "./option-error.ts";
import { checkResources } from "./resource-limits.ts";
import { type ContainerFlags, specFromFlags } from "./spec-from-flags.ts";

const NONE: ContainerFlags = parseFlags(CONTAINER_FLAGS, [], true).values;
const caller = { variables: { HOME: "/root" }, directory: "/home/me", isDetached: false };
const read = (flags: Partial<ContainerFlags>, isDetached = false) =>
  specFromFlags({ ...NONE, ...flags }, { ...caller, isDetached });

test("spec-from-flags: without flags, Docker's defaults", () => {
  const { config, hostConfig, mounts, name } = read({});
  expect(name).toBeUndefined();
  expect(mounts).toEqual([]);
  expect(config).toMatchObject({
    hostname: undefined,
    streams: { stdin: false, stdout: true, stderr: true },
    entrypoint: undefined,
    exposedPorts: [],
  });
  expect(hostConfig).toMatchObject({
    Binds: null,
    NetworkMode: "bridge",
    CapAdd: null,
    CapDrop: null,
    GroupAdd: null,
    SecurityOpt: null,
    ExtraHosts: null,
    Dns: [],
    PidsLimit: null,
    ShmSize: 67108864,
    Memory: 0,
    MemorySwap: 0,
    AutoRemove: false,
    AreSystemPathsHidden: true,
  });
  expect("Tmpfs" in hostConfig).toBe(false);
  expect("Init" in hostConfig).toBe(false);
});

test.each<[Partial<ContainerFlags>, object]>([
  [{ memory: "64m" }, { Memory: 64 << 20, MemorySwap: 128 << 20 }],
  [{ memory: "64m", "memory-swap": "-1" }, { MemorySwap: -1 }],
  [{ memory: "64m", "memory-swap": "64m" }, { MemorySwap: 64 << 20 }],
  [{ "memory-reservation": "32m" }, { MemoryReservation: 32 << 20 }],
  [{ cpus: "0.5" }, { NanoCpus: 500_000_000 }],
  [{ "cpu-shares": "512" }, { CpuShares: 512 }],
  [{ "pids-limit": "20" }, { PidsLimit: 20 }],
  [{ "shm-size": "1g" }, { ShmSize: 2 ** 30 }],
  [{ network: ["none"] }, { NetworkMode: "none" }],
  [{ network: ["default"] }, { NetworkMode: "bridge" }],
  [{ network: ["container:web"] }, { NetworkMode: "container:web" }],
  [{ "cap-add": ["net_admin"] }, { CapAdd: ["CAP_NET_ADMIN"] }],
  [
    { "cap-add": ["kill", "CAP_CHOWN", "chown"], "cap-drop": ["Kill", "fowner"] },
    { CapAdd: ["CAP_CHOWN", "CAP_KILL"], CapDrop: ["CAP_FOWNER", "CAP_KILL"] },
  ],
  [
    { "cap-add": ["all", "kill"], "cap-drop": ["kill"] },
    { CapAdd: ["ALL", "CAP_KILL"], CapDrop: ["CAP_KILL"] },
  ],
  [{ "shm-size": "0" }, { ShmSize: 64 << 20 }],
  [{ "pids-limit": "-1" }, { PidsLimit: null }],
  [{ volume: ["./x:/data:ro", "/anon"] }, { Binds: ["/home/me/x:/data:ro"] }],
  [{ volume: ["/anon"] }, { Binds: null }],
  [{ tmpfs: ["/run:size=1m"] }, { Tmpfs: { "/run": "size=1m" } }],
  [{ "add-host": ["db=10.0.0.1", "six:[::1]"] }, { ExtraHosts: ["db:10.0.0.1", "six:::1"] }],
  [{ "security-opt": ["no-new-privileges:true"] }, { SecurityOpt: ["no-new-privileges=true"] }],
  [{ "security-opt": ["no-new-privileges=1"] }, { SecurityOpt: ["no-new-privileges=true"] }],
  [{ "security-opt": ["no-new-privileges=F"] }, { SecurityOpt: ["no-new-privileges=F"] }],
  [{ "security-opt": ["systempaths=unconfined"] }, { SecurityOpt: null, AreSystemPathsHidden: false }],
  [{ privileged: true }, { Privileged: true, AreSystemPathsHidden: false }],
  [
    { ulimit: ["nofile=1", "nofile=1024:2048", "core=-1"] },
    {
      Ulimits: [
        { Name: "core", Soft: -1, Hard: -1 },
        { Name: "nofile", Soft: 1024, Hard: 2048 },
      ],
    },
  ],
])("spec-from-flags: %j in HostConfig", (flags, expected) => {
  expect(read(flags).hostConfig).toMatchObject(expected);
});

test.each<[Partial<ContainerFlags>, object]>([
  [{ interactive: true }, { isStdinOpen: true, streams: { stdin: true, stdout: true, stderr: true } }],
  [{ attach: ["STDOUT"] }, { streams: { stdin: false, stdout: true, stderr: false } }],
  [{ entrypoint: "" }, { entrypoint: [""] }],
  [{ env: ["A=1", "HOME", "B"] }, { env: ["A=1", "HOME=/root", "B"] }],
  [{ label: ["a=1", "b"] }, { labels: { a: "1", b: "" } }],
  [{ publish: ["8080:80"], expose: ["53/udp", "80"] }, { exposedPorts: ["80/tcp", "53/udp"] }],
  [{ "mac-address": "92-D0-C6-0A-29-33" }, { macAddress: "92:d0:c6:0a:29:33" }],
  [
    { "stop-signal": "SIGUSR1", "stop-timeout": "-1" },
    { stopSignal: "SIGUSR1", stopTimeout: -1 },
  ],
])("spec-from-flags: %j in Config", (flags, expected) => {
  expect(read(flags).config).toMatchObject(expected);
});

test("spec-from-flags: detached, nothing is attached", () => {
  expect(read({ interactive: true }, true).config).toMatchObject({
    isStdinOpen: true,
    streams: { stdin: false, stdout: false, stderr: false },
  });
});

test.each<[Partial<ContainerFlags>, string, string | undefined]>([
  [{ memory: "x" }, "invalid size: 'x'", "memory"],
  [{ env: ["=x"] }, "invalid environment variable: =x", "env"],
  [{ "env-file": ["/no/such"] }, "open /no/such: no such file or directory", undefined],
  [{ label: ["=x"] }, "invalid label '=x': empty name", "label"],
  [{ attach: ["bogus"] }, "valid streams are STDIN, STDOUT and STDERR", "attach"],
  [{ publish: ["99999:80"] }, "invalid hostPort: 99999", undefined],
  [{ dns: ["x"] }, "IP address is not correctly formatted: x", "dns"],
  [{ "dns-search": ["a b"] }, "a b is not a valid domain", "dns-search"],
  [{ "add-host": ["x"] }, 'bad format for add-host: "x"', "add-host"],
  [{ "add-host": ["x:y"] }, 'invalid IP address in add-host: "y"', "add-host"],
  [{ "mac-address": "xyz" }, "xyz is not a valid mac address", undefined],
  [{ "mac-address": "01:00:00:00:00:01" }, "is not a mac address that a link can have", undefined],
  [{ ulimit: ["nofile"] }, "invalid ulimit argument: nofile", "ulimit"],
  [{ ulimit: ["bogus=1"] }, "invalid ulimit type: bogus", "ulimit"],
  [{ ulimit: ["nofile=2:1"] }, "soft limit must be less than or equal to hard limit: 2 > 1", "ulimit"],
  [{ hostname: "a b" }, "invalid hostname: a b", undefined],
  [{ "security-opt": ["bogus"] }, 'Invalid --security-opt: "bogus"', undefined],
  [{ "security-opt": ["seccomp=/no/file"] }, "opening seccomp profile (/no/file) failed: ", undefined],
])("spec-from-flags: %j is an unusable flag", (flags, why, flag) => {
  let thrown: unknown;
  try {
    read(flags);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(OptionError);
  if (!(thrown instanceof OptionError)) return;
  expect(thrown.message).toContain(why);
  expect(thrown.flag).toBe(flag);
  expect(thrown.exitStatus).toBe(125);
});

test.each<[Partial<ContainerFlags>, string]>([
  [{ workdir: "rel" }, "the working directory 'rel' is invalid, it needs to be an absolute path"],
  [{ "stop-signal": "FOO" }, "invalid signal: FOO"],
  [{ volume: ["/a:/x"], tmpfs: ["/x"] }, "Duplicate mount point: /x"],
  [{ "security-opt": ["bogus=1"] }, 'invalid --security-opt 2: "bogus=1"'],
  [{ network: ["container:x"], hostname: "h" }, "conflicting options: hostname and the network mode"],
  [{ network: ["container:x"], dns: ["1.1.1.1"] }, "conflicting options: dns and the network mode"],
  [
    { network: ["container:x"], publish: ["80"] },
    "conflicting options: port publishing and the container type network mode",
  ],
  [
    { network: ["container:x"], expose: ["80"] },
    "conflicting options: port exposing and the container type network mode",
  ],
  [
    { network: ["container:x"], "add-host": ["a:1.1.1.1"] },
    "conflicting options: custom host-to-IP mapping and the network mode",
  ],
  [{ network: ["host"], "mac-address": "92:d0:c6:0a:29:33" }, "conflicting options: mac-address and the network mode"],
])("spec-from-flags: %j is refused by the engine", (flags, why) => {
  expect(() => read(flags)).toThrow(why);
});

test.each<[Partial<ContainerFlags>, string]>([
  [{ memory: "5m" }, "Minimum memory limit allowed is 6MB"],
  [{ memory: "64m", "memory-swap": "32m" }, "Minimum memoryswap limit should be larger than memory limit, see usage"],
  [{ "memory-swap": "64m" }, "You should always set the Memory limit when using Memoryswap limit, see usage"],
  [{ "memory-reservation": "1m" }, "Minimum memory reservation allowed is 6MB"],
  [
    { memory: "64m", "memory-reservation": "65m" },
    "Minimum memory limit can not be less than memory reservation limit, see usage",
  ],
  [{ "cpu-shares": "-1" }, "invalid CPU shares (-1)"],
  [{ cpus: "9999" }, "range of CPUs is from 0.01 to"],
  [{ cpus: "0.001" }, "range of CPUs is from 0.01 to"],
  [{ "cpuset-cpus": "8000" }, "Requested CPUs are not available - requested 8000"],
  [{ "cpuset-cpus": "x" }, "value x for cpuset"],
  [{ "cpuset-mems": "900" }, "Requested memory nodes are not available - requested 900"],
])("spec-from-flags: the limits %j are refused", (flags, why) => {
  expect(() => checkResources(read(flags).hostConfig)).toThrow(why);
});
