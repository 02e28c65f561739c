/** When a container with a restart policy is started again, and after how long (moby restartmanager). */
import type { RestartPolicy } from "./restart-policy.ts";

/** The end that the rule is asked about. */
export interface End {
  readonly exitCode: number;
  /** How often the policy has started it again since somebody did. */
  readonly restartCount: number;
  /** By `stop`, or by a signal that ends programs. */
  readonly wasStoppedByHand: boolean;
}

/** True if the policy wants the container started again, by its supervisor while the machine is up. */
export function wantsRestart(policy: RestartPolicy, end: End): boolean {
  if (end.wasStoppedByHand) return false;
  switch (policy.Name) {
    case "always":
    case "unless-stopped":
      return true;
    case "on-failure":
      return end.exitCode !== 0 && (policy.MaximumRetryCount === 0 || end.restartCount < policy.MaximumRetryCount);
    default:
      return false;
  }
}

/** True if it is started again after a boot: `always` even if it was stopped by hand. */
export function wantsRestore(policy: RestartPolicy, end: End): boolean {
  return policy.Name === "always" || wantsRestart(policy, end);
}

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 60_000;
/** Who ran as long as this is not in trouble any more. */
const STEADY_MS = 10_000;

/** How long to wait this time, in milliseconds, after the last delay (0: there was none) and a run of `ranMs`. */
export function nextDelayMs(lastMs: number, ranMs: number): number {
  if (lastMs === 0 || ranMs >= STEADY_MS) return FIRST_DELAY_MS;
  return Math.min(2 * lastMs, LONGEST_DELAY_MS);
}
