/** Hearing of links that go. */
import { decodeLink, RTM_DELLINK, RTMGRP_LINK } from "../netlink/link.ts";
import { decodeMessages } from "../netlink/message.ts";
import { NETLINK_ROUTE, openNetlinkGroups } from "../netlink/socket.ts";

const AF_UNSPEC = 0;

/**
 * Hears of every link that goes, without asking again and again: netlink(7) multicast through Bun's event loop. When the
 * kernel had to drop news (ENOBUFS), listening starts anew and `onLost` is told.
 */
export async function watchLinks(
  onGone: (name: string) => void,
  trouble: { readonly onLost: () => void; readonly onFailed: (error: unknown) => void },
): Promise<Disposable> {
  let isOpen = true;
  let end = (): void => {};
  const listenAnew = async (): Promise<void> => {
    // A bridge's port that leaves it is told in the same words, for AF_BRIDGE.
    const fd = openNetlinkGroups(NETLINK_ROUTE, RTMGRP_LINK, { type: RTM_DELLINK, addressFamily: AF_UNSPEC });
    const options = {
      fd: fd.take(),
      socket: {
        binaryType: "uint8array" as const,
        data: (_socket: unknown, chunk: Uint8Array) => {
          for (const message of decodeMessages(chunk)) {
            const link = decodeLink(message);
            if (link !== undefined) onGone(link.name);
          }
        },
        close: () => {
          if (!isOpen) return;
          listenAnew().then(trouble.onLost, trouble.onFailed);
        },
        error: () => {}, // close follows
      },
    };
    // Bun takes a descriptor here; its types (1.4.5) do not say so.
    const socket = await Bun.connect(options as never);
    end = () => socket.end();
  };
  await listenAnew();
  return {
    [Symbol.dispose]: () => {
      isOpen = false;
      end();
    },
  };
}
