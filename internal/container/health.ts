/** Health checks: what is configured, and what becomes of a container's health with each result (moby daemon/health.go). */
import { CtrError } from "../errors/error.ts";
import type { Healthcheck } from "../image/config.ts";
import type { ContainerConfig, Health, HealthResult } from "./record.ts";

/** A health check with Docker's defaults filled in; times are milliseconds. */
export interface HealthPlan {
  readonly args: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly retries: number;
  readonly startPeriodMs: number;
  readonly startIntervalMs: number;
}

const NS_PER_MS = 1e6;
const DEFAULT_INTERVAL_NS = 30e9;
const DEFAULT_TIMEOUT_NS = 30e9;
const DEFAULT_START_INTERVAL_NS = 5e9;
const DEFAULT_RETRIES = 3;
/** How many results are kept. */
const KEPT_RESULTS = 5;

/** The health of a container that has just been started. */
export const STARTING: Health = { Status: "starting", FailingStreak: 0, Log: [] };

/** What is to be run and when; undefined for a container without a check. */
export function healthPlan({ Healthcheck, Shell }: ContainerConfig): HealthPlan | undefined {
  const [kind, ...words] = Healthcheck?.Test ?? [];
  if (Healthcheck === undefined || kind === undefined || kind === "NONE") return undefined;
  const ms = (ns: number | undefined, otherwise: number) => (ns || otherwise) / NS_PER_MS;
  return {
    args: kind === "CMD-SHELL" ? [...(Shell ?? ["/bin/sh", "-c"]), words.join(" ")] : words,
    intervalMs: ms(Healthcheck.Interval, DEFAULT_INTERVAL_NS),
    timeoutMs: ms(Healthcheck.Timeout, DEFAULT_TIMEOUT_NS),
    retries: Healthcheck.Retries || DEFAULT_RETRIES,
    startPeriodMs: ms(Healthcheck.StartPeriod, 0),
    startIntervalMs: ms(Healthcheck.StartInterval, DEFAULT_START_INTERVAL_NS),
  };
}

/** How long until the next check of a container that has run for `ranMs`. */
export function nextCheckMs(plan: HealthPlan, { Status }: Health, ranMs: number): number {
  return Status === "starting" && ranMs < plan.startPeriodMs ? plan.startIntervalMs : plan.intervalMs;
}

/** The health after a result of a check that began `ranMs` after the container. */
export function afterCheck(plan: HealthPlan, health: Health, result: HealthResult, ranMs: number): Health {
  const Log = [...health.Log, result].slice(-KEPT_RESULTS);
  if (result.ExitCode === 0) return { Status: "healthy", FailingStreak: 0, Log };
  // A failure of a program that is still getting ready counts for nothing.
  if (health.Status === "starting" && ranMs < plan.startPeriodMs) return { ...health, Log };
  const FailingStreak = health.FailingStreak + 1;
  return { Status: FailingStreak >= plan.retries ? "unhealthy" : health.Status, FailingStreak, Log };
}

/** The image's check with the user's over it, field by field. */
export function mergeHealthcheck(
  image: Healthcheck | undefined,
  user: Healthcheck | undefined,
): Healthcheck | undefined {
  const merged = { ...image, ...user };
  checkHealthcheck(merged);
  return Object.keys(merged).length === 0 ? undefined : merged;
}

const TIMES = ["Interval", "Timeout", "StartPeriod", "StartInterval"] as const;

/** Throws `invalid`, in Docker's words, for what cannot be done. */
function checkHealthcheck(check: Healthcheck): void {
  for (const name of TIMES) {
    const ns = check[name] ?? 0;
    if (ns !== 0 && ns < NS_PER_MS) throw new CtrError("invalid", `${name} in Healthcheck cannot be less than 1ms`);
  }
  if ((check.Retries ?? 0) < 0) throw new CtrError("invalid", "Retries in Healthcheck cannot be negative");
}
