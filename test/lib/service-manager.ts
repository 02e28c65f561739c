/** netd under a service manager of the tests' own (service-manager.py): what systemd does, without systemd. */
import { afterAll } from "bun:test";
import { netdSocket } from "../../internal/ipc/netd.ts";
import { binary } from "./needs.ts";
import { waitFor } from "./wait.ts";

const managers: { readonly stdin: { end(): unknown }; readonly exited: Promise<unknown> }[] = [];
afterAll(async () => {
  for (const manager of managers) void manager.stdin.end();
  await Promise.all(managers.map(({ exited }) => exited));
});

export interface Managed {
  /** Every datagram of sd_notify(3), in its order, as its lines; those that keep descriptors are not among them. */
  readonly told: readonly (readonly string[])[];
  /** What netd has written on standard error. */
  readonly logged: () => string;
  kept(): readonly string[];
  pid(): number;
  exits(): readonly number[];
  signal(number: number): void;
  /** From now on each end is followed by a new start. */
  keep(): void;
  starts(): number;
  /** Ends it with a signal; resolves when the next one has told that it is ready. */
  restart(number: number): Promise<void>;
}

/** Starts netd under a manager and waits until it is ready. */
export async function startManaged(
  directories: { readonly root: string; readonly state: string },
  environment: { readonly [name: string]: string } = {},
  words: readonly string[] = [],
): Promise<Managed> {
  const name = `@ctr-test-${crypto.randomUUID()}`;
  const stderr = Bun.file(`${directories.state}-stderr`);
  await Bun.write(stderr, "");
  const child = Bun.spawn(
    [
      ...["python3", `${import.meta.dir}/service-manager.py`, name, netdSocket(directories.state)],
      ...[binary(), "netd", ...words],
    ],
    {
      env: { ...process.env, CTR_ROOT: directories.root, CTR_STATE: directories.state, ...environment },
      stdin: "pipe",
      stdout: "pipe",
      stderr,
    },
  );
  managers.push(child);
  const told: string[][] = [];
  const exits: number[] = [];
  let kept: readonly string[] = [];
  let pid = 0;
  const listen = async (): Promise<void> => {
    let rest = "";
    for await (const chunk of child.stdout) {
      const lines = (rest + new TextDecoder().decode(chunk)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const event = JSON.parse(line);
        if (event.told !== undefined) told.push(event.told);
        if (event.kept !== undefined) kept = event.kept;
        if (event.pid !== undefined) pid = event.pid;
        if (event.exited !== undefined) exits.push(event.exited);
      }
    }
  };
  listen().catch((error: unknown) => console.error(error));
  const command = (line: string): void => {
    child.stdin.write(`${line}\n`);
    child.stdin.flush();
  };
  const starts = () => told.filter((lines) => lines.includes("READY=1")).length;
  command("start");
  await waitFor("netd to be ready", () => starts() === 1);
  return {
    told,
    logged: () => Bun.spawnSync(["cat", `${directories.state}-stderr`]).stdout.toString(),
    kept: () => kept,
    pid: () => pid,
    exits: () => exits,
    keep: () => command("keep"),
    starts,
    signal: (number) => command(`signal ${number}`),
    restart: async (number) => {
      const before = starts();
      command(`restart ${number}`);
      await waitFor("the next netd to be ready", () => starts() === before + 1);
    },
  };
}
