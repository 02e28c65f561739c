/** `update`: other limits for a container, in its cgroup if it runs and in its row in any case. */
import { openCgroup } from "../cgroups/cgroup.ts";
import type { Engine } from "../db/engine.ts";
import { CtrError, withContext } from "../errors/error.ts";
import type { Resources } from "../spec/runtime.ts";
import { cgroupPathOf, scopeOf } from "./cgroup-place.ts";
import { currentContainer, tellChanged } from "./control.ts";
import type { ContainerRecord, HostConfig, ResourceConfig } from "./record.ts";
import type { ResourceChange } from "./resource-flags.ts";
import { checkResources } from "./resource-limits.ts";
import { limitsOf } from "./resources.ts";
import type { RestartPolicy } from "./restart-policy.ts";
import { containerById, reconfigure } from "./store.ts";

export interface ContainerUpdate {
  /** Only what was said. */
  readonly limits: ResourceChange;
  readonly restartPolicy?: RestartPolicy;
}

/**
 * Changes a container's limits and its restart policy; a running one has them at once. Returns Docker's warnings. Throws
 * what Docker refuses; then nothing is recorded.
 */
export async function updateContainer(
  engine: Engine,
  nameOrId: string,
  update: ContainerUpdate,
): Promise<readonly string[]> {
  const record = currentContainer(engine, nameOrId);
  // Docker looks at the limits alone before it speaks of the container.
  const { config, warnings } = checkResources({ ...UNSET, ...update.limits }, { isUpdate: true });
  const change = given(config, update.limits);
  try {
    const next = merged(record, { ...update, limits: change });
    if (Object.keys(change).length > 0) await apply(engine, record, changedLimits(change, next));
    // Merged again with what the row says by then: another command may have changed other limits.
    const changed = reconfigure(engine, record.id, (now) => merged(now, { ...update, limits: change }));
    await tellChanged(engine, changed);
    return warnings;
  } catch (error) {
    throw withContext(`Cannot update container ${record.id}`, error);
  }
}

/** No limit at all. */
const UNSET: ResourceConfig = {
  CpuShares: 0,
  Memory: 0,
  NanoCpus: 0,
  CpuPeriod: 0,
  CpuQuota: 0,
  CpusetCpus: "",
  CpusetMems: "",
  MemoryReservation: 0,
  MemorySwap: 0,
  PidsLimit: null,
};

/** What is left of a change after the check: a limit that the machine cannot give is not touched. */
function given(checked: ResourceConfig, asked: ResourceChange): ResourceChange {
  const change: ResourceChange = {};
  const fields = new Map<string, unknown>(Object.entries(checked));
  for (const name of Object.keys(asked)) {
    const value = fields.get(name);
    // In Docker's update 0 and "" say nothing; no limit is -1.
    if (value !== 0 && value !== "" && value !== null) Object.assign(change, { [name]: value });
  }
  return "PidsLimit" in asked && asked.PidsLimit === 0 ? { ...change, PidsLimit: 0 } : change;
}

/** The configuration with the change over it (moby container/container_unix.go, UpdateContainer). */
function merged(record: ContainerRecord, { limits, restartPolicy }: ContainerUpdate): HostConfig {
  const { hostConfig: old, state } = record;
  const refuse = (why: string) => {
    throw new CtrError("conflict", why);
  };
  if (state === "removing" || state === "dead") {
    refuse('Container is marked for removal and cannot be "update".');
  }
  const { NanoCpus = 0, CpuPeriod = 0, CpuQuota = 0, Memory = 0, MemorySwap = 0 } = limits;
  const conflict = (what: string, by: string) =>
    refuse(`Conflicting options: ${what} cannot be updated as ${by} has already been set`);
  if (NanoCpus > 0 && old.CpuPeriod > 0) conflict("Nano CPUs", "CPU Period");
  if (NanoCpus > 0 && old.CpuQuota > 0) conflict("Nano CPUs", "CPU Quota");
  if (CpuPeriod > 0 && old.NanoCpus > 0) conflict("CPU Period", "NanoCPUs");
  if (CpuQuota > 0 && old.NanoCpus > 0) conflict("CPU Quota", "NanoCPUs");
  if (MemorySwap === 0 && old.MemorySwap >= 0 && Memory > old.MemorySwap) {
    refuse("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time");
  }
  const memory = Memory === 0 ? old.Memory : Memory;
  if (MemorySwap > 0 && memory === 0) {
    refuse("You should always set the Memory limit when using Memoryswap limit, see usage");
  }
  if (MemorySwap > 0 && MemorySwap < memory) {
    refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  if (restartPolicy !== undefined && restartPolicy.Name !== "no" && old.AutoRemove) {
    refuse("Restart policy cannot be updated because AutoRemove is enabled for the container");
  }
  return { ...old, ...limits, ...(restartPolicy === undefined ? {} : { RestartPolicy: restartPolicy }) };
}

/** Writes what changed into the cgroup of a container that has one. */
async function apply(engine: Engine, record: ContainerRecord, limits: Resources): Promise<void> {
  if (record.state !== "running" && record.state !== "paused") return;
  try {
    const cgroup = openCgroup(cgroupPathOf(record));
    const scope = scopeOf(record);
    if (scope === undefined) cgroup.update(limits);
    else (await import("../cgroups/systemd/scope.ts")).limitScope(scope, cgroup, limits);
  } catch (error) {
    // It ended meanwhile: then the row is all there is to change.
    const now = containerById(engine, record.id);
    if (now?.state !== record.state || now.runtime.pid !== record.runtime.pid) return;
    throw error;
  }
}

/** Only the files that change are written; memory and swap go together, as the kernel looks at both. */
function changedLimits(change: ResourceChange, next: HostConfig): Resources {
  const touchesMemory = change.Memory !== undefined || change.MemorySwap !== undefined;
  const limits = limitsOf({
    ...UNSET,
    ...change,
    ...(touchesMemory ? { Memory: next.Memory, MemorySwap: next.MemorySwap } : {}),
  });
  return change.PidsLimit === undefined ? limits : { ...limits, pids: { limit: change.PidsLimit ?? 0 } };
}
