/** Which of a container's networks its default route leads into. */

export interface Candidate {
  /** The network's name. */
  readonly network: string;
  readonly gwPriority?: number;
}

/** Docker's rule: the highest priority, then the first by name. */
export function byGatewayRule(a: Candidate, b: Candidate): number {
  const priority = (b.gwPriority ?? 0) - (a.gwPriority ?? 0);
  if (priority !== 0) return priority;
  return a.network < b.network ? -1 : a.network > b.network ? 1 : 0;
}
