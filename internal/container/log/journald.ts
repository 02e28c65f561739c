/**
 * The driver `journald`: systemd's journal by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL), with the fields
 * that Docker gives. A message that is too long for a datagram goes as a sealed memory file.
 */
import { CtrError, SyscallError } from "../../errors/error.ts";
import { F_ADD_SEALS, fcntl, memfdCreate, writeAll } from "../../sys/fd.ts";
import { sendFd } from "../../sys/socket.ts";
import type { ContainerRecord } from "../record.ts";
import { extraAttributes } from "./attributes.ts";
import { DatagramSender, unixDatagrams } from "./datagram-sender.ts";
import { goTime } from "./json-file.ts";
import type { LogMessage } from "./lines.ts";
import { LOG_STDERR } from "./record.ts";
import { RemoteSink } from "./remote-sink.ts";
import { expandTag } from "./tag.ts";

const SOCKET = "/run/systemd/journal/socket";
const PRIORITY_ERROR = "3";
const PRIORITY_INFORMATIONAL = "6";
const MFD_ALLOW_SEALING = 2;
const F_SEAL_ALL = 0xf; // SEAL | SHRINK | GROW | WRITE: the journal takes no other, as it could change while it is read

/** Connects. Throws, in Docker's words, when there is no journal. */
export async function openJournald(record: ContainerRecord): Promise<RemoteSink> {
  let sender: DatagramSender;
  try {
    sender = new DatagramSender(unixDatagrams(SOCKET), sendAsFile);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    const reason = "failed to initialize logging driver: journald is not enabled on this host";
    throw new CtrError("unavailable", reason, { cause: error });
  }
  return new RemoteSink(sender, formatter(record));
}

function sendAsFile(socket: number, bytes: Uint8Array): void {
  using file = memfdCreate("ctr-log", MFD_ALLOW_SEALING);
  writeAll(file.number, bytes);
  fcntl(file.number, F_ADD_SEALS, F_SEAL_ALL);
  sendFd(socket, file.number);
}

function formatter(record: ContainerRecord): (message: LogMessage) => Uint8Array {
  const tag = expandTag(record.hostConfig.LogConfig.Config["tag"] || "{{.ID}}", record);
  const own = {
    CONTAINER_ID: record.id.slice(0, 12),
    CONTAINER_ID_FULL: record.id,
    CONTAINER_NAME: record.name,
    CONTAINER_TAG: tag,
    IMAGE_NAME: record.image,
    SYSLOG_IDENTIFIER: tag,
  };
  const extra = extraAttributes(record, fieldName);
  const fixed = Buffer.concat(Object.entries({ ...own, ...extra }).map(([name, value]) => field(name, value)));
  return ({ stream, bytes, timeNs, partial }) => {
    const parts = [
      fixed,
      field("PRIORITY", stream === LOG_STDERR ? PRIORITY_ERROR : PRIORITY_INFORMATIONAL),
      field("SYSLOG_TIMESTAMP", goTime(timeNs)),
    ];
    if (partial !== undefined) {
      parts.push(field("CONTAINER_PARTIAL_ID", partial.id));
      parts.push(field("CONTAINER_PARTIAL_ORDINAL", String(partial.ordinal)));
      parts.push(field("CONTAINER_PARTIAL_LAST", String(partial.isLast)));
      if (!partial.isLast) parts.push(field("CONTAINER_PARTIAL_MESSAGE", "true"));
    }
    return Buffer.concat([...parts, field("MESSAGE", bytes)]);
  };
}

/** A label's or variable's name as the journal allows it: capitals, digits and `_`, which is not the first. */
function fieldName(name: string): string {
  return name
    .toUpperCase()
    .replaceAll(/[^A-Z0-9]/g, "_")
    .replace(/^_+/, "");
}

const encoder = new TextEncoder();
const NEWLINE = 10;

/** `NAME=value`, or where the value has lines of its own its length and the bytes. */
function field(name: string, value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === "string" ? encoder.encode(value) : value;
  const end = Uint8Array.of(NEWLINE);
  if (!bytes.includes(NEWLINE)) return Buffer.concat([encoder.encode(`${name}=`), bytes, end]);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(bytes.length), true);
  return Buffer.concat([encoder.encode(`${name}\n`), length, bytes, end]);
}
