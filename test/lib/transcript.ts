/** What the running test has done so far: printed when it fails, forgotten when it passes. */
const entries: string[] = [];

/** Adds one line or block to the transcript. */
export function record(entry: string): void {
  entries.push(entry);
}

/** The transcript so far, and an empty one from here on. */
export function takeTranscript(): string {
  return entries.splice(0).join("\n");
}
