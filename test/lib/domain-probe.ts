/**
 * Enters netd's domain and its filter, as netd does, and tells what can still be done there: `bun domain-probe.ts domain-probe.ts ROOT STATE
 * OUTSIDE`, where OUTSIDE is the pid of a process that is not in it. Run by test/kernel/own-processes.test.ts.
 */
import { enterDomain } from "../../cmd/netd/domain.ts";
import { SyscallError } from "../../internal/errors/error.ts";
import { openNamespaceFile } from "../../internal/network/opener.ts";
import { filterOwnCalls } from "../../internal/security/own-filter.ts";
import { O_CREAT, O_RDONLY, O_WRONLY, open } from "../../internal/sys/fd.ts";
import { mkdirAll } from "../../internal/sys/file.ts";
import { landlockVersion } from "../../internal/sys/landlock.ts";
import { MS_BIND, mount } from "../../internal/sys/mount.ts";
import { kill, setns } from "../../internal/sys/process.ts";
import { SOCK_SEQPACKET } from "../../internal/sys/socket.ts";
import { CLONE_NEWNET } from "../../internal/sys/spawn.ts";

// The second life is executed with what followed the first one's script: the script's name again, and the rest.
const [root = "", state = "", outside = ""] = process.argv.slice(-3);
enterDomain({ ...process.env, CTR_ROOT: root, CTR_STATE: state });
filterOwnCalls("netd");

/** `ok`, or the errno. */
function attempt(action: () => unknown): string {
  try {
    action();
    return "ok";
  } catch (error) {
    return error instanceof SyscallError ? `errno ${error.errno}` : String(error);
  }
}

const writes = (path: string) => attempt(() => open(path, O_WRONLY).close());
const makes = (path: string) => attempt(() => open(path, O_WRONLY | O_CREAT, 0o600).close());
/** The errno of a call by number, 0 for one that is let through; one that makes a process ends it at once. */
const calls = (...words: readonly (string | number)[]) =>
  Bun.spawnSync([
    "perl",
    "-e",
    "$! = 0; my $r = syscall($ARGV[0], map { $_ + 0 } @ARGV[1..$#ARGV]); exit 0 if $r == 0; print $! + 0",
    ...words.map(String),
  ]).stdout.toString();
const SIGCHLD = 17;
const CLONE_NEWUSER = 0x10000000;
const [AF_PACKET, AF_ALG] = [17, 38];
/** syscall(2) on x86-64 and on arm64. */
const [CLONE, CLONE3, SOCKET] = process.arch === "x64" ? [56, 435, 41] : [220, 435, 198];
const there = `/proc/${outside}/ns/net`;

console.log(
  JSON.stringify({
    version: landlockVersion(),
    root: makes(`${root}/made`),
    state: attempt(() => mkdirAll(`${state}/made/below`)),
    sysctl: writes("/proc/sys/net/ipv4/ip_forward"),
    null: writes("/dev/null"),
    etc: makes("/etc/made-in-the-domain"),
    tmp: makes("/tmp/made-in-the-domain"),
    corePattern: writes("/proc/sys/kernel/core_pattern"),
    sysrq: writes("/proc/sysrq-trigger"),
    memory: writes(`/proc/${outside}/mem`),
    mount: attempt(() => mount("/tmp", "/mnt", "", MS_BIND)),
    child:
      Bun.spawnSync(["sh", "-c", "echo x > /tmp/made-in-the-domain"], { stderr: "ignore" }).exitCode === 0
        ? "ok"
        : "refused",
    signal: attempt(() => kill(Number(outside), 0)),
    namespace: attempt(() => open(there, O_RDONLY).close()),
    opened: attempt(() => {
      using namespace = openNamespaceFile(there);
      setns(namespace.number, CLONE_NEWNET);
    }),
    clone: calls(CLONE, SIGCHLD, 0, 0, 0, 0),
    cloneUser: calls(CLONE, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0),
    cloneNetwork: calls(CLONE, CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0),
    clone3: calls(CLONE3, 0, 0),
    algorithms: calls(SOCKET, AF_ALG, SOCK_SEQPACKET, 0),
    packets: calls(SOCKET, AF_PACKET, SOCK_SEQPACKET, 0),
    openedFile: attempt(() => openNamespaceFile("/etc/shadow").close()),
    openedOther: attempt(() => openNamespaceFile("/proc/self/ns/mnt").close()),
    openedNone: attempt(() => openNamespaceFile("/proc/0/ns/net").close()),
  }),
);
