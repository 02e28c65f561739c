/**
 * The states a container goes through, and the only table that says which may follow which. A row that is gone is the
 * state after `removing`; a start that failed stays where it was (`created` or `exited`).
 */
import { CtrError } from "../errors/error.ts";
import type { ContainerState } from "./record.ts";

const NEXT: { readonly [From in ContainerState]: readonly ContainerState[] } = {
  created: ["running", "removing"],
  running: ["paused", "restarting", "exited", "removing"],
  paused: ["running", "restarting", "exited", "removing"],
  restarting: ["running", "exited", "removing"],
  exited: ["running", "removing"],
  removing: ["dead"],
  dead: ["removing"],
};

/** True if `to` may follow `from`. */
export function mayMove(from: ContainerState, to: ContainerState): boolean {
  return NEXT[from].includes(to);
}

/** Throws `conflict` unless `to` may follow `from`; `name` is the container's. */
export function checkMove(name: string, from: ContainerState, to: ContainerState): void {
  if (!mayMove(from, to)) throw new CtrError("conflict", `container ${name} is ${from}: it cannot become ${to}`);
}

/** True while a supervisor holds processes of the container. */
export function isLive(state: ContainerState): boolean {
  return state === "running" || state === "paused" || state === "restarting";
}

/** True for a text that is a state; for rows and filters. */
export function isState(text: string): text is ContainerState {
  return Object.hasOwn(NEXT, text);
}
