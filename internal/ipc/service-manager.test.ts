import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { EAGAIN, isErrno } from "../errors/error.ts";
import { AF_UNIX, bind, MSG_DONTWAIT, recv, SOCK_DGRAM, socket, unixAddress } from "../sys/socket.ts";
import { openServiceManager, takeHandedOver } from "./service-manager.ts";

/** A socket of a manager's, and what it has heard. */
function listenTo(address: Uint8Array) {
  const fd = socket(AF_UNIX, SOCK_DGRAM);
  bind(fd.number, address);
  return {
    heard: (): string | undefined => {
      const buffer = new Uint8Array(4096);
      try {
        return new TextDecoder().decode(buffer.subarray(0, recv(fd.number, buffer, MSG_DONTWAIT)));
      } catch (error) {
        if (isErrno(error, EAGAIN)) return undefined;
        throw error;
      }
    },
    [Symbol.dispose]: () => fd.close(),
  };
}

const never = (error: unknown): never => {
  throw error;
};

test("lines go to a path, one datagram for all of them; a line is one line", () => {
  const directory = mkdtempSync("/tmp/ctr-t-");
  using listener = listenTo(unixAddress(`${directory}/notify`));
  using manager = openServiceManager({ NOTIFY_SOCKET: `${directory}/notify` }, never);
  manager.notify("READY=1", "STATUS=all\nis well");
  expect(listener.heard()).toBe("READY=1\nSTATUS=all is well");
  manager.forget("dns");
  expect(listener.heard()).toBe("FDSTOREREMOVE=1\nFDNAME=dns");
  manager.keep("dns", 1);
  expect(listener.heard()).toBe("FDSTORE=1\nFDNAME=dns\nFDPOLL=0");
  expect(listener.heard()).toBeUndefined();
  rmSync(directory, { recursive: true });
});

test("an abstract name is all of the address", () => {
  const name = `ctr-${crypto.randomUUID()}`;
  using listener = listenTo(new Uint8Array([AF_UNIX, 0, 0, ...new TextEncoder().encode(name)]));
  using manager = openServiceManager({ NOTIFY_SOCKET: `@${name}` }, never);
  manager.notify("STOPPING=1");
  expect(listener.heard()).toBe("STOPPING=1");
});

test("nobody is told anything without a socket", () => {
  using manager = openServiceManager({ WATCHDOG_USEC: "1000000" }, never);
  manager.notify("READY=1");
  manager.keep("x", 0);
  expect([manager.isThere, manager.watchdogMs]).toEqual([false, undefined]);
});

test("a manager that has gone is no reason to fail", () => {
  const directory = mkdtempSync("/tmp/ctr-t-");
  const failures: unknown[] = [];
  const listener = listenTo(unixAddress(`${directory}/notify`));
  using manager = openServiceManager({ NOTIFY_SOCKET: `${directory}/notify` }, (error) => failures.push(error));
  listener[Symbol.dispose]();
  manager.notify("READY=1");
  expect(failures.map(String)).toEqual(["Error: tell the service manager: send: connection refused"]);
  rmSync(directory, { recursive: true });
});

test.each(["relative", "@", "/", `/${"x".repeat(108)}`])("NOTIFY_SOCKET %s is refused", (name) => {
  expect(() => openServiceManager({ NOTIFY_SOCKET: name }, never)).toThrow("NOTIFY_SOCKET");
});

test.each([
  [{ WATCHDOG_USEC: "30000000" }, 30_000],
  [{ WATCHDOG_USEC: "30000000", WATCHDOG_PID: String(process.pid) }, 30_000],
  [{ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "1" }, undefined],
  [{ WATCHDOG_USEC: "0" }, undefined],
  [{ WATCHDOG_USEC: "soon" }, undefined],
  [{}, undefined],
] as const)("watchdog: %j", (environment, expected) => {
  const name = `ctr-${crypto.randomUUID()}`;
  using _ = listenTo(new Uint8Array([AF_UNIX, 0, 0, ...new TextEncoder().encode(name)]));
  using manager = openServiceManager({ NOTIFY_SOCKET: `@${name}`, ...environment }, never);
  expect(manager.watchdogMs).toBe(expected);
});

test("what was handed over to another process is not taken", () => {
  expect(takeHandedOver({})).toEqual([]);
  expect(takeHandedOver({ LISTEN_PID: "1", LISTEN_FDS: "1" })).toEqual([]);
  expect(takeHandedOver({ LISTEN_PID: String(process.pid), LISTEN_FDS: "many" })).toEqual([]);
  expect(() => takeHandedOver({ LISTEN_PID: String(process.pid), LISTEN_FDS: "70000" })).toThrow("LISTEN_FDS");
});
