/** DNS for tests: `dig` in a namespace, and a server that answers as its names ask it to. */
import { parseQuery, type Query } from "../../internal/network/dns/message.ts";
import { inNamespace } from "./sandbox.ts";

/** The words of `dig`'s answer that tests look at. */
export interface Dug {
  readonly code: string;
  readonly flags: readonly string[];
  /** `web. 600 IN A 172.18.0.2`, blanks made one. */
  readonly answers: readonly string[];
  readonly overTcp: boolean;
  readonly text: string;
}

/** Asks 127.0.0.11 from a network namespace with the real dig. */
export async function dig(pid: number, ...words: readonly string[]): Promise<Dug> {
  const command = ["nsenter", "--net", "--target", String(pid), "--", "dig", "@127.0.0.11", "+time=8", "+tries=1"];
  const child = Bun.spawn([...command, ...words], { stdout: "pipe", stderr: "pipe" });
  const text = (await child.stdout.text()) + (await child.stderr.text());
  const lines = text.split("\n");
  const start = lines.findIndex((line) => line.startsWith(";; ANSWER SECTION"));
  const answers = start < 0 ? [] : lines.slice(start + 1, lines.indexOf("", start));
  return {
    code: /status: (\w+)/.exec(text)?.[1] ?? "none",
    flags: /flags: ([a-z ]*);/.exec(text)?.[1]?.split(" ") ?? [],
    answers: answers.map((line) => line.replaceAll(/\s+/g, " ")),
    overTcp: / \(TCP\)/.test(text),
    text,
  };
}

/** The last words of each answer: addresses, or names. */
export function values({ answers }: Dug): string[] {
  return answers.map((line) => line.split(" ").at(-1) ?? "");
}

export interface Received {
  /** As it was asked, with dots. */
  readonly name: string;
  readonly id: number;
  readonly port: number;
  readonly overTcp: boolean;
}

export interface FakeServer extends Disposable {
  readonly received: Received[];
}

/**
 * A server on port 53 of an address, here or in a namespace. The name's first label says what it does: `nx` (no such
 * name), `refused`, `silent`, `forged` (false answers come first), `big` (does not fit into a datagram), `huge` (nor into a
 * client's), `mute` (big, and no TCP); every other name is `answer`.
 */
export async function fakeServer(address: string, answer: string, pid?: number): Promise<FakeServer> {
  const received: Received[] = [];
  const made = () => {
    const tcp = Bun.listen({
      hostname: address,
      port: 53,
      socket: {
        data(socket, chunk) {
          const packet = chunk.subarray(2);
          const query = note(packet, 0, true);
          if (query === undefined || words(query)[0] === "mute") return void socket.end();
          const reply = respond(packet, query, words(query)[0] === "huge" ? 400 : 40);
          const frame = Buffer.alloc(2);
          frame.writeUInt16BE(reply.length);
          socket.write(Buffer.concat([frame, reply]));
        },
      },
    });
    const udp = Bun.udpSocket({
      hostname: address,
      port: 53,
      socket: {
        data(socket, packet, port, peer) {
          const query = note(packet, port, false);
          if (query === undefined) return;
          const [what = ""] = words(query);
          const send = (bytes: Buffer) => void socket.send(bytes, port, peer);
          if (what === "silent") return;
          if (what === "nx") send(respond(packet, query, 0, 3));
          else if (what === "refused") send(respond(packet, query, 0, 5));
          else if (["big", "huge", "mute"].includes(what)) send(respond(packet, query, 1, 0, 0x0200));
          else if (what === "forged") {
            const forged = respond(packet, query, 2);
            const other = Buffer.from(forged);
            other.writeUInt16BE((query.id + 1) & 0xffff, 0);
            send(other);
            const question = Buffer.from(forged);
            question[13] = 0x78;
            send(question);
            send(packet);
            send(Buffer.from([1, 2, 3]));
            send(respond(packet, query, 1));
          } else send(respond(packet, query, 1));
        },
      },
    });
    return { tcp, udp };
  };
  const { tcp, udp } = pid === undefined ? made() : inNamespace(pid, made);
  const socket = await udp;
  return {
    received,
    [Symbol.dispose]: () => {
      socket.close();
      tcp.stop(true);
    },
  };

  function note(packet: Buffer, port: number, overTcp: boolean): Query | undefined {
    const parsed = parseQuery(packet);
    if (parsed?.kind !== "query") return undefined;
    received.push({ name: words(parsed.query).join("."), id: parsed.query.id, port, overTcp });
    return parsed.query;
  }

  function respond(packet: Buffer, query: Query, count: number, code = 0, flags = 0): Buffer {
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...answer.split(".").map(Number)]);
    const records = Array.from({ length: query.type === 1 ? count : 0 }, () => record);
    const reply = Buffer.concat([packet.subarray(0, query.questionEnd), ...records]);
    reply.writeUInt16BE(0x8180 | flags | code, 2);
    reply.writeUInt16BE(records.length, 6);
    reply.fill(0, 8, 12);
    return reply;
  }
}

function words({ name }: Query): string[] {
  const labels: string[] = [];
  for (let at = 0; at < name.length; at += 1 + name.charCodeAt(at))
    labels.push(name.slice(at + 1, at + 1 + name.charCodeAt(at)));
  return labels;
}
