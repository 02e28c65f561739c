/** Commands that find their targets themselves: the name of each success, a line for each failure, 1 if any failed. */
import { printFailure } from "./fail.ts";
import { printLine } from "./output.ts";

interface Progress {
  onDone(name: string): void;
  onFailure(error: unknown): void;
}

/** Does the work and gives the exit status. */
export async function reportEach(work: (progress: Progress) => Promise<void>): Promise<number> {
  let status = 0;
  await work({
    onDone: printLine,
    onFailure(error) {
      printFailure(error);
      status = 1;
    },
  });
  return status;
}
