/** The container's row, as its supervisor writes it: everything that is recorded of a container while it lives. */
import { recordContainerEvent } from "../../internal/container/event.ts";
import { STARTING } from "../../internal/container/health.ts";
import type { ContainerRecord, EndpointRecord, Health } from "../../internal/container/record.ts";
import { releaseContainer } from "../../internal/container/release.ts";
import { containerById, move, patchRuntime } from "../../internal/container/store.ts";
import { endingTransaction, transaction } from "../../internal/db/database.ts";
import type { Engine } from "../../internal/db/engine.ts";
import type { CtrError } from "../../internal/errors/error.ts";
import { nowNs } from "./output.ts";

/** How a run ended. */
export interface RunEnd {
  readonly exitCode: number;
  readonly oomKilled: boolean;
  readonly error?: string;
  /** Of `timestamp`. */
  readonly finishedAt: string;
}

/** What is known of a run when it begins. */
export interface RunBeginning {
  readonly pid: number;
  readonly startTime: number;
  /** The first has the published ports. */
  readonly endpoints: readonly EndpointRecord[];
  readonly restartCount: number;
  readonly hasHealthCheck: boolean;
}

/** What is left of a run once it is over. */
const NOTHING_RUNS = { pid: 0, pidStartTime: 0, endpoint: undefined };

export class Row {
  readonly #engine: Engine;
  #record: ContainerRecord;

  constructor(engine: Engine, record: ContainerRecord) {
    this.#engine = engine;
    this.#record = record;
  }

  get record(): ContainerRecord {
    return this.#record;
  }

  /** Takes over what another process has changed in it. */
  reread(): void {
    this.#record = containerById(this.#engine, this.#record.id) ?? this.#record;
  }

  /** Records what happens to the container without changing the row. */
  tell(action: string, attributes: { readonly [name: string]: string } = {}): void {
    recordContainerEvent(this.#engine, this.#record, action, attributes);
  }

  begin({ pid, startTime, endpoints, restartCount, hasHealthCheck }: RunBeginning): void {
    const [endpoint, ...otherEndpoints] = endpoints;
    this.#record = move(this.#engine, this.#record.id, "running", {
      pid,
      pidStartTime: startTime,
      exitCode: 0,
      oomKilled: false,
      error: "",
      startedAt: timestamp(),
      endpoint,
      otherEndpoints,
      restartCount,
      wasStoppedByHand: false,
      ...(hasHealthCheck ? { health: STARTING } : {}),
    });
  }

  pause(): void {
    this.#record = move(this.#engine, this.#record.id, "paused");
  }

  resume(): void {
    this.#record = move(this.#engine, this.#record.id, "running");
  }

  /** From here on its restart policy has no say, not even after a boot; recorded before anything is done about it. */
  markStopped(): void {
    if (this.#record.runtime.wasStoppedByHand === true || this.#record.hostConfig.RestartPolicy.Name === "no") return;
    this.#record = patchRuntime(this.#engine, this.#record.id, { wasStoppedByHand: true });
  }

  /** Some of its processes may live on. */
  outOfMemory(): void {
    transaction(this.#engine.db, () => {
      this.#record = patchRuntime(this.#engine, this.#record.id, { oomKilled: true });
      this.tell("oom");
    });
  }

  health(health: Health): void {
    const { Status } = this.#record.runtime.health ?? STARTING;
    transaction(this.#engine.db, () => {
      this.#record = patchRuntime(this.#engine, this.#record.id, { health });
      if (health.Status !== Status) this.tell(`health_status: ${health.Status}`);
    });
  }

  /** `wasStopped`: the program was asked to end, which is an event of its own. */
  end(to: "exited" | "restarting", end: RunEnd, wasStopped: boolean): void {
    const result = { ...end, ...NOTHING_RUNS };
    this.#record = endingTransaction(this.#engine.db, () => {
      const record = move(this.#engine, this.#record.id, to, result);
      if (wasStopped) recordContainerEvent(this.#engine, record, "stop");
      return record;
    });
  }

  /** The end of a container that is removed with it. */
  endRemoved(end: RunEnd, wasStopped: boolean, removal: { readonly volumes: boolean } | undefined): void {
    const { AutoRemove } = this.#record.hostConfig;
    releaseContainer(this.#engine, this.#record, {
      volumes: removal?.volumes ?? true,
      isKeptWithoutCgroup: AutoRemove && end.error === undefined,
      end: { ...end, wasStopped },
    });
  }

  /** A start that failed: Docker keeps the container as it was, with the error (`--rm` and `removal` remove it). */
  fail(error: CtrError, removal: { readonly volumes: boolean } | undefined): void {
    const exitCode = error.exitStatus ?? 125;
    if (this.#record.hostConfig.AutoRemove || removal !== undefined) {
      releaseContainer(this.#engine, this.#record, { volumes: removal?.volumes ?? true, end: { exitCode } });
      return;
    }
    const result = { exitCode, error: error.message, ...NOTHING_RUNS };
    if (this.#record.state === "running") {
      this.#record = move(this.#engine, this.#record.id, "exited", { ...result, finishedAt: timestamp() });
    } else {
      this.#record = patchRuntime(this.#engine, this.#record.id, { ...result, keeper: { pid: 0, startTime: 0 } });
    }
  }
}

/** Now, RFC 3339 with nanoseconds. */
export function timestamp(): string {
  const ns = nowNs();
  const seconds = new Date(Number(ns / 1_000_000n)).toISOString().slice(0, 19);
  return `${seconds}.${(ns % 1_000_000_000n).toString().padStart(9, "0")}Z`;
}
