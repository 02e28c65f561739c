/** The systemd units of netd as text: systemd.unit(5), systemd.service(5), systemd.socket(5), systemd.exec(5). */
import { CtrError } from "../../../../internal/errors/error.ts";

export const SERVICE = "ctr-netd.service";
export const SOCKET = "ctr-netd.socket";
export const RESTORE = "ctr-restore.service";

export interface UnitSettings {
  /** Absolute path of this executable. */
  readonly executable: string;
  readonly root: string;
  readonly state: string;
  readonly logLevel?: string | undefined;
  /** The host's iptables is of the legacy kind: it wants modules loaded and a lock file. */
  readonly isLegacy?: boolean;
}

/** File names and contents. */
export function renderUnits(settings: UnitSettings): readonly (readonly [name: string, content: string])[] {
  return [
    [SOCKET, socketUnit(settings)],
    [SERVICE, serviceUnit(settings)],
    [RESTORE, restoreUnit(settings)],
  ];
}

function socketUnit({ state }: UnitSettings): string {
  return `[Unit]
Description=Socket of the ctr network daemon

[Socket]
ListenStream=${word(`${state}/netd.sock`)}
FileDescriptorName=${SOCKET}
SocketMode=0600
DirectoryMode=0711
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
`;
}

/**
 * What the service may do is what netd does: links and rules (NET_ADMIN, NET_RAW), ports below 1024, other processes'
 * network namespaces (SYS_PTRACE to open, SYS_ADMIN to enter), of which it makes none: unshare(2) is refused. Memory that is
 * written and executed is JavaScript's. Starting netd again is safe at any moment, so it always is; only a configuration
 * that it does not understand (78, sysexits(3)) has to be changed first.
 */
function serviceUnit({ executable, root, state, logLevel, isLegacy = false }: UnitSettings): string {
  const own = [executable, root, state];
  const isBelow = (...directories: readonly string[]) =>
    own.some((path) => directories.some((directory) => path.startsWith(`${directory}/`)));
  const modules = isLegacy ? "modprobe@ip_tables.service modprobe@ip6_tables.service" : "";
  return `[Unit]
Description=ctr network daemon
Requires=${SOCKET}
After=${SOCKET} network-pre.target firewalld.service nftables.service iptables.service
${modules === "" ? "" : `Wants=${modules}\nAfter=${modules}\n`}StartLimitIntervalSec=30
StartLimitBurst=100

[Service]
Type=notify
NotifyAccess=main
${isLegacy ? `ExecStartPre=+/bin/sh -c ": >> /run/xtables.lock"\n` : ""}ExecStart=${word(executable)} netd${logLevel === undefined ? "" : ` --log-level ${logLevel}`}
ExecReload=${word(executable)} netd reload
Environment=${quote(`CTR_ROOT=${root}`)} ${quote(`CTR_STATE=${state}`)}
Restart=always
RestartSec=100ms
RestartPreventExitStatus=78
WatchdogSec=60
WatchdogSignal=SIGKILL
TimeoutStopSec=15
KillMode=mixed
FileDescriptorStoreMax=8192
OOMScoreAdjust=-500
LimitNOFILE=524288
TasksMax=256
UMask=0077
SyslogIdentifier=ctr-netd

CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_SYS_PTRACE CAP_SYS_ADMIN
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=${quote(root)} ${quote(state)} /proc/sys/net${isLegacy ? " -/run/xtables.lock" : ""}
ProtectHome=${isBelow("/home", "/root", "/run/user") ? "read-only" : "yes"}
PrivateTmp=${isBelow("/tmp", "/var/tmp") ? "no" : "yes"}
PrivateDevices=yes
PrivateMounts=yes
DevicePolicy=closed
ProtectProc=invisible
ProtectControlGroups=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
LockPersonality=yes
KeyringMode=private
RestrictNamespaces=net
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
SystemCallArchitectures=native
SystemCallFilter=@system-service seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallFilter=~@privileged @resources @keyring @memlock @aio unshare
SystemCallErrorNumber=EPERM

[Install]
Also=${SOCKET}
`;
}

/**
 * Containers with a restart policy come back after a boot, and all end in good order before one. Only the commands are
 * this unit's: the supervisors they start live on in its cgroup, and go when their containers do.
 */
function restoreUnit({ executable, root, state }: UnitSettings): string {
  return `[Unit]
Description=Containers of ctr that their restart policy wants started
Wants=network-online.target ${SOCKET}
After=network-online.target ${SOCKET} ${SERVICE}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-${word(executable)} system restore
ExecStop=-${word(executable)} system shutdown
Environment=${quote(`CTR_ROOT=${root}`)} ${quote(`CTR_STATE=${state}`)}
KillMode=process
TimeoutStartSec=infinity
TimeoutStopSec=120

[Install]
WantedBy=multi-user.target
`;
}

/** A path as one word: blanks and specifiers written as systemd.syntax(7) and systemd.unit(5) want them. */
function word(path: string): string {
  return checked(path).replaceAll("%", "%%").replaceAll("\\", "\\\\").replaceAll(" ", "\\x20");
}

function quote(text: string): string {
  return `"${checked(text).replaceAll("%", "%%").replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

function checked(text: string): string {
  if (/[\n\r]/.test(text)) throw new CtrError("invalid", `a unit cannot name ${JSON.stringify(text)}`);
  return text;
}
