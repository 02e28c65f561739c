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
SocketMode=0600
DirectoryMode=0711
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
`;
}

/**
 * What the service may do is what netd does: links and rules, ports below 1024, other processes' namespaces. Restarting
 * is safe at any moment, so it always is.
 */
function serviceUnit({ executable, root, state }: UnitSettings): string {
  return `[Unit]
Description=ctr network daemon
Requires=${SOCKET}
After=${SOCKET}

[Service]
Type=exec
ExecStart=${word(executable)} netd
Environment=${quote(`CTR_ROOT=${root}`)} ${quote(`CTR_STATE=${state}`)}
Restart=on-failure
KillMode=process
UMask=0077
LimitNOFILE=524288
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_SYS_PTRACE CAP_SYS_MODULE CAP_DAC_OVERRIDE
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=${quote(root)} ${quote(state)} -/run/xtables.lock
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
SystemCallArchitectures=native

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
