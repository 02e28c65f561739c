/**
 * Who has changed the rules of nf_tables: the kernel tells of each batch that was done, with the port id of the socket it
 * came from. A program that took rules away lives on for 4 to 15 ms after that, because its socket is not closed before
 * all readers are done with them (nf_tables_api.c, nft_rcv_nl_event): whoever waits for its end waits for nothing.
 */
import { SyscallError } from "../errors/error.ts";
import { setsockoptInt } from "../sys/socket.ts";
import { decodeMessages } from "./message.ts";
import { NETLINK_NETFILTER, openNetlinkGroups } from "./socket.ts";

// linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_DROP_MEMBERSHIP = 2;
const NFNLGRP_NFTABLES = 7;
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWGEN = 15;

export interface Commits {
  /** Begins to listen, in between nothing is heard, and nobody woken; undefined on a kernel that cannot tell. */
  listen(): Promise<CommitListener | undefined>;
}

export interface CommitListener extends Disposable {
  /** Resolves when a process has done a batch; never, if it does not or the kernel has dropped the news. */
  done(pid: number): Promise<void>;
}

interface Waiting {
  readonly pid: number;
  readonly resolve: () => void;
}

/** Nothing is opened before somebody listens. */
export function createCommits(): Commits {
  let socket: Promise<number> | undefined;
  let listeners = 0;
  const waiting = new Set<Waiting>();

  const hear = (chunk: Uint8Array): void => {
    for (const { type, sender } of decodeMessages(chunk)) {
      if (type !== ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWGEN)) continue;
      for (const one of [...waiting]) {
        if (one.pid !== sender) continue;
        waiting.delete(one);
        one.resolve();
      }
    }
  };
  /** Stays open: closing it would wait for the same. */
  const open = async (): Promise<number> => {
    const fd = openNetlinkGroups(NETLINK_NETFILTER, 0);
    const { number } = fd;
    const options = {
      fd: fd.take(),
      socket: {
        binaryType: "uint8array" as const,
        data: (_socket: unknown, chunk: Uint8Array) => hear(chunk),
        // The kernel had too much to tell: those who wait hear of it in other ways, the next one opens another.
        close: () => {
          socket = undefined;
        },
        error: () => {}, // close follows
      },
    };
    // Bun takes a descriptor here; its types (1.4.5) do not say so.
    await Bun.connect(options as never);
    return number;
  };
  return {
    listen: async () => {
      socket ??= open();
      const opened = socket;
      let number: number;
      try {
        number = await opened;
        if (listeners === 0) setsockoptInt(number, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES);
      } catch (error) {
        if (socket === opened) socket = undefined;
        if (!(error instanceof SyscallError)) throw error;
        return undefined;
      }
      listeners++;
      return {
        done: (pid) => new Promise((resolve) => waiting.add({ pid, resolve })),
        [Symbol.dispose]: () => {
          if (--listeners > 0) return;
          waiting.clear();
          if (socket === opened) setsockoptInt(number, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, NFNLGRP_NFTABLES);
        },
      };
    },
  };
}
