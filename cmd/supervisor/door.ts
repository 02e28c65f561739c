/** Where clients come in: the socket of a running container, and the links by which its names lead there. */
import { publishNames, withdrawNames } from "../../internal/container/name-links.ts";
import type { ContainerRecord } from "../../internal/container/record.ts";
import { type Listener, listenUnix } from "../../internal/ipc/connection.ts";
import { SUPERVISOR_SERVER, supervisorSocket } from "../../internal/ipc/supervisor.ts";
import { mkdirAll, unlinkIfThere } from "../../internal/sys/file.ts";
import { umask } from "../../internal/sys/process.ts";
import { attempt, ignore } from "./attempt.ts";
import type { Client } from "./output.ts";

export class Door {
  readonly #state: string;
  #listener: Listener | undefined;

  constructor(state: string) {
    this.#state = state;
  }

  open(record: ContainerRecord, onClient: (client: Client) => void): void {
    const path = supervisorSocket(this.#state, record.id);
    mkdirAll(path.slice(0, path.lastIndexOf("/")), 0o700);
    // A dead supervisor's socket: ours by the claim on the row.
    unlinkIfThere(path);
    // bind(2) makes the socket with what the umask leaves; before anybody could change its mode it would be there.
    const usual = umask(0o177);
    try {
      this.#listener = listenUnix({ path }, SUPERVISOR_SERVER, onClient);
    } finally {
      umask(usual);
    }
    publishNames(this.#state, record);
  }

  rename(before: ContainerRecord, now: ContainerRecord): void {
    withdrawNames(this.#state, before);
    publishNames(this.#state, now);
  }

  /** Nobody comes in any more; who is in stays. */
  shut(): void {
    this.#listener?.stop();
  }

  /** What is left of it goes. Whoever finds it nevertheless finds nobody behind it. */
  remove(record: ContainerRecord): void {
    attempt(() => withdrawNames(this.#state, record), ignore);
    attempt(() => unlinkIfThere(supervisorSocket(this.#state, record.id)), ignore);
  }
}
