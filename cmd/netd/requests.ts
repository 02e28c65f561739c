/** netd's end of its conversation: each request is answered before the next of its client is read. */
import { CtrError } from "../../internal/errors/error.ts";
import type { Connection } from "../../internal/ipc/connection.ts";
import type { FromNetd, NetdStatus, ToNetd } from "../../internal/ipc/netd.ts";
import type { Controller } from "../../internal/network/controller.ts";
import type { Log } from "../../internal/network/log.ts";

export interface Service {
  readonly controller: Controller;
  readonly status: () => Promise<NetdStatus>;
  readonly reload: () => Promise<readonly string[]>;
  readonly log: Log;
}

/** Those that are being answered. */
export interface Requests {
  serve(connection: Connection<ToNetd, FromNetd>): Promise<void>;
  /** From now on no request is taken; resolves when those that were have their answers. */
  finish(): Promise<void>;
}

export function createRequests(service: Service): Requests {
  const underWay = new Set<Promise<void>>();
  let isEnding = false;
  const respond = async (connection: Connection<ToNetd, FromNetd>, message: ToNetd): Promise<void> => {
    const began = performance.now();
    const reply = await answer(message, service);
    connection.send(reply);
    const failure = reply.type === "failed" ? `: ${reply.message}` : "";
    service.log(`${subjectOf(message)} ${(performance.now() - began).toFixed(1)} ms${failure}`, "debug");
    // Who does not read its answers is not read either.
    await connection.drained();
  };
  return {
    async serve(connection) {
      for (let message = await connection.receive(); message !== undefined; message = await connection.receive()) {
        // It is sent again to the next netd.
        if (isEnding) break;
        const responding = respond(connection, message);
        underWay.add(responding);
        await responding.finally(() => underWay.delete(responding));
      }
      connection.end();
    },
    async finish() {
      isEnding = true;
      await Promise.all(underWay);
    },
  };
}

function subjectOf(message: ToNetd): string {
  if ("containerId" in message && message.containerId !== undefined)
    return `${message.type} ${message.containerId.slice(0, 12)}`;
  if ("name" in message) return `${message.type} ${message.name}`;
  return "network" in message ? `${message.type} ${message.network}` : message.type;
}

async function answer(message: ToNetd, { controller, status, reload }: Service): Promise<FromNetd> {
  try {
    switch (message.type) {
      case "attach":
        return { type: "attached", endpoint: await controller.attach(message) };
      case "detach":
        await controller.detach(message.containerId, message);
        return { type: "detached" };
      case "rename":
        controller.rename(message.containerId, message.name);
        return { type: "renamed" };
      case "endpoints":
        if (message.isServed === true && message.containerId !== undefined)
          await controller.served(message.containerId);
        return { type: "endpoints", endpoints: controller.endpoints(message.containerId) };
      case "networks":
        return { type: "networks", networks: controller.networks() };
      case "createNetwork":
        return { type: "networkCreated", network: await controller.createNetwork(message) };
      case "removeNetwork":
        return { type: "networkRemoved", network: await controller.removeNetwork(message.network) };
      case "check":
        return { type: "checked", differences: await controller.check(message.fix) };
      case "reload":
        return { type: "checked", differences: await reload() };
      case "status":
        return { type: "status", status: await status() };
      default:
        return message satisfies never;
    }
  } catch (error) {
    const kind = error instanceof CtrError ? error.kind : "internal";
    return { type: "failed", kind, message: error instanceof Error ? error.message : String(error) };
  }
}
