/**
 * Enters netd's domain, as netd does, and tells what can still be done there: `bun domain-probe.ts domain-probe.ts ROOT STATE
 * OUTSIDE`, where OUTSIDE is the pid of a process that is not in it. Run by test/kernel/own-processes.test.ts.
 */
import { enterDomain } from "../../cmd/netd/domain.ts";
import { SyscallError } from "../../internal/errors/error.ts";
import { openNamespaceFile } from "../../internal/network/opener.ts";
import { O_CREAT, O_RDONLY, O_WRONLY, open } from "../../internal/sys/fd.ts";
import { mkdirAll } from "../../internal/sys/file.ts";
import { landlockVersion } from "../../internal/sys/landlock.ts";
import { MS_BIND, mount } from "../../internal/sys/mount.ts";
import { kill, setns } from "../../internal/sys/process.ts";
import { CLONE_NEWNET } from "../../internal/sys/spawn.ts";

// The second life is executed with what followed the first one's script: the script's name again, and the rest.
const [root = "", state = "", outside = ""] = process.argv.slice(-3);
enterDomain({ ...process.env, CTR_ROOT: root, CTR_STATE: state });

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
    openedFile: attempt(() => openNamespaceFile("/etc/shadow").close()),
    openedOther: attempt(() => openNamespaceFile("/proc/self/ns/mnt").close()),
    openedNone: attempt(() => openNamespaceFile("/proc/0/ns/net").close()),
  }),
);
