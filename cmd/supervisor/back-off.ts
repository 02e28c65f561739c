/** The wait of a restart policy before it starts a container again. */
import { nextDelayMs } from "../../internal/container/restart-rule.ts";
import { startTimer } from "./timer.ts";

/** `go` starts it, `stay` leaves it at rest. */
export type Outcome = "go" | "stay";

export class BackOff {
  #lastMs = 0;
  #end: ((outcome: Outcome) => void) | undefined;

  get isWaiting(): boolean {
    return this.#end !== undefined;
  }

  /** Waits as long as it is time for after a run of `ranMs`, or until somebody ends it. */
  async wait(ranMs: number): Promise<Outcome> {
    this.#lastMs = nextDelayMs(this.#lastMs, ranMs);
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    this.#end = resolve;
    using _ = startTimer(this.#lastMs, () => resolve("go"));
    try {
      return await promise;
    } finally {
      this.#end = undefined;
    }
  }

  /** Ends a wait, if there is one. */
  end(outcome: Outcome): void {
    this.#end?.(outcome);
  }
}
