/** The health check of a running container: run inside it at its times, one at a time. */
import { nowRfc3339 } from "../../internal/container/clock.ts";
import { afterCheck, type HealthPlan, nextCheckMs, STARTING } from "../../internal/container/health.ts";
import type { Health, HealthResult } from "../../internal/container/record.ts";
import { formatGoDuration } from "../../internal/image/go-duration.ts";
import { pidfdSendSignal } from "../../internal/sys/process.ts";
import { type InsideProgram, startInside } from "./inside.ts";
import type { Supervision } from "./supervision.ts";
import { startTimer } from "./timer.ts";

const SIGKILL = 9;
/** How much of a check's output is kept. */
const MAX_OUTPUT = 4096;

/** Checks until disposed, and reports what becomes of the health, beginning with nothing known. */
export function watchHealth(supervision: Supervision, plan: HealthPlan, report: (health: Health) => void): Disposable {
  // Not the wall clock: set back, it would prolong the start period.
  const startedMs = performance.now();
  const ranMs = () => performance.now() - startedMs;
  let health = STARTING;
  let isOver = false;
  let timer: Disposable | undefined;
  const schedule = () => {
    timer = startTimer(nextCheckMs(plan, health, ranMs()), () => void check());
  };
  const check = async () => {
    // A frozen container answers nobody.
    if (supervision.record.state === "running") {
      const beganMs = ranMs();
      const result = await runCheck(supervision, plan);
      if (isOver) return;
      health = afterCheck(plan, health, result, beganMs);
      try {
        report(health);
      } catch {
        // What could not be recorded (a full disk) is told with the next result.
      }
    }
    if (!isOver) schedule();
  };
  schedule();
  return {
    [Symbol.dispose]: () => {
      isOver = true;
      timer?.[Symbol.dispose]();
    },
  };
}

/** One check; one that cannot be run at all has failed too. */
async function runCheck(supervision: Supervision, plan: HealthPlan): Promise<HealthResult> {
  const Start = nowRfc3339();
  try {
    const request = { args: plan.args, env: [], terminal: false, privileged: false };
    const { ExitCode, Output } = await resultOf(await startInside(supervision, request), plan.timeoutMs);
    return { Start, End: nowRfc3339(), ExitCode, Output };
  } catch (error) {
    const Output = error instanceof Error ? error.message : String(error);
    return { Start, End: nowRfc3339(), ExitCode: -1, Output };
  }
}

async function resultOf(program: InsideProgram, timeoutMs: number): Promise<Pick<HealthResult, "ExitCode" | "Output">> {
  let isLate = false;
  using _ = startTimer(timeoutMs, () => {
    isLate = true;
    pidfdSendSignal(program.pidfd.number, SIGKILL);
  });
  const output = new LimitedText(MAX_OUTPUT);
  const status = await program.finished((_stream, data) => output.add(data));
  if (!isLate) return { ExitCode: status, Output: output.text };
  return { ExitCode: -1, Output: `Health check exceeded timeout (${formatGoDuration(timeoutMs * 1e6)})` };
}

/** The beginning of a text, with dots where it was cut. */
class LimitedText {
  readonly #limit: number;
  #bytes = new Uint8Array(0);
  #isCut = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(data: Uint8Array): void {
    const room = this.#limit - this.#bytes.length;
    if (data.length > room) this.#isCut = true;
    if (room > 0) this.#bytes = Buffer.concat([this.#bytes, data.subarray(0, room)]);
  }

  get text(): string {
    return new TextDecoder().decode(this.#bytes) + (this.#isCut ? "..." : "");
  }
}
