/** An error as it crosses to a client: fields, not an object. */
import { CtrError } from "../../internal/errors/error.ts";
import type { FromSupervisor } from "../../internal/ipc/supervisor.ts";

export function failure(error: unknown): FromSupervisor {
  const message = error instanceof Error ? error.message : String(error);
  const exitStatus = error instanceof CtrError ? (error.exitStatus ?? 1) : 1;
  return { type: "failed", message, exitStatus };
}
