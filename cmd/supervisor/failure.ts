/** Errors on their way to a client. */
import { CtrError } from "../../internal/errors/error.ts";
import type { FromSupervisor } from "../../internal/ipc/supervisor.ts";

/** As it crosses: fields, not an object. */
export function failure(error: unknown): FromSupervisor {
  const exitStatus = error instanceof CtrError ? (error.exitStatus ?? 1) : 1;
  return { type: "failed", message: message(error), exitStatus };
}

/** Why a start has failed; 125 unless it says something else. */
export function startError(error: unknown): CtrError {
  const known = error instanceof CtrError ? error : undefined;
  return new CtrError(known?.kind ?? "internal", message(error), {
    cause: error,
    exitStatus: known?.exitStatus ?? 125,
  });
}

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
