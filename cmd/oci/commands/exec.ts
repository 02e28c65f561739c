/** `exec`: a further program in a container, from a file or from the command line. */
import { CtrError } from "../../../internal/errors/error.ts";
import { execInContainer, type ProcessChanges } from "../../../internal/oci/exec.ts";
import { type Call, containerId, type OciCommand, warnIn } from "../command.ts";
import type { Flags } from "../flags.ts";
import { givenDescriptors } from "../given-descriptors.ts";

export const command: OciCommand = {
  flags: {
    "console-socket": "text",
    cwd: "text",
    "env,e": "list",
    "tty,t": "switch",
    "user,u": "text",
    "additional-gids,g": "list",
    "process,p": "text",
    "detach,d": "switch",
    "pid-file": "text",
    "pidfd-socket": "text",
    "process-label": "text",
    apparmor: "text",
    "no-new-privs": "switch",
    "cap,c": "list",
    "preserve-fds": "text",
    cgroup: "list",
    "ignore-paused": "switch",
  },
  operands: [1, Number.POSITIVE_INFINITY],
  usage: "[command options] <container-id> <command> [command options]  || -p process.json <container-id>",
  summary: "execute new process inside the container",
  stopsAtOperand: true,
  failure: "exec failed",
  failureStatus: 255,
  async run(call) {
    const { flags, globals } = call;
    const isDetached = flags.isSet("detach");
    const foreground = isDetached ? undefined : await import("../foreground.ts");
    foreground?.holdForwarded();
    const pidfdSocket = flags.text("pidfd-socket") ?? "";
    const consoleSocket = flags.text("console-socket") ?? "";
    const pidFile = flags.text("pid-file") ?? "";
    const running = await execInContainer({
      root: globals.root,
      id: containerId(call),
      process: processOf(call),
      wantsTerminal: flags.isSet("tty"),
      isDetached,
      ignoresPause: flags.isSet("ignore-paused"),
      stdio: [0, 1, 2],
      cgroups: flags.list("cgroup"),
      warn: warnIn(call),
      ...givenDescriptors(flags.integer("preserve-fds") ?? 0),
      ...(consoleSocket === "" ? {} : { consoleSocket }),
      ...(pidFile === "" ? {} : { pidFile }),
    });
    if (pidfdSocket !== "") {
      const { sendPidfd } = await import("../../../internal/oci/console-socket.ts");
      sendPidfd(pidfdSocket, running.pidfd.number);
    }
    return (await foreground?.waitForeground(running)) ?? 0;
  },
};

function processOf({ flags, operands }: Call): string | ProcessChanges {
  const file = flags.text("process") ?? "";
  if (file !== "") return file;
  const cwd = flags.text("cwd") ?? "";
  const apparmorProfile = flags.text("apparmor") ?? "";
  const selinuxLabel = flags.text("process-label") ?? "";
  return {
    args: operands.slice(1),
    env: flags.list("env"),
    terminal: flags.isSet("tty"),
    additionalGids: flags.list("additional-gids").map((text) => id(text, "additional gid")),
    capabilities: flags.list("cap").map(capability),
    ...userOf(flags),
    ...(cwd === "" ? {} : { cwd }),
    ...(flags.isSet("no-new-privs") ? { noNewPrivileges: true } : {}),
    ...(apparmorProfile === "" ? {} : { apparmorProfile }),
    ...(selinuxLabel === "" ? {} : { selinuxLabel }),
  };
}

function userOf(flags: Flags): Pick<ProcessChanges, "uid" | "gid"> {
  const user = flags.text("user") ?? "";
  if (user === "") return {};
  const [uid = "", gid] = user.split(":");
  return { uid: id(uid, "uid"), ...(gid === undefined ? {} : { gid: id(gid, "gid") }) };
}

function id(text: string, what: string): number {
  if (/^\d{1,10}$/.test(text) && Number(text) < 2 ** 31) return Number(text);
  throw new CtrError("invalid", `parsing ${text} as int for ${what} failed`);
}

function capability(name: string): string {
  const upper = name.toUpperCase();
  return upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
}
